"""The figures of a report, as those of matplotlib, which a notebook shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import RequestError, RunError
from conviction.flow.again import load_again
from conviction.reporting import Drawing, confidence
from conviction.reporting import confusion as confusion_matrix
from conviction.reporting import curves as epoch_curves
from conviction.runs import RunFolder, RunScore
from conviction.runs.label_issues import mistakes as all_mistakes
from conviction.runs.label_issues import part_to_show
from conviction.runs.rows import rows_of_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pictures beside each other.
_COLUMNS = 4


def curves(run: RunFolder) -> Figure:
    """Loss and accuracy over the epochs."""
    if not run.epoch_rows:
        raise RunError(f"{run.path}: no epoch has finished, so there are no curves yet.")
    return epoch_curves(run.epoch_rows).figure()


def confusion(run: RunFolder) -> Figure:
    """The confusion matrix."""
    return confusion_matrix(_score(run).confusion, run.data.class_names).figure()


def reliability(run: RunFolder) -> Figure:
    """Accuracy by confidence."""
    return confidence(_score(run).reliability).figure()


def _score(run: RunFolder) -> RunScore:
    return run.evaluation.parts[part_to_show(run)]


def mistakes(run: RunFolder, most: int, data_dir: str | Path | None) -> Figure:
    """The pictures that are answered wrongly, the surest first."""
    if most < 1:
        raise RequestError(f"most: expected a number of pictures from 1; got {most}.")
    part = part_to_show(run)
    wrong = all_mistakes(run, part)[:most]
    images = load_again(run, data_dir)
    rows = dict(zip(run.split.of(part), rows_of_part(run, images, part).tolist(), strict=True))
    titles = [f"{one.label}, called {one.predicted} ({one.probability:.0%})" for one in wrong]
    return pictures(images.pixels[[rows[one.file] for one in wrong]], titles)


def pictures(pixels: np.ndarray, titles: Sequence[str]) -> Figure:
    """Pictures with a line above each.

    Args:
        pixels: (n, height, width, 1 or 3) uint8.
        titles: n lines.
    """

    def draw(figure: Figure, _: Any) -> dict[str, str]:
        if not len(pixels):
            figure.text(0.5, 0.5, "It made no mistakes.", ha="center", va="center")
            return {}
        down = math.ceil(len(pixels) / _COLUMNS)
        for number, (picture, title) in enumerate(zip(pixels, titles, strict=True), start=1):
            axes = figure.add_subplot(down, _COLUMNS, number)
            axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(title, fontsize=9, wrap=True)
            axes.axis("off")
        return {}

    down = math.ceil(max(1, len(pixels)) / _COLUMNS)
    return Drawing("Pictures", draw, (2.4 * _COLUMNS, 2.4 * down)).figure()
