"""What a number in an array means as a pixel: decided once, here, and reported."""

from __future__ import annotations

from typing import Literal

import numpy as np

from conviction.audience import by_key
from conviction.data.depth import FULL_RANGE, Range, scale_to_uint8
from conviction.data.rule import DecodingRule
from conviction.errors import SourceError

Kind = Literal["bool", "uint8", "uint16", "integer", "float"]
# What black and white can be by the type alone.
_USUAL: dict[Kind, tuple[Range, ...]] = {
    "bool": ((0.0, 1.0),),
    "uint8": ((0.0, 255.0),),
    "uint16": (FULL_RANGE,),
    "integer": ((0.0, 255.0),),
    "float": ((0.0, 1.0), (0.0, 255.0)),
}


def kind_of(dtype: np.dtype) -> Kind | None:
    """Which types mean the same as pixels; None for one that holds none, such as text or complex numbers."""
    if dtype == np.bool_:
        return "bool"
    if dtype == np.uint8:
        return "uint8"
    if dtype == np.uint16:
        return "uint16"
    return {"i": "integer", "u": "integer", "f": "float"}.get(dtype.kind)  # type: ignore[return-value]


def usual_range(kind: Kind, arrays: list[np.ndarray], low: float, high: float) -> Range | None:
    """Which values are black and white by the type of arrays that go from ``low`` to ``high``; None if unknown."""
    if kind in ("bool", "uint8", "uint16"):
        return _USUAL[kind][0]
    if kind == "float" and low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    if low >= 0.0 and high <= 255.0 and (kind == "integer" or _integral(arrays)):
        return 0.0, 255.0
    return None


def value_range(arrays: list[np.ndarray], override: Range | None, where: str) -> tuple[Range, str]:
    """Decides which stored values are black and white, for all arrays of a source together.

    uint8 is 0-255. bool is 0-1. uint16 is 0-65535. Floats are 0-1 if they all lie in [0, 1], and 0-255
    if they are whole numbers up to 255; other integers are 0-255 if they lie there. ``override``
    (``data.range``) comes before all of these.

    Returns:
        ((black, white), a sentence on the conversion, empty if none is needed).

    Raises:
        SourceError: NaN or infinite pixels, values outside the accepted range or ``override``, a type that
            holds no pixels.
    """
    dtype = np.result_type(*(a.dtype for a in arrays))
    kind = kind_of(dtype)
    if kind is None:
        raise SourceError(f"{where}: expected numbers as pixels; got the type {dtype}.")
    low = min(float(a.min()) for a in arrays)
    high = max(float(a.max()) for a in arrays)
    # min and max of floats propagate NaN, and show infinities themselves.
    if not np.isfinite(low + high):
        raise SourceError(
            f"{where}: expected finite pixel values; got NaN or infinity. Correct or leave out those images."
        )
    if override is not None:
        if low < override[0] or high > override[1]:
            raise SourceError(
                f"{where}: data.range={list(override)}, but the pixel values go from {low:g} to {high:g}."
            )
        return (
            override,
            f"Pixel values {override[0]:g} to {override[1]:g}{by_key('data.range')} became 0 to 255.",
        )
    usual = usual_range(kind, arrays, low, high)
    if usual is None:
        raise SourceError(
            f"{where}: expected uint8, or floats in [0, 1], or whole numbers in 0 to 255; got {dtype} from "
            f"{low:g} to {high:g}. Say which values are black and white, e.g. data.range=[{low:g},{high:g}]."
        )
    sentences = {
        "bool": "False and True became 0 and 255.",
        "uint8": "",
        "uint16": "16-bit values 0 to 65535 became 0 to 255.",
    }
    if usual == (0.0, 1.0):
        sentences["float"] = "Fractions 0 to 1 became 0 to 255."
    return usual, sentences.get(kind, f"Whole numbers of type {dtype} in 0 to 255 became uint8, unchanged.")


def own_range(rule: DecodingRule, kind: Kind) -> Range | None:
    """Black and white of numbers passed to a trained model, where its training decided them and the type does not.

    A scale that ``data.range`` gave, or that the source is known for, holds for every type that can hold it. For floats
    the scale of a training on floats holds; files of 16 bits and arrays of them have one scale.
    """
    if rule.array_type is None:
        return None if kind in ("bool", "uint8") else rule.file_range
    trained = rule.array_range
    if trained is None or (kind == rule.array_type == "float"):
        return trained
    if trained in _USUAL[rule.array_type] or kind == "bool":
        return None
    most = {"uint8": 255.0, "uint16": 65535.0, "integer": 2.0**31}.get(kind)
    whole = all(v.is_integer() for v in trained)
    holds = most is None or (whole and trained[1] <= most and (kind == "integer" or trained[0] >= 0.0))
    return trained if holds else None


def file_range(stored: Range, kind: Kind) -> Range | None:
    """Black and white of 16-bit files for a model that learned from arrays; None for the full range.

    A scale of more than 8 bits that was given for arrays is that of their files too. One that fits into 8 bits says
    nothing about files, unless the arrays were of 16 bits.
    """
    if stored in _USUAL[kind] or stored[0] < 0.0:
        return None
    return stored if kind == "uint16" or 255.0 < stored[1] <= FULL_RANGE[1] else None


def to_uint8(array: np.ndarray, stored: Range) -> np.ndarray:
    """Converts an array whose black and white are ``stored`` to uint8 0-255, same shape."""
    if stored == (0.0, 255.0) and array.dtype.kind in "iu":
        return array if array.dtype == np.uint8 else array.astype(np.uint8)
    out = np.empty(array.shape, np.uint8)
    # In chunks, so that the float copy of a large array never exists as a whole.
    for start in range(0, len(array), 1024):
        out[start : start + 1024] = scale_to_uint8(array[start : start + 1024], *stored)
    return out


def with_channels(array: np.ndarray, where: str) -> np.ndarray:
    """Gives images (n, h, w) their channel axis: (n, h, w) -> (n, h, w, 1).

    Raises:
        SourceError: The shape is not (n, h, w) or (n, h, w, 1 | 3 | 4).
    """
    if array.ndim == 3:
        return array[..., np.newaxis]
    if array.ndim == 4 and array.shape[-1] in (1, 3, 4):
        return array
    hint = ""
    if array.ndim == 4 and array.shape[1] in (1, 3):
        hint = " The channels seem to come first: move them last with numpy.moveaxis(x, 1, -1)."
    raise SourceError(
        f"{where}: expected images of shape (n, height, width) or (n, height, width, 1, 3 or 4 channels); "
        f"got {array.shape}.{hint}"
    )


def _integral(arrays: list[np.ndarray]) -> bool:
    return all(bool((chunk == np.rint(chunk)).all()) for a in arrays for chunk in np.array_split(a, 16))
