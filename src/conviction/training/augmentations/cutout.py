"""A square of each image hidden: DeVries and Taylor (2017)."""

from __future__ import annotations

import numpy as np

from conviction.training.augmentations.augmentation import Augmentation, PageField


def cutout_side(cutout: float, height: int, width: int) -> int:
    """The side in pixels of the square that is cut out."""
    return round(cutout * min(height, width))


def draw_squares(chance: np.random.Generator, cutout: float, n: int, height: int, width: int) -> np.ndarray:
    """(n, 3) int64: row and column of the centre of the square that is cut out, and its side."""
    centres = chance.integers(0, (height, width), (n, 2))
    return np.column_stack([centres, np.full(n, cutout_side(cutout, height, width))])


def cutout(pixels: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Fills each image's square, (n, 3) with the row and column of its centre and its side, with the mean colour.

    The square may hang over the border, as in DeVries and Taylor (2017). They fill with 0 after subtracting
    the mean of the data; the image's own mean, rounded, is as uninformative, and needs no other image. A
    square of an even side reaches one pixel further up and left.
    """
    n, height, width, channels = pixels.shape
    out = pixels.copy()
    # Rows first: (n, h, w*c) -> (n, w, c) -> (n, c)
    columns = pixels.reshape(n, height, -1).sum(axis=1, dtype=np.uint64).reshape(n, width, channels)
    means = np.rint(columns.sum(axis=1) / (height * width)).astype(np.uint8)
    starts = squares[:, :2] - squares[:, 2:] // 2
    for image, (y, x), side, mean in zip(out, starts.tolist(), squares[:, 2].tolist(), means, strict=True):
        image[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = mean
    return out


def _sentence(cutout: float, height: int, width: int) -> str:
    side = cutout_side(cutout, height, width)
    return f"a square of {side}x{side} pixels is filled with the mean colour"


CUTOUT = Augmentation(
    key="cutout",
    stream=6,
    draw=draw_squares,
    effect=cutout,
    takes=("cutout",),
    sentence=_sentence,
    field=PageField("Square hidden", "share of a side, 0 to 1", 0.05),
)
