"""What an answer rests on: the picture is classified again and again, each time with a grey patch elsewhere.

Zeiler & Fergus, Visualizing and Understanding Convolutional Networks (2014), section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GREY = 128
# Cells of the grid along a side at most: finer ones cost time and show noise.
CELLS = 14


@dataclass(frozen=True)
class Patches:
    """A grid over a picture; each patch covers its cell and half a cell around it.

    Attributes:
        rows: Of the grid.
        columns: Of the grid.
        cell: (height, width) of a cell, in pixels.
    """

    rows: int
    columns: int
    cell: tuple[int, int]

    @classmethod
    def over(cls, height: int, width: int) -> Patches:
        """The grid for a picture of this size, in pixels."""
        cell = (-(-height // CELLS), -(-width // CELLS))
        return cls(-(-height // cell[0]), -(-width // cell[1]), cell)

    def occluded(self, pixels: np.ndarray) -> np.ndarray:
        """(height, width, channels) uint8 -> (rows * columns, height, width, channels), row by row."""
        many = np.repeat(pixels[None], self.rows * self.columns, axis=0)
        high, wide = self.cell
        for i in range(len(many)):
            top, left = high * (i // self.columns), wide * (i % self.columns)
            above, before = max(0, top - high // 2), max(0, left - wide // 2)
            many[i, above : top + high + high // 2, before : left + wide + wide // 2] = GREY
        return many

    def drops(self, whole: np.ndarray, occluded: np.ndarray) -> np.ndarray:
        """How much less probable the likeliest class is with each patch.

        Args:
            whole: (classes,) probabilities of the picture itself.
            occluded: (rows * columns, classes).

        Returns:
            (rows, columns); negative where a patch makes the class more probable.
        """
        best = int(whole.argmax())
        return (float(whole[best]) - occluded[:, best]).reshape(self.rows, self.columns)
