"""One set of scored images as a page shows it: tables, figures, and the pictures behind every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from conviction.data import ImageSet
from conviction.evaluation import Part
from conviction.reporting.drawing import confidence, two_class_curves
from conviction.reporting.pictures import PictureAnswer, guesses, make_guess
from conviction.reporting.scores import (
    calibration_table,
    class_table,
    figures_table,
    slices_table,
    two_classes_table,
)
from conviction.reporting.steps import Table

# With more classes than this, a confusion matrix has more cells than a page can show.
MOST_MATRIX_CLASSES = 30
# Pictures that open below the matrix: of one cell, and in all, so that a page can be sent by mail.
CELL_PICTURES, ALL_PICTURES = 8, 1_000
# Pixels a side of those.
CELL_SIDE = 48
SUSPECTS_SHOWN = 12


@dataclass(frozen=True)
class ConfusionCell:
    """Images of class ``truth`` that were called ``called``, and the first few of them (k, h, w, c) uint8."""

    truth: int
    called: int
    count: int
    pixels: np.ndarray


@dataclass(frozen=True)
class PartView:
    """Everything that the page shows of a part."""

    part: Part
    class_names: Sequence[str]
    classes: Table
    figures: Table
    reliability: str
    slices: tuple[tuple[str, Table], ...]
    cells: tuple[ConfusionCell, ...]
    wrong: list[PictureAnswer]
    correct: list[PictureAnswer]
    suspects: list[PictureAnswer]
    calibration: Table | None = None
    two_classes: Table | None = None
    roc: str = ""

    @property
    def matrix(self) -> bool:
        """Whether the confusion matrix fits on the page."""
        return len(self.class_names) <= MOST_MATRIX_CLASSES


def view_part(part: Part, images: ImageSet) -> PartView:
    """Collects what the page shows.

    Args:
        part: What is known.
        images: That its ``index`` points into.
    """
    wrong, correct = guesses(images, part)
    matrix = len(images.class_names) <= MOST_MATRIX_CLASSES
    return PartView(
        part=part,
        class_names=images.class_names,
        classes=class_table(part.score),
        figures=figures_table(part.figures),
        reliability=confidence(part.reliability).svg(),
        slices=tuple((s.sentence, slices_table(s)) for s in part.slices),
        cells=_cells(part, images) if matrix else (),
        wrong=wrong,
        correct=correct,
        suspects=[make_guess(images, part, s.row) for s in part.suspects[:SUSPECTS_SHOWN]],
        calibration=None if part.calibration is None else calibration_table(part.calibration),
        two_classes=None if part.binary is None else two_classes_table(part.binary),
        roc="" if part.binary is None else two_class_curves(part.binary).svg(),
    )


def _cells(part: Part, images: ImageSet) -> tuple[ConfusionCell, ...]:
    """Every cell that has images: mistakes with the surest first, right answers with the least sure first."""
    labels, predicted = images.labels[part.index], part.probabilities.argmax(axis=1)
    sure = part.probabilities.max(axis=1)
    filled = [(i, j) for i, row in enumerate(part.score.confusion) for j, n in enumerate(row) if n]
    each = max(1, min(CELL_PICTURES, ALL_PICTURES // max(1, len(filled))))
    cells = []
    for truth, called in filled:
        rows = np.flatnonzero((labels == truth) & (predicted == called))
        order = np.argsort(sure[rows] if truth == called else -sure[rows], kind="stable")
        shown = [_small(images.pixels[part.index[r]]) for r in rows[order[:each]]]
        cells.append(ConfusionCell(truth, called, len(rows), np.stack(shown)))
    return tuple(cells)


def _small(pixels: np.ndarray) -> np.ndarray:
    """(h, w, c) at most ``CELL_SIDE`` pixels a side."""
    height, width, channels = pixels.shape
    scale = CELL_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return np.asarray(picture.resize(size, Image.Resampling.BOX)).reshape(size[1], size[0], channels)
