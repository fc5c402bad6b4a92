"""What a run has kept, as DataFrames."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.config.text import shown
from conviction.data.image_set import PARTS
from conviction.errors import RequestError, RunError
from conviction.evaluation.mistakes import suspect_labels
from conviction.runs import RunFolder, RunScore
from conviction.runs.predictions import read_predictions

if TYPE_CHECKING:
    import pandas as pd


def history(run: RunFolder) -> pd.DataFrame:
    """A row for each epoch."""
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in run.epoch_rows]).set_index("epoch")


def predictions(run: RunFolder) -> pd.DataFrame:
    """A row for each image that has been answered; see ``Run.predictions``."""
    import pandas as pd

    names = run.data.class_names
    kept = {part: answers for part, answers in read_predictions(run.path).items() if part in PARTS}
    frames = []
    for part, answers in kept.items():
        called = answers.probabilities.argmax(axis=1)
        columns: dict[str, Any] = {
            "part": part,
            "file": _files(run, part, answers.hashes),
            "label": [names[i] for i in answers.labels],
            "predicted": [names[i] for i in called],
            "right": called == answers.labels,
            "probability": answers.probabilities.max(axis=1),
        }
        columns |= {f"p({name})": answers.probabilities[:, i] for i, name in enumerate(names)}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _files(run: RunFolder, part: str, hashes: list[str]) -> list[str]:
    """The name of each image; those of equal content in the order of the split."""
    by_hash: dict[str, list[str]] = {}
    for name, content in run.split.of(part).items():
        by_hash.setdefault(content, []).append(name)
    return [by_hash[h].pop(0) if by_hash.get(h) else "" for h in hashes]


def scores(run: RunFolder) -> pd.DataFrame:
    """A row for each part."""
    import pandas as pd

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
    import pandas as pd

    rows = [row.model_dump() for row in _shown(run).per_class]
    return pd.DataFrame(rows).set_index("name").rename_axis("class")


def confusion(run: RunFolder) -> pd.DataFrame:
    """(classes, classes) of counts: rows are what images are, columns what they were called."""
    import pandas as pd

    names = run.data.class_names
    return pd.DataFrame(
        _shown(run).confusion, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted")
    )


def _shown(run: RunFolder) -> RunScore:
    """The score of the part that the report describes."""
    return run.evaluation.test or run.evaluation.validation


def shown_part(run: RunFolder, part: str | None = None) -> str:
    """The part that is asked for, or that the report describes.

    Raises:
        RequestError: There is no part of that name.
        RunError: It has not been answered, because the test set is sealed.
    """
    if part is None:
        return "test" if run.evaluation.test else "validation"
    if part not in PARTS:
        raise RequestError(f"part: expected one of {', '.join(PARTS)}; got {shown(part)}.")
    if part == "test" and run.evaluation.test is None:
        raise RunError(
            f"{run.path}: the test set is sealed, so its images have not been answered. Open it with: run.evaluate()"
        )
    return part


def mistakes(run: RunFolder, part: str | None = None) -> pd.DataFrame:
    """The rows of ``predictions`` that are wrong, the surest first."""
    part = shown_part(run, part)
    answers = predictions(run)
    wrong = answers[(answers["part"] == part) & ~answers["right"]]
    shown = wrong[["file", "label", "predicted", "probability"]]
    return shown.sort_values("probability", ascending=False, kind="stable")


def suspects(run: RunFolder) -> pd.DataFrame:
    """Rows outside the training set, with the likelier class and by how much it is likelier."""
    import pandas as pd

    names, answers = run.data.class_names, predictions(run)
    unlearned = answers[answers["part"] != "train"].reset_index(drop=True)
    probabilities = unlearned[[f"p({name})" for name in names]].to_numpy()
    labels = np.array([names.index(label) for label in unlearned["label"]])
    rows = [
        {
            "part": unlearned["part"][s.row],
            "file": unlearned["file"][s.row],
            "label": names[s.label],
            "likelier": names[s.likelier],
            "margin": s.margin,
        }
        for s in suspect_labels(probabilities, labels)
    ]
    return pd.DataFrame(rows, columns=["part", "file", "label", "likelier", "margin"])
