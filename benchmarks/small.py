"""``make bench-small``: the recipes on small, unbalanced folders of photographs, against ``recipe=lab``.

    python benchmarks/small.py [--recipes lab fast best] [--seeds 3]

The photographs are pictures of CIFAR-10, enlarged to 200x200 and saved as JPEG, so that a recipe has to choose a
size; classes and numbers are given in ``SETS``. Figures are for a validation set of three in ten images; test sets
stay sealed. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import conviction
from conviction.data import load_source
from conviction.reporting.terminal import Silent

# By name: images of each class.
SETS = {
    "2 classes, 400": {"cat": 250, "ship": 150},
    "3 classes, 680": {"automobile": 400, "truck": 200, "frog": 80},
    "10 classes, 3,000": dict.fromkeys(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"), 300
    ),
}
SIDE = 200


def make(place: Path, counts: dict[str, int]) -> Path:
    """Writes the folder."""
    images = load_source(Path(os.environ["CONVICTION_DATA_DIR"]) / "cifar10-jpeg75.zip")
    for name, count in counts.items():
        folder = place / name
        folder.mkdir(parents=True)
        members = np.flatnonzero(images.labels == images.class_names.index(name))
        for i in np.random.default_rng(0).choice(members, count, replace=False):
            picture = Image.fromarray(images.pixels[i]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            picture.save(folder / f"{i}.jpg", quality=90)
    return place


def main() -> None:
    """Trains every recipe with every seed on every set, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", default=["lab", "fast"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("CONVICTION_HOME", tempfile.mkdtemp())
    print(
        "| set | recipe | size | balanced accuracy, mean (sd) | each seed | seconds |\n|---|---|---|---|---|---|"
    )
    for title, counts in SETS.items():
        with tempfile.TemporaryDirectory() as place:
            source = make(Path(place) / "set", counts)
            for recipe in options.recipes:
                scores, seconds, size = [], [], ""
                for seed in range(options.seeds):
                    keys = {"training.seed": seed, "data.validation": 0.3, "evaluation.test": False}
                    began = time.perf_counter()
                    run = conviction.fit(
                        source, keys, recipe=recipe, out=Path(place) / f"{recipe}-{seed}", show=Silent()
                    )
                    seconds.append(time.perf_counter() - began)
                    scores.append(run.evaluation.validation.figures["balanced_accuracy"].value)
                    size = "x".join(map(str, run.config.data.image_size or ()))
                each = ", ".join(f"{s:.3f}" for s in scores)
                print(
                    f"| {title} | {recipe} | {size} | {np.mean(scores):.3f} ({np.std(scores, ddof=1):.3f}) | {each} | "
                    f"{np.median(seconds):.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
