"""Two small pictures laid over each other: by scale, shift, brightness and contrast, and how well they then agree."""

from __future__ import annotations

import numpy as np

SIDE = 32
"""Pixels along each side of the pictures that ``blurred`` takes."""
MAX_SCALE, MAX_SHIFT = 0.14, 0.12
"""Bounds of the alignment: 5% off both sides is a scale of 0.11; the shift is in half widths."""
WARP_PRIOR = (2.0 / 0.05) ** 2
"""(Noise in gray levels / usual size of a warp) squared: without it, smooth pictures drift to the bounds."""

NEAR = np.abs(np.arange(SIDE)[:, None] - np.arange(SIDE))
BLUR = np.exp(-0.5 * (NEAR / 2.0) ** 2)
BLUR = (BLUR / BLUR.sum(1, keepdims=True)).astype(np.float32)


def luminance(pixels: np.ndarray) -> np.ndarray:
    """(..., 32, 32, 1 or 3) uint8 to (..., 32, 32) float32 in [0, 255] (ITU-R BT.601)."""
    if pixels.shape[-1] == 1:
        return pixels[..., 0].astype(np.float32)
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def halved(x: np.ndarray) -> np.ndarray:
    """(m, 32, 32) to (m, 16, 16), by means of 2x2."""
    rows = x[:, 0::2] + x[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)


def smoothed(x: np.ndarray) -> np.ndarray:
    """Binomial [1 2 1] / 4 along both axes, which takes off what interpolation would lose anyway."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) * np.float32(1 / 16)


def blurred(x: np.ndarray) -> np.ndarray:
    """(m, 32, 32) blurred by a Gaussian of 2 pixels: light and shade."""
    return BLUR @ x @ BLUR.T


def align(x: np.ndarray, y: np.ndarray, warp: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton steps of Lucas and Kanade that resample (m, s, s) ``y`` to look like (m, s, s) ``x``.

    A warp is (m, 2, 2) float32: scale - 1 and shift, down and to the right, in half widths. Returned with it
    is the (m,) float32 gain, how much more contrast ``x`` has than ``y``.
    """
    m, side = x.shape[:2]
    area = side * side  # spelt out below, because NumPy cannot infer an axis of an array without elements
    grid = ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)  # centres of pixels, from -1 to 1
    x, y = (part - part.mean((1, 2), keepdims=True) for part in (x, y))
    gain = np.ones(m, np.float32)
    bound = np.array([MAX_SCALE, MAX_SHIFT], np.float32)
    for _ in range(steps):
        moved, weight = warped(y, warp)
        down, right = np.gradient(moved, 2 / side, axis=(1, 2))
        columns = np.stack([down * grid[:, None], down, right * grid, right, moved, np.ones_like(moved)], 1)
        columns = columns.reshape(m, 6, area)
        weighted = columns * weight.reshape(m, 1, area)
        normal = weighted @ columns.transpose(0, 2, 1)
        target = weighted @ x.reshape(m, area, 1)
        size = np.einsum("mii->mi", normal)
        size += 1e-5 * size + 1e-3
        size[:, :4] += WARP_PRIOR
        target[:, :4, 0] -= WARP_PRIOR * warp.reshape(m, 4)
        solved = np.linalg.solve(normal, target)[..., 0]
        gain = solved[:, 4]
        # Below a tenth of the contrast, or inverted, this is not a pair, and a step could lead anywhere.
        step = solved[:, :4].reshape(m, 2, 2) / np.maximum(gain, 0.1)[:, None, None]
        warp = np.clip(warp + (1 + warp[:, :, :1]) * step, -bound, bound)
    return warp, gain


def _resampling(warp: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """For (m, 2) warps of one axis: (m, s, s) linear interpolation, (m, s) weight, 0 outside the picture."""
    index = np.arange(side, dtype=np.float32)
    centre = (side - 1) / 2
    pixel = (index - centre) * (1 + warp[:, :1]) + warp[:, 1:] * np.float32(side / 2) + np.float32(centre)
    weight = np.clip(pixel + 1, 0, 1) * np.clip(side - pixel, 0, 1)
    inside = np.clip(pixel, 0, side - 1)
    distance = np.abs(inside[:, :, None] - index)
    return np.maximum(1 - distance, 0), weight


def warped(y: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, s, s) resampled by (m, 2, 2) warps, and the (m, s, s) weight of what lies inside."""
    rows, row_weight = _resampling(warp[:, 0], y.shape[-1])
    columns, column_weight = _resampling(warp[:, 1], y.shape[-1])
    return rows @ y @ columns.transpose(0, 2, 1), row_weight[:, :, None] * column_weight[:, None]


def agreement(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted correlation of (m, s, s) pairs but for ``noise``, and the smaller of their deviations."""
    total = weight.sum((1, 2))
    x = x - ((weight * x).sum((1, 2)) / total)[:, None, None]
    y = y - ((weight * y).sum((1, 2)) / total)[:, None, None]
    xx, yy, xy = (np.einsum("mij,mij,mij->m", weight, a, b) / total for a, b in ((x, x), (y, y), (x, y)))
    floor = noise**2
    correlation = (xy + floor) / np.sqrt(np.maximum((xx + floor) * (yy + floor), 1e-9))
    return correlation, np.sqrt(np.minimum(xx, yy))
