"""Pictures passed in Python to be classified, and the predictions for them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from conviction.data.decision import Decision, decide
from conviction.data.decode import UnreadableImageError, decode_array, decode_picture
from conviction.data.depth import Range
from conviction.data.pixels import Kind, kind_of, own_range, to_uint8, usual_range
from conviction.data.rule import DecodingRule
from conviction.errors import RequestError

# One picture, several of one size, or a sequence of single ones.
Pictures: TypeAlias = "np.ndarray | Image.Image | Sequence[np.ndarray | Image.Image]"
CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ArrayPredictions:
    """Classes and probabilities for n images.

    Attributes:
        labels: n class names: of the highest probability, or by the threshold that was set for the model.
        probabilities: (n, classes) float32, rows summing to 1.
        class_names: One per column.
        files: n names of files; None for pictures that were not files.
    """

    labels: list[str]
    probabilities: np.ndarray
    class_names: list[str]
    files: list[str] | None = None

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        class_names: list[str],
        files: list[str] | None = None,
        decision: Decision | None = None,
    ) -> ArrayPredictions:
        """With the class that each row is answered with."""
        labels = [class_names[i] for i in decide(probabilities, class_names, decision)]
        return cls(labels, probabilities, class_names, files)


def pixels_to_predict(images: Pictures, rule: DecodingRule) -> np.ndarray:
    """Turns pictures, as arrays or Pillow images, into the pixels that a model takes.

    Args:
        images: (n, h, w, channels) with 1, 3 or 4 channels (the fourth is transparency); (n, h, w) for a model that
            takes gray pictures; one picture of exactly the model's shape; a Pillow picture; or a sequence of single
            pictures of any sizes. What a number means is decided as for the arrays of ``fit``, or by the scale of the
            training data if it had its own.
        rule: The model's.

    Returns:
        (n, height, width, channels) uint8.

    Raises:
        RequestError: A shape that does not fit a picture or could be read in two ways, values of an unknown scale, or a
            Pillow picture that cannot be read.
    """
    pictures = _pictures(images, rule)
    scales = _scales(pictures, rule)
    pixels = np.empty((len(pictures), *rule.shape), np.uint8)
    for i, one in enumerate(pictures):
        if isinstance(one, Image.Image):
            try:
                pixels[i] = decode_picture(one, rule)
            except UnreadableImageError as failure:
                raise RequestError(f"predict: image {i} cannot be read: {failure}.") from None
        else:
            pixels[i] = decode_array(to_uint8(one[np.newaxis], scales[i])[0], rule)
    return pixels


def check_decoded(pixels: np.ndarray, rule: DecodingRule) -> None:
    """Refuses what is not decoded by the rule.

    Raises:
        RequestError: It is not (n, height, width, channels) uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != rule.shape:
        wanted = ", ".join(map(str, rule.shape))
        raise RequestError(
            f"predict_pixels: expected uint8 of shape (n, {wanted}); got {pixels.dtype} of shape {pixels.shape}. "
            "For other pictures use predict, which converts them."
        )


def _pictures(images: Any, rule: DecodingRule) -> list[np.ndarray | Image.Image]:
    """Single pictures: (h, w, c) arrays, and Pillow's as they are."""
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, str | bytes | PathLike | Mapping) or images is None:
        raise RequestError(
            f"predict: expected an array, a Pillow picture or a list of them; got {type(images).__name__}. A file is "
            "opened with PIL.Image.open."
        )
    if hasattr(images, "__array__"):
        array = _array(images, "the images")
        if array.dtype != np.dtype(object) or array.ndim != 1:
            return list(_split(array, rule))
        images = array
    try:
        items = list(images)
    except TypeError:
        raise RequestError(
            f"predict: expected an array, a Pillow picture or a list of them; got {type(images).__name__}."
        ) from None
    return [one if isinstance(one, Image.Image) else _single(one, i, rule) for i, one in enumerate(items)]


def _array(value: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as failure:  # rows of different lengths, or memory of a device
        raise RequestError(f"predict: {what} cannot become an array ({failure}).") from None


def _split(array: np.ndarray, rule: DecodingRule) -> np.ndarray:
    """(n, h, w, c): one array as the pictures that it holds."""
    shape = array.shape
    if array.size == 0 and shape[:1] != (0,):
        raise _unfit(array, rule, "It holds no pixels.")
    if shape == rule.shape:
        return array[np.newaxis]
    gray = rule.channels == 1
    if gray and shape == rule.shape[:2]:
        return array[np.newaxis, ..., np.newaxis]
    if array.ndim == 4:
        _check_channels(array, shape[1:], rule, 1)
        return array
    if gray and array.ndim == 3 and (shape[-1] not in CHANNELS or shape[1:] == rule.shape[:2]):
        return array[..., np.newaxis]
    raise _unfit(array, rule, _way_out(shape))


def _way_out(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "Is it one gray picture? Wrap it in a list."
    if len(shape) != 3:
        return ""
    if shape[-1] in CHANNELS:
        return (
            f"It could be one picture whose {shape[-1]} channels come last, or {shape[0]} gray ones "
            f"{shape[-1]} pixels wide. If it is one picture, wrap it in a list."
        )
    several = f"If it is {shape[0]} gray pictures, give x[..., numpy.newaxis]."
    if shape[0] not in CHANNELS:
        return several
    return f"{several} If it is one picture with its channels first, give numpy.moveaxis(x, 0, -1)."


def _single(value: Any, number: int, rule: DecodingRule) -> np.ndarray:
    """(h, w, c): one member of a sequence."""
    array = _array(value, f"image {number}")
    shape, what = array.shape, f"image {number}"
    if array.ndim == 2 and 0 not in shape:
        # A picture this narrow is a row of pixels: the sequence is one picture, not several.
        if shape[-1] in CHANNELS and shape != rule.shape[:2]:
            raise RequestError(
                f"predict: {what} of the sequence has shape {shape}. If the sequence is one picture, give it as an "
                "array, in a list: [numpy.asarray(x)]."
            )
        return array[..., np.newaxis]
    if array.ndim == 3 and 0 not in shape:
        _check_channels(array, shape, rule, 0, what)
        return array
    raise RequestError(
        f"predict: expected {what} to be (height, width) or (height, width, channels), or a Pillow picture; got "
        f"{type(value).__name__} of shape {shape}."
    )


def _check_channels(
    array: np.ndarray, shape: tuple[int, ...], rule: DecodingRule, first: int, what: str = ""
) -> None:
    """Refuses pictures of this ``shape`` whose channels do not come last."""
    if shape == rule.shape or (shape[-1] in CHANNELS and shape[0] not in CHANNELS):
        return
    hint = ""
    if shape[0] in CHANNELS:
        hint = f"The channels seem to come first: move them last with numpy.moveaxis(x, {first}, -1)."
    raise _unfit(array, rule, hint, what)


def _unfit(array: np.ndarray, rule: DecodingRule, hint: str, what: str = "") -> RequestError:
    height, width, channels = rule.shape
    gray = "(n, height, width), " if channels == 1 else ""
    got = f"{what} of shape" if what else "shape"
    return RequestError(
        f"predict: expected pictures of shape {gray}(n, height, width, {channels}), or one of exactly "
        f"({height}, {width}, {channels}); got {got} {array.shape}. {hint}".rstrip()
    )


def _scales(pictures: Sequence[np.ndarray | Image.Image], rule: DecodingRule) -> dict[int, Range]:
    """Black and white of each picture that is an array, by its number; those of one type have one scale."""
    kinds: dict[Kind, list[int]] = {}
    for i, one in enumerate(pictures):
        if isinstance(one, Image.Image):
            continue
        kind = kind_of(one.dtype)
        if kind is None:
            raise RequestError(f"predict: image {i}: expected numbers as pixels; got the type {one.dtype}.")
        kinds.setdefault(kind, []).append(i)
    out = {}
    for kind, numbers in kinds.items():
        arrays = {i: one for i in numbers if isinstance(one := pictures[i], np.ndarray)}
        own = _old_range(kind, rule) if rule.version < 3 else own_range(rule, kind)
        scale = _usual(kind, arrays) if own is None else _own(arrays, own)
        out.update(dict.fromkeys(numbers, scale))
    return out


def _old_range(kind: Kind, rule: DecodingRule) -> Range | None:
    """Rules of earlier versions do not say what type the training arrays had."""
    scale = rule.array_range or (0.0, 255.0)
    # Trained on fractions; uint8 can only mean 0-255.
    return None if kind == "bool" or (kind == "uint8" and scale == (0.0, 1.0)) else scale


def _own(arrays: Mapping[int, np.ndarray], scale: Range) -> Range:
    for i, one in arrays.items():
        low, high = float(one.min()), float(one.max())
        fractions = _are_fractions(one, scale, high)
        if not scale[0] <= low <= high <= scale[1] or fractions:
            hint = f" If 1 is white in them, multiply them by {scale[1]:g}." if fractions else ""
            raise RequestError(
                f"predict: image {i}: expected pixel values from {scale[0]:g} (black) to {scale[1]:g} "
                f"(white), as in training; got {one.dtype} from {low:g} to {high:g}.{hint}"
            )
    return scale


def _are_fractions(one: np.ndarray, scale: Range, high: float) -> bool:
    """Whether values that training had from 0 to 16 or 255 seem to come from 0 to 1: otherwise all are nearly black."""
    if one.dtype.kind != "f" or scale[0] != 0.0 or scale[1] < 8.0 or not 0.0 < high <= 1.0:
        return False
    return scale[1] == 255.0 or bool((one % 1.0).any())


def _usual(kind: Kind, arrays: Mapping[int, np.ndarray]) -> Range:
    lows = {i: float(one.min()) for i, one in arrays.items()}
    highs = {i: float(one.max()) for i, one in arrays.items()}
    low, high = min(lows.values()), max(highs.values())
    scale = usual_range(kind, list(arrays.values()), low, high)
    if scale is None or not np.isfinite(low + high):
        i = next((i for i in arrays if not (lows[i] >= 0.0 and highs[i] <= 255.0)), next(iter(arrays)))
        raise RequestError(
            f"predict: image {i}: expected uint8 from 0 (black) to 255 (white), whole numbers in that range, 16-bit "
            f"values from 0 to 65535, or fractions from 0 to 1; got {arrays[i].dtype} from {lows[i]:g} to {highs[i]:g}."
        )
    # Black pictures exist, but not in a type that is wider than all their values.
    level = high * 255.0 / scale[1]
    if 0.0 < level <= 1.0 and kind in ("uint8", "uint16", "integer"):
        message = (
            f"predict: the brightest value of all is {high:g}, where {scale[1]:g} is white, so that every picture is "
            f"black. If {high:g} is white, give "
            + ("x.astype(bool)." if high == 1.0 else "x.astype(numpy.uint8).")
        )
        if kind != "uint8":
            raise RequestError(message)
        warnings.warn(message, stacklevel=4)
    return scale
