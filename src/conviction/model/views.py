"""Answers averaged over a picture as it is, mirrored and shifted (``evaluation.views``).

Each version takes rows and columns of the picture, so it is two lists of indices; an exported network takes them by
products with matrices of zeros and ones, which every runtime has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from conviction.backend import import_keras

if TYPE_CHECKING:
    import keras

# Of a side, and at least one pixel: the pixel of 32 by which Jordan (2024) shifts.
SHIFT = 1 / 32


class PictureView(NamedTuple):
    """Which rows and columns of a picture a version of it takes, in its order."""

    rows: np.ndarray
    columns: np.ndarray

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The version of each picture, (n, h, w, c)."""
        return pixels[:, self.rows][:, :, self.columns]


def views_of(views: int, height: int, width: int) -> list[PictureView]:
    """The versions over which answers are averaged.

    Args:
        views: 1 for the picture as it is; 2 with its mirror image; 6 with both shifted up and to the left, and down and
            to the right, by ``SHIFT`` of each side, reflected at the borders.
        height: Of the pictures, in pixels.
        width: The same.

    >>> [view.columns.tolist() for view in views_of(2, 4, 4)]
    [[0, 1, 2, 3], [3, 2, 1, 0]]
    """
    shifts = {1: (0,), 2: (0,), 6: (0, -1, 1)}[views]
    mirrored = (False,) if views == 1 else (False, True)
    return [
        PictureView(_shifted(height, shift), _shifted(width, shift)[:: -1 if mirror else 1])
        for shift in shifts
        for mirror in mirrored
    ]


def _shifted(side: int, direction: int) -> np.ndarray:
    by = max(1, round(side * SHIFT))
    padded = np.pad(np.arange(side), by, mode="reflect")
    return padded[by - direction * by :][:side]


def stack_views(pixels: keras.KerasTensor, views: int) -> keras.KerasTensor:
    """All versions of each picture as pictures of one batch, in a network that is exported.

    Args:
        pixels: (n, h, w, c) uint8.
        views: As for ``views_of``; not 1.

    Returns:
        (views * n, h, w, c) float32, of which the first n are the first version.
    """
    layers = import_keras().layers
    numbers = layers.Rescaling(1.0, dtype="float32", name="numbers")(pixels)
    # (n, h, w, c) -> (n, c, h, w)
    across = layers.Permute((3, 1, 2), dtype="float32", name="across")(numbers)
    versions = []
    for index, view in enumerate(views_of(views, *pixels.shape[1:3])):
        taken = _taken(across, view.columns, f"columns_{index}")
        # -> (n, c, w, h)
        taken = layers.Permute((1, 3, 2), dtype="float32", name=f"down_{index}")(taken)
        taken = _taken(taken, view.rows, f"rows_{index}")
        # -> (n, h, w, c)
        versions.append(layers.Permute((3, 2, 1), dtype="float32", name=f"view_{index}")(taken))
    return layers.Concatenate(axis=0, dtype="float32", name="views")(versions)


def average_views(answers: keras.KerasTensor, views: int) -> keras.KerasTensor:
    """The mean over the versions of each picture: (views * n, k) -> (n, k)."""
    ops = import_keras().ops
    return ops.mean(ops.reshape(answers, (views, -1, answers.shape[-1])), axis=0)


def _taken(values: keras.KerasTensor, indices: np.ndarray, name: str) -> keras.KerasTensor:
    """Those of the last axis, by a product with a matrix of zeros and ones."""
    if np.array_equal(indices, np.arange(len(indices))):
        return values
    take = import_keras().layers.Dense(len(indices), use_bias=False, dtype="float32", name=name)
    taken = take(values)
    take.set_weights([np.eye(len(indices), dtype=np.float32)[:, indices]])
    return taken
