"""Where the window of a convolution or pooling lies on its input.

The rules are those of Keras on every backend: output row r starts at input row r * stride - before, where ``before`` is
0 with ``valid`` padding. With ``same`` padding the rows that are missing for ceil(n / stride) outputs are added half
before and half after, the odd one after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """``height`` rows from ``top`` on and ``width`` columns from ``left`` on, in the layer's input.

    With ``same`` padding a window may begin before 0 or end beyond the input.
    """

    top: int
    left: int
    height: int
    width: int


def window_at(
    position: tuple[int, int],
    shape: tuple[int, int],
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> Window:
    """The window of one output value.

    Args:
        position: Row and column in the output.
        shape: Rows and columns of the input.
        size: Rows and columns of the window.
        strides: Down and to the right.
        padding: ``valid`` or ``same``.
    """
    starts = []
    for at, n, k, stride in zip(position, shape, size, strides, strict=True):
        missing = max((-(-n // stride) - 1) * stride + k - n, 0) if padding == "same" else 0
        starts.append(at * stride - missing // 2)
    return Window(starts[0], starts[1], size[0], size[1])


def patch(maps: np.ndarray, window: Window) -> np.ndarray:
    """What a window shows, with zeros where it lies outside: (h, w, c) -> (height, width, c)."""
    out = np.zeros((window.height, window.width, maps.shape[2]), maps.dtype)
    rows, columns = inside(maps, window)
    out[
        rows.start - window.top : rows.stop - window.top,
        columns.start - window.left : columns.stop - window.left,
    ] = maps[rows, columns]
    return out


def inside(maps: np.ndarray, window: Window) -> tuple[slice, slice]:
    """The rows and columns of the input that a window covers."""
    return (
        slice(max(window.top, 0), min(window.top + window.height, maps.shape[0])),
        slice(max(window.left, 0), min(window.left + window.width, maps.shape[1])),
    )
