"""What a run has kept, as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from conviction.data.image_set import PARTS
from conviction.evaluation.operating import Coverage, OperatingPoint
from conviction.extras import needed
from conviction.runs import RunFolder, RunScore
from conviction.runs.label_issues import LabelIssue, Mistake, file_names
from conviction.runs.predictions import read_predictions

if TYPE_CHECKING:
    import pandas as pd


def history(run: RunFolder) -> pd.DataFrame:
    """A row for each epoch."""
    pd = needed("pandas", "a table of a run")
    return pd.DataFrame([asdict(row) for row in run.epoch_rows]).set_index("epoch")


def predictions(run: RunFolder) -> pd.DataFrame:
    """A row for each image that has been answered; see ``Run.predictions``."""
    pd = needed("pandas", "a table of a run")
    names = run.data.class_names
    kept = {part: answers for part, answers in read_predictions(run.path).items() if part in PARTS}
    frames = []
    for part, answers in kept.items():
        called = answers.probabilities.argmax(axis=1)
        columns: dict[str, Any] = {
            "part": part,
            "file": [name for name, _ in file_names(run, (part,), answers.hashes)],
            "label": [names[i] for i in answers.labels],
            "predicted": [names[i] for i in called],
            "right": called == answers.labels,
            "probability": answers.probabilities.max(axis=1),
        }
        columns |= {f"p({name})": answers.probabilities[:, i] for i, name in enumerate(names)}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def scores(run: RunFolder) -> pd.DataFrame:
    """A row for each part."""
    pd = needed("pandas", "a table of a run")
    rows = {
        part: {
            "images": score.n,
            "loss": score.loss,
            "accuracy": score.accuracy,
            "accuracy_low": score.accuracy_ci95[0],
            "accuracy_high": score.accuracy_ci95[1],
        }
        for part, score in run.evaluation.parts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")


def per_class(run: RunFolder) -> pd.DataFrame:
    """A row for each class."""
    pd = needed("pandas", "a table of a run")
    rows = [row.model_dump() for row in _shown(run).per_class]
    return pd.DataFrame(rows).set_index("name").rename_axis("class")


def confusion(run: RunFolder) -> pd.DataFrame:
    """(classes, classes) of counts: rows are what images are, columns what they were called."""
    pd = needed("pandas", "a table of a run")
    names = run.data.class_names
    return pd.DataFrame(
        _shown(run).confusion, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted")
    )


def _shown(run: RunFolder) -> RunScore:
    """The score of the part that the report describes."""
    return run.evaluation.test or run.evaluation.validation


def mistakes(rows: Sequence[Mistake]) -> pd.DataFrame:
    """A row for each image."""
    return _frame(rows, Mistake).drop(columns=["part", "proposed"])


def suspects(rows: Sequence[LabelIssue]) -> pd.DataFrame:
    """A row for each label that is probably wrong."""
    return _frame(rows, LabelIssue)


def operating_points(points: Sequence[OperatingPoint]) -> pd.DataFrame:
    """A row for each threshold."""
    frame = _frame(points, OperatingPoint).set_index("threshold")
    return frame.assign(balanced_accuracy=[point.balanced_accuracy for point in points])


def coverage(rows: Sequence[Coverage]) -> pd.DataFrame:
    """A row for each level."""
    return _frame(rows, Coverage).set_index("abstain_below")


def _frame(rows: Sequence[Any], kind: type[Any]) -> pd.DataFrame:
    pd = needed("pandas", "a table of a run")
    return pd.DataFrame([asdict(row) for row in rows], columns=[f.name for f in fields(kind)])
