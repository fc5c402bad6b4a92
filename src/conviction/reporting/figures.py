"""The report's figures as files, for a paper or a slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conviction.evaluation import Evaluation
from conviction.reporting.drawing import Drawing, confidence, confusion, curves, two_class_curves
from conviction.runs.folder import replacing, storing
from conviction.training import EpochRow


def save_figures(
    folder: Path,
    kind: str,
    history: Sequence[EpochRow],
    evaluation: Evaluation | None,
    class_names: Sequence[str],
) -> list[Path]:
    """Writes each figure that there is.

    Args:
        folder: A folder, which is made if need be.
        kind: "png" or "pdf".
        history: May be empty.
        evaluation: None if the run was stopped before it.
        class_names: Of the confusion matrix.

    Returns:
        The files.
    """
    drawings: dict[str, Drawing] = {}
    if history:
        drawings["curves"] = curves(history)
    if evaluation is not None:
        drawings["reliability"] = confidence(evaluation.shown.reliability)
        drawings["confusion"] = confusion(evaluation.shown.score.confusion, class_names)
        if evaluation.shown.binary:
            drawings["roc"] = two_class_curves(evaluation.shown.binary)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, drawing in drawings.items():
        written.append(folder / f"{name}.{kind}")
        with replacing(written[-1]) as beside:
            drawing.save(beside)
    return written
