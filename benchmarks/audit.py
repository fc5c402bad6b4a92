"""``make bench-audit``: faults planted in photographs, and what the audit sees of them by pixels and by features.

    python benchmarks/audit.py [copies] [labels] [unlike] [seconds] [--seeds 3]

The photographs are TrashNet's, ``trashnet-256.zip`` in ``CONVICTION_DATA_DIR``; the seconds are also those of 10,000
pictures of ``cifar10-jpeg75.zip``. Pictures of something else are those, and what scikit-image and scikit-learn come
with. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image, ImageEnhance, ImageOps

from conviction.config import load_recipe
from conviction.data import ImageSet, load_source
from conviction.data.audit import near_duplicates
from conviction.data.copies import find_altered_copies
from conviction.data.doubtful_labels import doubtful_labels
from conviction.data.group import join
from conviction.data.likeness import Likeness, by_pixels
from conviction.data.unlike import unlike_pictures
from conviction.flow.sessions import likeness_for

EACH = 60


def crop(picture: Image.Image, rng: np.random.Generator, least: float, most: float) -> Image.Image:
    """A part with this share of each side, anywhere."""
    share = rng.uniform(least, most)
    width, height = (round(side * share) for side in picture.size)
    left, top = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
    return picture.crop((left, top, left + width, top + height))


def colour(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Another hue, saturation and white."""
    hsv = np.asarray(picture.convert("HSV")).copy()
    hsv[..., 0] += rng.integers(20, 236, dtype=np.uint8)
    turned = Image.fromarray(hsv, "HSV").convert("RGB")
    vivid = ImageEnhance.Color(turned).enhance(float(rng.choice([0.0, 0.5, 1.7])))
    return Image.fromarray(np.clip(np.asarray(vivid) * rng.uniform(0.75, 1.25, 3), 0, 255).astype(np.uint8))


def light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Another gamma (0.6 to 1.6) and brightness (0.7 to 1.2), and light from one side (a quarter more and less)."""
    values = (np.asarray(picture) / 255) ** rng.uniform(0.6, 1.6) * rng.uniform(0.7, 1.2)
    down, right = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    values *= (1 + 0.25 * (np.cos(angle) * right + np.sin(angle) * down))[..., None]
    return Image.fromarray((255 * np.clip(values, 0, 1)).astype(np.uint8))


def everything(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cropped, coloured, lit, and every other one mirrored."""
    changed = light(colour(crop(picture, rng, 0.6, 0.9), rng), rng)
    return ImageOps.mirror(changed) if rng.random() < 0.5 else changed


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "cropped to 0.7 to 0.9 of each side": lambda picture, rng: crop(picture, rng, 0.7, 0.9),
    "cropped to 0.5 to 0.7": lambda picture, rng: crop(picture, rng, 0.5, 0.7),
    "cropped to 0.6 to 0.9 and mirrored": lambda picture, rng: ImageOps.mirror(crop(picture, rng, 0.6, 0.9)),
    "in other colours": colour,
    "in other light": light,
    "cropped, in other colours and light, half of them mirrored": everything,
}


def photographs() -> dict[str, bytes]:
    """TrashNet's, by class and name."""
    with zipfile.ZipFile(Path(os.environ["CONVICTION_DATA_DIR"]) / "trashnet-256.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
        return {f"{Path(n).parent.name}/{Path(n).name}": archive.read(n) for n in names}


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Writes them into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def planted(folder: Path, seed: int) -> dict[str, tuple[str, str]]:
    """A folder with all photographs and altered copies of some: the kind and the original of each copy, by name."""
    rng = np.random.default_rng(seed)
    files = photographs()
    write(folder, files)
    copies = {}
    for kind, change in KINDS.items():
        for original in rng.choice(sorted(files), EACH, replace=False).tolist():
            name = f"{Path(original).parent}/{rng.bytes(8).hex()}.jpg"
            out = io.BytesIO()
            picture = Image.open(io.BytesIO(files[original])).convert("RGB")
            change(picture, rng).save(out, "JPEG", quality=int(rng.integers(60, 96)))
            write(folder, {name: out.getvalue()})
            copies[name] = kind, original
    return copies


def opened(folder: Path) -> tuple[ImageSet, Likeness]:
    """The images as ``recipe=transfer`` reads them, and their features."""
    recipe = load_recipe(["recipe=transfer"])
    images = load_source(folder, recipe.data)
    make = likeness_for(folder, images, recipe, None)
    assert make is not None
    return images, make()


def altered(likeness: Likeness) -> np.ndarray:
    """The altered copies of all pictures, (m, 2)."""
    pairs = find_altered_copies(likeness, np.arange(len(likeness.vectors)))
    return np.empty((0, 2), np.int64) if pairs is None else pairs


def copies(seeds: int) -> None:
    """Altered copies by kind: recall, and what else was paired."""
    recall: dict[str, dict[str, list[float]]] = {"pixels": {}, "features": {}}
    others: dict[str, list[str]] = {"pixels": [], "features": []}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            truth = planted(Path(place), seed)
            images, likeness = opened(Path(place))
            near = near_duplicates(images)
            pairs = {
                "pixels": np.stack([near.first, near.second], axis=1),
                "features": altered(likeness),
            }
        root = [truth.get(name, ("", name))[1] for name in images.names]
        row = {name: i for i, name in enumerate(images.names)}
        for eyes, found in pairs.items():
            paired = {tuple(pair) for pair in found.tolist()}
            for kind in KINDS:
                planted_pairs = [tuple(sorted((row[n], row[o]))) for n, (k, o) in truth.items() if k == kind]
                recall[eyes].setdefault(kind, []).append(float(np.mean([p in paired for p in planted_pairs])))
            wrong = [(images.names[a], images.names[b]) for a, b in paired if root[a] != root[b]]
            own = [pair for pair in wrong if not set(pair) & set(truth)]
            others[eyes].append(
                f"{len(paired)} pairs: {len(paired) - len(wrong)} of one photograph, {len(own)} of two of TrashNet's "
                f"own, {len(wrong) - len(own)} of copies of two"
            )
            print(f"seed {seed}, by {eyes}: {others[eyes][-1]}", flush=True)
            if eyes == "features" and seed == 0:
                print("  " + "; ".join(f"{a} {b}" for a, b in sorted(own)), flush=True)
    print("| altered copies | by pixels | by features |\n|---|---|---|")
    for kind in KINDS:
        print(
            f"| {kind} | {_spread(recall['pixels'][kind])} | {_spread(recall['features'][kind])} |",
            flush=True,
        )


def labels(seeds: int) -> None:
    """Labels that were changed at random: precision and recall, and how many are in doubt where none was changed."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), photographs())
        images, likeness = opened(Path(place))
    n, every = len(images), np.arange(len(images))
    together = join(n, altered(likeness))
    views = {"pixels": by_pixels(images).vectors, "features": likeness.vectors}
    print("| changed labels | | precision | recall | in doubt |\n|---|---|---|---|---|")
    for rate in (0.0, 0.02, 0.05):
        for eyes, vectors in views.items():
            figures = []
            for seed in range(seeds if rate else 1):
                rng = np.random.default_rng(seed)
                changed = rng.choice(n, round(rate * n), replace=False)
                wrong = images.labels.copy()
                wrong[changed] = (wrong[changed] + rng.integers(1, 6, len(changed))) % 6
                doubted = {d.image for d in doubtful_labels(vectors, wrong, every, together)}
                right = len(doubted & set(changed.tolist()))
                figures.append((right / max(len(doubted), 1), right / max(len(changed), 1), len(doubted)))
            precision, recall, count = ([f[k] for f in figures] for k in range(3))
            shown = (_spread(precision), _spread(recall)) if rate else ("", "")
            print(f"| {rate:.0%} | by {eyes} | {shown[0]} | {shown[1]} | {_whole(count)} |", flush=True)


SOMETHING_ELSE = (
    *(
        "astronaut",
        "brick",
        "camera",
        "cell",
        "chelsea",
        "coffee",
        "coins",
        "grass",
        "gravel",
        "hubble_deep_field",
    ),
    *("ihc", "moon", "motorcycle_left", "page", "retina", "rocket", "text", "china", "flower"),
)
SIZE = (256, 192)


def foreign(rng: np.random.Generator, kind: str, small: dict[str, bytes]) -> list[Image.Image]:
    """Of each of the photographs a part, or as many enlarged ones of the small pictures."""
    if kind == "enlarged CIFAR-10":
        chosen = rng.choice(sorted(small), len(SOMETHING_ELSE), replace=False).tolist()
        pictures = [Image.open(io.BytesIO(small[name])) for name in chosen]
        return [picture.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC) for picture in pictures]
    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.stem in SOMETHING_ELSE]
    return [crop(Image.open(path).convert("RGB"), rng, 0.5, 0.9).resize(SIZE) for path in files]


def unlike(seeds: int) -> None:
    """Pictures of something else among the photographs: recall, and how many of the set's own are called unlike."""
    own, small = photographs(), cifar()
    titles = sorted({name.split("/")[0] for name in own})
    figures: dict[str, list[float]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        files, kinds = dict(own), {}
        for kind in ("photographs of other things", "enlarged CIFAR-10"):
            for picture in foreign(rng, kind, small):
                out = io.BytesIO()
                picture.save(out, "JPEG", quality=90)
                name = f"{rng.choice(titles)}/{rng.bytes(8).hex()}.jpg"
                files[name], kinds[name] = out.getvalue(), kind
        with tempfile.TemporaryDirectory() as place:
            write(Path(place), files)
            images, likeness = opened(Path(place))
        called = unlike_pictures(likeness.vectors, images.labels, np.arange(len(images)))
        names = [kinds.get(images.names[i], "TrashNet's own") for i in called]
        for kind in {*kinds.values(), "TrashNet's own"}:
            total = len(own) if kind not in kinds.values() else list(kinds.values()).count(kind)
            figures.setdefault(kind, []).append(names.count(kind) / total)
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), small)
        images, likeness = opened(Path(place))
    called = unlike_pictures(likeness.vectors, images.labels, np.arange(len(images)))
    figures["CIFAR-10, nothing planted"] = [len(called) / len(images)]
    print("| pictures | called unlike their class |\n|---|---|")
    for kind, shares in sorted(figures.items()):
        print(f"| {kind} | {_spread(shares, 3)} |", flush=True)


def seconds(_: int) -> None:
    """Processor time of each part, of all threads together, with the features from the cache."""
    print(
        "| pictures | altered copies | labels in doubt | unlike their class | pairs |\n|---|---|---|---|---|"
    )
    for title, files in (("TrashNet", photographs()), ("CIFAR-10 (JPEG q75), its test images", cifar())):
        with tempfile.TemporaryDirectory() as place:
            write(Path(place), files)
            images, likeness = opened(Path(place))
            every = np.arange(len(images))
            began = time.process_time()
            pairs = altered(likeness)
            between = time.process_time()
            doubtful = doubtful_labels(likeness.vectors, images.labels, every, join(len(images), pairs))
            last = time.process_time()
            others = unlike_pictures(likeness.vectors, images.labels, every)
            ended = time.process_time()
        print(
            f"| {title}, {len(images):,} | {between - began:.1f} s | {last - between:.1f} s, {len(doubtful)} | "
            f"{ended - last:.1f} s, {len(others)} | {len(pairs)} |",
            flush=True,
        )


def cifar() -> dict[str, bytes]:
    """The 10,000 test images."""
    with zipfile.ZipFile(Path(os.environ["CONVICTION_DATA_DIR"]) / "cifar10-jpeg75.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg") and "test/" in n)
        return {f"{Path(n).parent.name}/{Path(n).name}": archive.read(n) for n in names}


def _spread(values: list[float], places: int = 2) -> str:
    low, high = f"{min(values):.{places}f}", f"{max(values):.{places}f}"
    return low if low == high else f"{low} to {high}"


def _whole(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


PARTS = {"copies": copies, "labels": labels, "unlike": unlike, "seconds": seconds}


def main() -> None:
    """Runs the parts that were asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name in options.parts or PARTS:
        PARTS[name](options.seeds)


if __name__ == "__main__":
    main()
