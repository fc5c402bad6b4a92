"""``make bench-duplicates``: how many planted near-copies the audit finds, and how many of its pairs are right.

Each set has copies of each kind that tests/data/test_duplicates.py plants. Copy what it prints, with the command, to
docs/measurements.md.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from conviction.config import DataSpec
from conviction.data import load_source
from conviction.data.duplicates import find_near_duplicates
from tests.data.test_duplicates import KINDS, picture, thumb

ORIGINALS, COPIES, SEEDS = 3000, 120, 3


def enlarged(pixels: np.ndarray, side: int, rng: np.random.Generator) -> list[Image.Image]:
    """Pictures of a real set at another size."""
    chosen = rng.choice(len(pixels), ORIGINALS, replace=False)
    return [
        Image.fromarray(pixels[i].squeeze()).resize((side, side), Image.Resampling.BICUBIC) for i in chosen
    ]


def montages(pixels: np.ndarray, rng: np.random.Generator) -> list[Image.Image]:
    """Four real pictures in one, which has as much detail as its size allows."""
    chosen = pixels[rng.choice(len(pixels), (ORIGINALS, 2, 2), replace=False)]  # (n, 2, 2, h, w, c)
    n, _, _, h, w, c = chosen.shape
    return [Image.fromarray(m) for m in chosen.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c)]


def tiles(side: int) -> list[Image.Image]:
    """Two photographs in squares, flat sky included."""
    from sklearn.datasets import load_sample_images

    return [
        Image.fromarray(photo[y : y + side, x : x + side])
        for photo in load_sample_images().images
        for y in range(0, photo.shape[0] - side + 1, side)
        for x in range(0, photo.shape[1] - side + 1, side)
    ]


def report(name: str, sets: list[list[Image.Image]]) -> None:
    """The mean over seeds, with the lowest and highest."""
    recalls: dict[str, list[float]] = {change.__name__: [] for change in KINDS}
    precision = []
    for seed, originals in enumerate(sets):
        rng = np.random.default_rng(seed)
        thumbs, roots = [thumb(image) for image in originals], list(range(len(originals)))
        planted: dict[str, list[int]] = {}
        for change in KINDS:
            chosen = rng.choice(len(originals), min(COPIES, len(originals)), replace=False).tolist()
            planted[change.__name__] = list(range(len(roots), len(roots) + len(chosen)))
            thumbs += [thumb(change(originals[root], rng)) for root in chosen]
            roots += chosen
        shown = np.stack(thumbs).reshape(len(thumbs), 32, 32, -1)
        pairs = find_near_duplicates(shown)
        found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        for kind, copies in planted.items():
            recalls[kind].append(float(np.mean([(roots[copy], copy) in found for copy in copies])))
        root = np.array(roots)
        precision.append(float(np.mean(root[pairs.first] == root[pairs.second])))
    cells = [f"{kind} {_spread(values)}" for kind, values in recalls.items()]
    print(f"{name}, {len(sets)} seeds: {'; '.join(cells)}; precision {_spread(precision)}", flush=True)


def _spread(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def main() -> None:
    """Measures all sets; those of real pictures only where CONVICTION_DATA_DIR is set."""
    seeds = [np.random.default_rng(100 + seed) for seed in range(SEEDS)]
    print("Recall for each kind of copy, and precision over all pairs found")
    report("96 px, noise and shapes", [[picture(rng) for _ in range(ORIGINALS)] for rng in seeds])
    report("71 px, tiles of two photographs", [tiles(71) for _ in seeds])
    folder = os.environ.get("CONVICTION_DATA_DIR")
    if not folder:
        return
    cifar = load_source(str(Path(folder) / "cifar10-jpeg75.zip"), DataSpec()).pixels
    report("64 px, montages of CIFAR-10", [montages(cifar, rng) for rng in seeds])
    report("96 px, CIFAR-10 enlarged", [enlarged(cifar, 96, rng) for rng in seeds])
    fashion = load_source("fashion_mnist", DataSpec()).pixels
    report("28 px, Fashion-MNIST", [enlarged(fashion, 28, rng) for rng in seeds])


if __name__ == "__main__":
    main()
