"""What a number in an array means as a pixel: settled here, once, and said."""

from __future__ import annotations

import numpy as np

from conviction.audience import by_key
from conviction.data.decode import scale_to_uint8
from conviction.errors import SourceError

Range = tuple[float, float]


def value_range(arrays: list[np.ndarray], given: Range | None, where: str) -> tuple[Range, str]:
    """Decides which stored values are black and white, for all arrays of a source together.

    uint8 is 0-255. bool is 0-1. uint16 is 0-65535. Floats are 0-1 if they all lie in [0, 1], and 0-255
    if they are whole numbers up to 255; other integers are 0-255 if they lie there. ``given``
    (``data.range``) overrides.

    Returns:
        ((black, white), a sentence on the conversion, empty if none is needed).

    Raises:
        SourceError: NaN or infinite pixels, values outside the accepted or given range, a type that
            holds no pixels.
    """
    kind = np.result_type(*(a.dtype for a in arrays))
    if kind.kind not in "buif":
        raise SourceError(f"{where}: expected numbers as pixels; got the type {kind}.")
    low = min(float(a.min()) for a in arrays)
    high = max(float(a.max()) for a in arrays)
    # min and max of floats propagate NaN, and show infinities themselves.
    if not np.isfinite(low + high):
        raise SourceError(
            f"{where}: expected finite pixel values; got NaN or infinity. Mend or leave out those images."
        )
    if given is not None:
        if low < given[0] or high > given[1]:
            raise SourceError(
                f"{where}: data.range={list(given)}, but the pixel values go from {low:g} to {high:g}."
            )
        return given, f"Pixel values {given[0]:g} to {given[1]:g}{by_key('data.range')} became 0 to 255."
    if kind == np.uint8:
        return (0.0, 255.0), ""
    if kind == np.bool_:
        return (0.0, 1.0), "False and True became 0 and 255."
    if kind == np.uint16:
        return (0.0, 65535.0), "16-bit values 0 to 65535 became 0 to 255."
    if kind.kind == "f" and low >= 0.0 and high <= 1.0:
        return (0.0, 1.0), "Fractions 0 to 1 became 0 to 255."
    if low >= 0.0 and high <= 255.0 and (kind.kind != "f" or _integral(arrays)):
        return (0.0, 255.0), f"Whole numbers of type {kind} in 0 to 255 became uint8, unchanged."
    raise SourceError(
        f"{where}: expected uint8, or floats in [0, 1], or whole numbers in 0 to 255; got {kind} from "
        f"{low:g} to {high:g}. Say which values are black and white, e.g. data.range=[{low:g},{high:g}]."
    )


def to_uint8(array: np.ndarray, stored: Range) -> np.ndarray:
    """Converts an array whose black and white are ``stored`` to uint8 0-255, same shape."""
    if stored == (0.0, 255.0):
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
