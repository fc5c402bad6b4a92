"""``evaluate`` on images that a run was not made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from conviction.card import card
from conviction.config import DataSpec
from conviction.data import ImageSet, load_source
from conviction.data.image_set import set_hash
from conviction.data.in_memory import Source, source_path
from conviction.errors import RequestError
from conviction.evaluation import (
    Part,
    checked,
    describe_part,
    openings_sentence,
    read_metadata,
    record_opening,
)
from conviction.flow.again import few, load_finished
from conviction.flow.showing import Showing, shown
from conviction.model import predict_images
from conviction.process import restores_process
from conviction.reporting import new_images_step, steps
from conviction.runs import RunFolder, RunLike
from conviction.runs.predictions import read_predictions


@dataclass(frozen=True, repr=False)
class NewImages:
    """A run on images that it was not made with.

    Attributes:
        images: With the labels and classes of the run.
        part: The scores on them.
        openings: How often this set has been opened, including this time.
        notes: Classes that are unknown or missing, images that the run has learned from, in sentences.
    """

    images: ImageSet
    part: Part
    openings: int
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        score = self.part.score
        return f"NewImages({self.images.name!r}, {score.n:,} images, accuracy {score.accuracy:.2%})"

    def _repr_html_(self) -> str:
        score = self.part.score
        low, high = score.accuracy_ci95
        facts = {
            "images": f"{score.n:,}",
            "accuracy": f"{score.accuracy:.2%}, 95% interval {low:.2%} to {high:.2%}",
            "loss": f"{score.loss:.4f}",
        }
        return card(f"{self.images.name}, which the run was not made with", facts, self.sentences)

    @property
    def sentences(self) -> list[str]:
        """The notes, and how often the set has been opened."""
        return [*self.notes, openings_sentence(self.openings)]

    def to_json(self) -> dict[str, Any]:
        """For ``evaluate --json``."""
        return {
            "location": self.images.location,
            **self.part.score.to_json(),
            "openings": self.openings,
            "notes": list(self.notes),
            **self.part.to_json(self.images),
        }


@restores_process
def evaluate_new(
    run: RunLike,
    source: Source,
    *,
    metadata: str | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
) -> NewImages:
    """Scores a run on images that it was not made with; classes are matched by name.

    Args:
        run: A finished run, or the path of its folder.
        source: As for ``fit``. If it has a test set, only that is used.
        metadata: A CSV as for ``evaluation.metadata``, of these images.
        data_dir: Where to look for named sets first.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: The source cannot be read, or has none of the run's classes.
        EvaluationError: The network's outputs are not numbers.
    """
    source = source_path(source)
    opened = load_finished(run)
    names = opened.class_names
    watching = shown(show)
    watching.loading(str(source))
    try:
        # Earlier rules do not distinguish a scale that the user gave from the one of the data type.
        spec = DataSpec(range=opened.config.data.range if opened.rule.version < 3 else None)
        images = load_source(source, spec, data_dir, least_classes=1, rule=opened.rule)
        images, index, notes = _matched(images, names)
        values = read_metadata(metadata, images) if metadata else None
        notes += steps.left_out(images) + steps.not_used(images) + _learned(opened, images, index)
        answers = read_predictions(opened.path)["validation"]
        openings = record_opening(set_hash(images.hashes[index]), opened.path, "evaluate")
        probabilities = checked(predict_images(opened.model, images, index, opened.config.evaluation.views))
        validation = (answers.probabilities, answers.labels)
        part = describe_part(
            "new", images, index, probabilities, validation, temperature=opened.temperature, metadata=values
        )
        scored = NewImages(images, part, openings, tuple(notes))
        watching.step(new_images_step(part, images.location, scored.sentences))
    finally:
        watching.close()
    return scored


def _matched(images: ImageSet, names: Sequence[str]) -> tuple[ImageSet, np.ndarray, list[str]]:
    """The set with the labels of the run, the images that can be scored, and notes on what was left out.

    Raises:
        RequestError: No class has a name that the run knows.
    """
    known = {name: i for i, name in enumerate(names)}
    unknown = [name for name in images.class_names if name not in known]
    missing = [name for name in names if name not in images.class_names]
    if len(unknown) == len(images.class_names):
        raise RequestError(
            f"{images.location}: none of its classes ({few(images.class_names)}) is one of the run's ({few(names)}). "
            "Classes are matched by name: rename the folders."
        )
    to = np.array([known.get(name, -1) for name in images.class_names], np.int64)
    labels = to[images.labels]
    scored = labels >= 0
    notes = []
    if (images.parts == "test").any():
        scored &= images.parts == "test"
        notes.append("The source has a test set; only that is scored.")
    if unknown:
        left = int((labels < 0).sum())
        notes.append(f"Classes that the run does not know are left out: {few(unknown)} ({left:,} images).")
    if missing:
        notes.append(
            f"Classes of the run that have no images here, so this says nothing about them: {few(missing)}."
        )
    if not scored.any():
        raise RequestError(f"{images.location}: no image of a class that the run knows.")
    return replace(images, labels=labels, class_names=list(names)), np.flatnonzero(scored), notes


def _learned(run: RunFolder, images: ImageSet, index: np.ndarray) -> list[str]:
    """Whether the run has learned from some of these images."""
    learned = {h for part in (run.split.train, run.split.validation) for h in part.values()}
    seen = sum(h in learned for h in images.hex_hashes(index))
    if not seen:
        return []
    return [
        f"This makes the figures doubtful: {seen:,} of these {len(index):,} images are among those that the run was "
        "trained or chosen with."
    ]
