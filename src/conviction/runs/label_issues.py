"""Every image that a run gets wrong, and every label that is probably wrong, as rows that can become corrections."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from conviction.audience import call
from conviction.config.text import shown
from conviction.data.image_set import PARTS
from conviction.data.relabel import proposals_csv
from conviction.errors import RequestError, RunError
from conviction.evaluation import suspect_labels
from conviction.runs.folder import FOLDS, check_file, replacing
from conviction.runs.folds import read_folds
from conviction.runs.predictions import read_predictions
from conviction.runs.run import RunFolder


@dataclass(frozen=True)
class Mistake:
    """An image that a run gets wrong.

    Attributes:
        file: Its name in the source.
        part: "train", "validation" or "test".
        label: Its class.
        predicted: What the run calls it.
        probability: How sure the run is of that, from 0 to 1.
        proposed: Empty, for a person to fill in: most mistakes are the network's, and not the label's.
    """

    file: str
    part: str
    label: str
    predicted: str
    probability: float
    proposed: str = ""


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is probably wrong.

    Attributes:
        file: Its name in the source.
        part: "train", "validation" or "test".
        label: Its class, as the source says.
        proposed: The class that is likelier.
        margin: The probability of that class minus that of the label, from 0 to 1.
    """

    file: str
    part: str
    label: str
    proposed: str
    margin: float


def part_to_show(run: RunFolder, part: str | None = None) -> str:
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
            f"{run.path}: the test set is sealed, so its images have not been answered. Open it with: "
            f"{call('evaluate', run.path)}"
        )
    return part


def mistakes(run: RunFolder, part: str | None = None) -> list[Mistake]:
    """All images of a part that the run gets wrong, those first where it was surest.

    Args:
        run: Finished.
        part: "train", "validation" or "test"; None for the test set, or validation while that is sealed.

    Raises:
        RequestError, RunError: As ``part_to_show``; or the predictions are missing or damaged.
    """
    part = part_to_show(run, part)
    answers, names = read_predictions(run.path)[part], run.data.class_names
    predicted, surest = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1)
    files = file_names(run, (part,), answers.hashes)
    wrong = np.flatnonzero(predicted != answers.labels)
    wrong = wrong[np.argsort(-surest[wrong], kind="stable")]
    return [
        Mistake(files[i][0], part, names[answers.labels[i]], names[predicted[i]], float(surest[i]))
        for i in wrong.tolist()
    ]


def label_issues(run: RunFolder) -> list[LabelIssue]:
    """The labels that are probably wrong, the surest first, by ``suspect_labels``.

    A network that has learned a wrong label proves nothing about it. So training images are judged only by the
    networks of ``evaluation.folds`` that have not seen them, where the run has these.

    Args:
        run: Finished.

    Raises:
        RunError: The predictions are missing or damaged.
    """
    names = run.data.class_names
    parts = {part: a for part, a in read_predictions(run.path).items() if part != "train"}
    probabilities = [a.probabilities for a in parts.values()]
    labels = [a.labels for a in parts.values()]
    rows = [row for part, a in parts.items() for row in file_names(run, (part,), a.hashes)]
    if os.path.lexists(run.path / FOLDS):
        unseen = read_folds(run.path)
        answered = np.isfinite(unseen.probabilities).all(axis=(0, 2))
        hashes = [h.tobytes().hex() for h in unseen.hashes]
        both = file_names(run, ("train", "validation"), hashes)
        own = [i for i in np.flatnonzero(answered).tolist() if both[i][1] == "train"]
        probabilities.append(unseen.probabilities.mean(axis=0)[own])
        labels.append(unseen.labels[own])
        rows += [both[i] for i in own]
    together = np.concatenate(labels)
    return [
        LabelIssue(*rows[s.row], names[s.label], names[s.likelier], s.margin)
        for s in suspect_labels(np.concatenate(probabilities), together)
    ]


def file_names(run: RunFolder, parts: Sequence[str], hashes: Iterable[str]) -> list[tuple[str, str]]:
    """The name and part of each image, by its content; those of equal content in the order of the split."""
    by_hash: dict[str, list[tuple[str, str]]] = {}
    for part in parts:
        for name, content in run.split.of(part).items():
            by_hash.setdefault(content, []).append((name, part))
    return [by_hash[h].pop(0) if by_hash.get(h) else ("", parts[0]) for h in hashes]


Row = TypeVar("Row", Mistake, LabelIssue)


def write_corrections(path: Path, rows: Sequence[Row], kind: type[Row]) -> None:
    """Writes rows as a CSV that ``fit --relabel`` takes once a person has looked at it.

    Raises:
        RequestError: The path is a folder.
        StorageError: It cannot be written.
    """
    check_file(path)
    content = proposals_csv([f.name for f in fields(kind)], [asdict(row) for row in rows])
    with replacing(path) as beside:
        beside.write_bytes(content)
