"""Images shifted by whole pixels, exactly; or rotated, zoomed and shifted at once, by resampling."""

from __future__ import annotations

import numpy as np

from conviction.training.augmentations.arithmetic import draw_around, groups
from conviction.training.augmentations.augmentation import Augmentation, PageField

# Resampling holds eight float copies of about this many values at once.
RESAMPLED_GROUP = 2**14


def shift_reach(shift: float, height: int, width: int) -> tuple[int, int]:
    """The most pixels by which an image moves, down and to the right; at most half of each side."""
    # Reflection has side - 1 pixels to offer, and half a side of 1 rounds to 0.
    return round(shift * height), round(shift * width)


def draw_shifts(chance: np.random.Generator, shift: float, n: int, height: int, width: int) -> np.ndarray:
    """(n, 2) int64, pixels down and to the right, uniform over the whole range."""
    most = shift_reach(shift, height, width)
    return chance.integers([-m for m in most], most, (n, 2), endpoint=True)


def draw_angles(chance: np.random.Generator, rotate: float, n: int, height: int, width: int) -> np.ndarray:
    """(n,) float64, degrees; positive turns from the right towards the bottom."""
    return draw_around(chance, 0.0, rotate, n)


def draw_zooms(chance: np.random.Generator, zoom: float, n: int, height: int, width: int) -> np.ndarray:
    """(n,) float64, factors; above 1 magnifies."""
    return draw_around(chance, 1.0, zoom, n)


def shift(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moves images (n, h, w, c) by ``shifts`` (n, 2) whole pixels, exactly.

    What comes in at the border is reflected about the outermost pixel (``reflect`` in NumPy, ``mirror`` in
    SciPy). A shift is at most the side less 1.
    """
    _, height, width, _ = pixels.shape
    down, right = (int(m) for m in np.abs(shifts).max(axis=0))
    # (n, h, w, c) -> (n, h + 2*down, w + 2*right, c)
    padded = np.pad(pixels, ((0, 0), (down, down), (right, right), (0, 0)), mode="reflect")
    out = np.empty_like(pixels)
    for i, (y, x) in enumerate(([down, right] - shifts).tolist()):
        out[i] = padded[i, y : y + height, x : x + width]
    return out


def move(pixels: np.ndarray, shifts: np.ndarray, angles: np.ndarray, zooms: np.ndarray) -> np.ndarray:
    """Zooms and rotates images (n, h, w, c) about their centres, then shifts them."""
    _, height, width, _ = pixels.shape
    return resample(pixels, *affine(angles, zooms, shifts, height, width))


def affine(
    angles: np.ndarray, zooms: np.ndarray, shifts: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Zoom and rotation about the centre, then the shift, as the way back from a new pixel to an old place.

    Returns:
        Matrices (n, 2, 2) and offsets (n, 2), float64, with old = matrix @ new + offset in (row, column).
    """
    radians = np.deg2rad(angles)
    cosine, sine = np.cos(radians) / zooms, np.sin(radians) / zooms
    matrices = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)  # (n, 4) -> (n, 2, 2)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    return matrices, centre - np.einsum("nij,nj->ni", matrices, centre + shifts)


def resample(pixels: np.ndarray, matrices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """New pixels (n, h, w, c) from ``affine``'s places in the old ones, bilinearly.

    Places outside are reflected as by ``shift``, as often as it takes. Rounded to the nearest gray level.
    """
    _, height, width, channels = pixels.shape
    out = np.empty_like(pixels)
    stride = width + 1  # of a plane with one more row and column, so that every pixel has all neighbours
    for group in groups(len(pixels), height * width, RESAMPLED_GROUP):
        y, x = source_positions(matrices[group], offsets[group], height, width)
        top, left = y.astype(np.intp), x.astype(np.intp)
        y -= top  # from here on the weights of the lower and of the right neighbours
        x -= left
        index = top * stride + left + (np.arange(len(y)) * ((height + 1) * stride))[:, np.newaxis, np.newaxis]
        planes = np.zeros((len(y), height + 1, stride), np.float32)
        flat = planes.ravel()  # shares memory
        for channel in range(channels):
            # The added row and column have weight 0 and are never filled.
            planes[:, :height, :width] = pixels[group, ..., channel]
            upper = between(flat.take(index), flat[1:].take(index), x)
            lower = between(flat[stride:].take(index), flat[stride + 1 :].take(index, mode="clip"), x)
            out[group, ..., channel] = np.rint(between(upper, lower, y))
    return out


def between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """First + weight * (second - first); writes over its first two arguments."""
    second -= first
    second *= weight
    first += second
    return first


def source_positions(matrices: np.ndarray, offsets: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """Rows and columns (n, h, w) float32 where new pixels come from, reflected into the image."""
    rows = np.arange(height, dtype=np.float32)[:, np.newaxis]
    columns = np.arange(width, dtype=np.float32)
    coordinates = []
    for axis, side in enumerate((height, width)):
        down, right, start = (
            values.astype(np.float32)[:, np.newaxis, np.newaxis]
            for values in (matrices[:, axis, 0], matrices[:, axis, 1], offsets[:, axis])
        )
        along_axis = (down * rows + start) + right * columns  # (n, h, 1) + (n, 1, w) -> (n, h, w)
        coordinates.append(mirror(along_axis, side))
    return coordinates


def mirror(places: np.ndarray, side: int) -> np.ndarray:
    """Places on a line, reflected in place into [0, side - 1] about its outermost pixels."""
    period = np.float32(2 * (side - 1))
    if period == 0:
        places[:] = 0
        return places
    # Distance from the nearest multiple of the period, which is itself an image of place 0.
    nearest = places * (1 / period)
    np.rint(nearest, out=nearest)
    nearest *= period
    places -= nearest
    np.abs(places, out=places)
    return np.minimum(places, side - 1, out=places)  # rounding can leave it a little more


def _shifted(shift: float, height: int, width: int) -> str:
    down, right = shift_reach(shift, height, width)
    return f"moved by up to {down} pixels up or down and {right} to the left or right"


def _rotated(rotate: float, height: int, width: int) -> str:
    return f"turned by up to {rotate:g} degrees either way"


def _zoomed(zoom: float, height: int, width: int) -> str:
    return f"scaled by a factor from {1 - zoom:g} to {1 + zoom:g}"


SHIFT = Augmentation(
    key="shift",
    stream=1,
    draw=draw_shifts,
    effect=shift,
    takes=("shift",),
    sentence=_shifted,
    field=PageField("Shifted by up to", "share of a side, 0 to 0.5", 0.05),
)
ROTATE = Augmentation(
    key="rotate",
    stream=2,
    draw=draw_angles,
    effect=move,
    takes=("shift", "rotate", "zoom"),
    sentence=_rotated,
    field=PageField("Rotated by up to", "degrees, 0 to 180", 5),
)
ZOOM = Augmentation(
    key="zoom",
    stream=3,
    draw=draw_zooms,
    effect=move,
    takes=("shift", "rotate", "zoom"),
    sentence=_zoomed,
)
