"""Sources that are arrays of pixels and labels: npz, IDX, and those of scikit-learn and Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from conviction.backend import free_bytes
from conviction.config import DataSpec
from conviction.data.decode import decode_array
from conviction.data.depth import Range
from conviction.data.image_set import ImageSet, array_hashes
from conviction.data.origin import Origin
from conviction.data.pictures import THUMB
from conviction.data.pixels import Kind, file_range, kind_of, own_range, to_uint8, value_range, with_channels
from conviction.data.rule import DecodingRule
from conviction.data.size import auto_size, size_sentence
from conviction.data.unused import Unused
from conviction.errors import SourceError, StorageError

FOURTH_CHANNEL = (
    "The fourth channel was taken for transparency (alpha) and laid over white. If it is something else, such as the "
    "black of CMYK or infrared, convert the images to three channels first."
)


def require_memory(size: int, where: str) -> None:
    """Refuses arrays that are declared larger than the free memory, before any of them is read.

    Raises:
        StorageError: It cannot fit.
    """
    available = free_bytes()
    if available is not None and size > available:
        raise StorageError(
            f"{where}: its arrays take {size // 10**6:,} MB of memory, and {available // 10**6:,} MB are free."
        )


@dataclass(frozen=True)
class Arrays:
    """Images and labels by part ("train", "validation", "test", or "" where there is one pair only)."""

    name: str
    location: str
    origin: Origin
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]]
    class_names: list[str] | None = None
    # Black and white where the source is known to use a scale that does not follow from its data type.
    known_range: Range | None = None
    # The names of images and labels of each part, where the source has names for them.
    keys: Mapping[str, tuple[str, str]] | None = None
    unused: tuple[Unused, ...] = ()


def load_arrays(source: Arrays, spec: DataSpec, saved: DecodingRule | None = None) -> ImageSet:
    """Checks and converts arrays to an ``ImageSet``, by the rule that a run has ``saved``, if any.

    Raises:
        SourceError: Lengths that differ, shapes that are no images, pixels outside the accepted ranges,
            labels that are not whole numbers from 0, or classes that training does not have.
    """
    where = source.location
    images = _checked_images(source)
    labels, class_names = _labels(source)
    kind = kind_of(np.result_type(*(x.dtype for x in images.values())))
    known = spec.range or source.known_range or (own_range(saved, kind) if saved and kind else None)
    stored, sentence = value_range(list(images.values()), known, where)
    assert kind is not None  # refused by ``value_range``
    if spec.range is None and source.known_range is not None:
        sentence = f"Values {stored[0]:g} to {stored[1]:g}, the full range of this set, became 0 to 255."
    shape = next(iter(images.values())).shape[1:]
    rule = saved or _rule(spec, shape, stored, kind)
    full = {part: to_uint8(x, stored) for part, x in images.items()}
    first = next(iter(source.parts.values()))[0]
    count = sum(len(x) for x in images.values())
    pixels = _finish(list(full.values()), rule)
    return ImageSet(
        name=source.name,
        location=where,
        origin=source.origin,
        pixels=pixels,
        thumbs=_thumbs(list(full.values())),
        pixel_hashes=array_hashes(pixels),
        labels=np.concatenate([labels[p] for p in full]),
        hashes=np.concatenate([array_hashes(x) for x in full.values()]),
        names=[f"{p or 'image'}/{i}" for p, x in full.items() for i in range(len(x))],
        parts=np.concatenate([np.full(len(x), p, dtype="<U10") for p, x in full.items()]),
        class_names=class_names,
        rule=rule,
        unused=source.unused,
        stored=f"array {(count, *first.shape[1:])} of {first.dtype}",
        conversions=[
            *_understood(source.keys or {}),
            *([sentence] if sentence else []),
            *([FOURTH_CHANNEL] if shape[2] == 4 else []),
            *size_sentence([next(iter(full.values())).shape[1:3]], rule, asked=spec.image_size is not None),
        ],
    )


def _checked_images(source: Arrays) -> dict[str, np.ndarray]:
    """The images of each part, (n, h, w, c) of one shape, with as many labels."""
    where = source.location
    for part, (x, y) in source.parts.items():
        if x.ndim and 0 in x.shape[1:]:
            raise SourceError(f"{where}: {_x(part)} holds images without pixels; its shape is {x.shape}.")
        if y.ndim == 0:
            raise SourceError(f"{where}: expected one label per image in {_y(part)}; got a single value.")
    images = {p: with_channels(x, f"{where}: {_x(p)}") for p, (x, _) in source.parts.items()}
    shapes = {x.shape[1:] for x in images.values()}
    if len(shapes) > 1:
        raise SourceError(f"{where}: expected images of one shape in all parts; got {sorted(shapes)}.")
    for part, (x, y) in source.parts.items():
        if len(x) == 0:
            raise SourceError(f"{where}: {_x(part)} holds no images.")
        if len(x) != len(y):
            raise SourceError(
                f"{where}: expected as many labels as images; got {len(x)} images in {_x(part)} and "
                f"{len(y)} labels in {_y(part)}."
            )
    return images


def _understood(keys: Mapping[str, tuple[str, str]]) -> list[str]:
    """Says which arrays were used for what, unless all have the documented names."""
    if all(names == (_x(part), _y(part)) for part, names in keys.items()):
        return []
    names = [f"{part or 'all images'}: {x} and {y}" for part, (x, y) in keys.items()]
    return [f"Arrays of images and labels, by their names: {'; '.join(names)}."]


def _x(part: str) -> str:
    return f"x_{part}" if part else "x"


def _y(part: str) -> str:
    return f"y_{part}" if part else "y"


def _rule(spec: DataSpec, shape: tuple[int, ...], stored: Range, kind: Kind) -> DecodingRule:
    height, width = spec.image_size or auto_size([(shape[0], shape[1])])
    mode = spec.color_mode
    if mode == "auto":
        mode = "grayscale" if shape[2] == 1 else "rgb"
    return DecodingRule(
        color_mode=mode,
        height=height,
        width=width,
        fit=spec.fit,
        array_range=stored,
        array_type=kind,
        file_range=file_range(stored, kind),
    )


def _finish(arrays: list[np.ndarray], rule: DecodingRule) -> np.ndarray:
    """Brings all parts to the rule's shape in one array, (n, h, w, c) uint8."""
    if all(a.shape[1:] == rule.shape for a in arrays):
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    pixels = np.empty((sum(map(len, arrays)), *rule.shape), np.uint8)
    row = 0
    for array in arrays:
        for image in array:
            pixels[row] = decode_array(image, rule)
            row += 1
    return pixels


def _thumbs(arrays: list[np.ndarray]) -> np.ndarray:
    """(n, 32, 32, 1 or 3) uint8: small copies made from the images as they are stored."""
    mode: Literal["grayscale", "rgb"] = "grayscale" if arrays[0].shape[-1] == 1 else "rgb"
    return _finish(arrays, DecodingRule(color_mode=mode, height=THUMB, width=THUMB))


def _labels(source: Arrays) -> tuple[dict[str, np.ndarray], list[str]]:
    """Integer labels per part, and the class names in their order."""
    flat = {part: _flat(y, f"{source.location}: {_y(part)}") for part, (_, y) in source.parts.items()}
    training = {part: y for part, y in flat.items() if part in ("", "train")}
    known = np.unique(np.concatenate(list(training.values())))
    for part, y in flat.items():
        unknown = np.setdiff1d(y, known)
        if len(unknown):
            raise SourceError(
                f"{source.location}: {_y(part)} has labels that training does not: "
                f"{', '.join(map(str, unknown[:5]))}."
            )
    if known.dtype.kind in "iu" and source.class_names is not None:
        if known[-1] >= len(source.class_names):
            raise SourceError(
                f"{source.location}: label {known[-1]} has no name; there are {len(source.class_names)} "
                "class names."
            )
        names = [source.class_names[i] for i in known]
    else:
        names = [str(k) for k in known]
    # Labels such as 1, 5, 7 become 0, 1, 2; their names keep what they were.
    return {part: np.searchsorted(known, y).astype(np.int64) for part, y in flat.items()}, names


def _flat(y: np.ndarray, where: str) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # (n, 1) -> (n,): Keras's CIFAR labels have this shape
    if y.ndim != 1:
        raise SourceError(
            f"{where}: expected one label per image, shape (n,); got {y.shape}. If it is one-hot, give "
            "y.argmax(axis=1)."
        )
    if y.dtype.kind == "U":
        return y
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.rint(y)).all():
        y = y.astype(np.int64) if np.abs(y).max(initial=0) < 2**62 else y
    if y.dtype.kind not in "iu":
        raise SourceError(f"{where}: expected whole numbers or text as labels; got {y.dtype} values.")
    if y.min() < 0:
        raise SourceError(f"{where}: expected labels from 0 upwards; got {y.min()}.")
    return y
