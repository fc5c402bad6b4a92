"""What a finished run's evaluation has to show, computed from what the run keeps; nothing is opened here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from conviction.data import ImageSet
from conviction.errors import RunError
from conviction.evaluation import Pair, openings_sentence
from conviction.explanation import grad_cam, overlay
from conviction.flow.again import load_again, load_finished
from conviction.flow.compare import compare, find_pictures
from conviction.flow.differences import OF_FILES
from conviction.flow.evaluation import evaluation_step, serious_doubts
from conviction.flow.finished import evaluate_answers
from conviction.reporting import (
    PartPanels,
    Step,
    contrasts,
    image_address,
    printable,
    render_contrasts,
    render_panels,
)
from conviction.runs import RunFolder, open_run
from conviction.runs.predictions import Answers, read_predictions
from conviction.runs.rows import rows_of_run
from conviction.web.elements.intervals import Estimate
from conviction.web.work.changes import word_of

MISTAKES_EXPLAINED = 8


@dataclass(frozen=True)
class Evaluated:
    """What the page shows.

    Attributes:
        part: Which images it is about: "test", or "validation" while the test set is sealed.
        accuracies: Of each part that has been scored, that of ``part`` first, and what cross-validation estimates.
        images: How many images of ``part`` there are.
        doubts: What makes the accuracy doubtful, in sentences.
        step: What the terminal says about the evaluation.
        panels: The pieces of the report about ``part``.
    """

    part: str
    accuracies: tuple[Estimate, ...]
    images: int
    doubts: tuple[str, ...]
    step: Step
    panels: PartPanels


@dataclass(frozen=True)
class Reason:
    """A picture and where the evidence for the answer lies: addresses of two pictures, and words."""

    picture: str
    heat: str
    predicted: str
    sure: float
    truth: str


def evaluated(path: str, data_dir: str | None, part: str) -> Evaluated:
    """The evaluation of a finished run, read and drawn.

    Args:
        path: The run folder.
        data_dir: Where to look for named sets first.
        part: Which images it is about: "test", or "validation" while the test set is sealed.

    Raises:
        RunError: It is not finished, or its predictions are missing.
        RequestError: Its data has changed.
    """
    run = load_finished(path)
    # Between the opening and the evaluation that reports it, the file has answers that the page does not know about.
    answers = {name: known for name, known in _answers(run, part).items() if part == "test" or name != "test"}
    ready, evaluation = evaluate_answers(run, answers, data_dir)
    shown, scored = evaluation.shown, evaluation.scored
    accuracies = [
        Estimate(name, scored[name].accuracy, scored[name].accuracy_ci95)
        for name in sorted(scored, key=lambda name: name != shown.name)
    ]
    estimate = None if evaluation.folds is None else evaluation.folds.accuracy
    if estimate is not None and estimate.ci95 is not None:
        accuracies.append(Estimate("cross-validation", estimate.value, estimate.ci95))
    doubts = [printable(doubt) for doubt in serious_doubts(ready)]
    if evaluation.openings > 1:
        doubts.insert(0, openings_sentence(evaluation.openings))
    return Evaluated(
        shown.name,
        tuple(accuracies),
        shown.score.n,
        tuple(doubts),
        evaluation_step(evaluation, ready, None),
        render_panels(ready.images, shown),
    )


def _answers(run: RunFolder, part: str) -> dict[str, Answers]:
    answers = read_predictions(run.path)
    if part not in answers:
        raise RunError(f"{run.path.name}: it keeps no answers to the {part} images.")
    return answers


def reasons(path: str, data_dir: str | None, part: str, stamp: float) -> list[Reason]:
    """Grad-CAM for the mistakes that the run was surest of.

    Args:
        path: The run folder.
        data_dir: As for ``evaluated``.
        part: As for ``evaluated``; the mistakes are those on its images.
        stamp: When the model was written, so that a model that was trained further is loaded again.

    Raises:
        RequestError: The network has no convolution; the data has changed.
    """
    run, images = _loaded(path, data_dir, stamp)
    known = _answers(run, part)[part]
    predicted = known.probabilities.argmax(axis=1)
    sure = known.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != known.labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES_EXPLAINED]
    rows = rows_of_run(run, images, [known.hashes[i] for i in wrong])
    mistakes = []
    for row, image in zip(wrong, rows, strict=True):
        pixels = images.pixels[image]
        cam = grad_cam(run.model, pixels, int(predicted[row]))
        mistakes.append(
            Reason(
                image_address(pixels),
                image_address(overlay(pixels, cam.fine)),
                printable(images.class_names[predicted[row]]),
                float(sure[row]),
                printable(images.class_names[known.labels[row]]),
            )
        )
    return mistakes


@dataclass(frozen=True)
class Compared:
    """Two finished runs on the images that both have answered.

    Attributes:
        part: "test", or "validation" while a test set is sealed.
        images: How many.
        accuracies: Of both.
        pair: The second against the first.
        contrasts: What differs, curves, and pictures on which they disagree, as HTML.
        notes: What limits the comparison, in sentences.
    """

    part: str
    images: int
    accuracies: tuple[Estimate, Estimate]
    pair: Pair
    contrasts: str
    notes: tuple[str, ...]


def compared(first: str, second: str, data_dir: str | None) -> Compared:
    """Compares two runs by the answers that they have kept.

    Args:
        first: The folder of a run.
        second: That of the other.
        data_dir: Where to look for named sets first.

    Raises:
        RunError: One is not finished, or its predictions are missing.
        RequestError: Their classes or images differ.
    """
    known = compare(first, second)
    images, missing = find_pictures(known, data_dir)
    if images is None:
        missing = "the images of the runs are not where they were."
    names = [Path(first).name, Path(second).name]
    comparison = replace(known, specification=_in_words(known.specification)).renamed(names)
    pair = comparison.pairs[0]
    notes = list(comparison.notes)
    if comparison.openings > 1:
        notes.insert(0, openings_sentence(comparison.openings))
    return Compared(
        comparison.part,
        comparison.n,
        (
            Estimate(comparison.runs[0], comparison.accuracy, comparison.ci95),
            Estimate(pair.run, pair.accuracy, pair.ci95),
        ),
        pair,
        render_contrasts(comparison, contrasts(comparison, images) if images else [], missing),
        tuple(notes),
    )


def _in_words(specification: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The settings as the page calls them, and files without their folders."""
    return {
        word_of(key): [Path(v).name if key in OF_FILES and v else v for v in values]
        for key, values in specification.items()
    }


@lru_cache(maxsize=1)
def _loaded(path: str, data_dir: str | None, stamp: float) -> tuple[RunFolder, ImageSet]:
    run = open_run(Path(path))
    return run, load_again(run, data_dir)
