"""What a finished run's evaluation has to show, computed from what the run keeps; nothing is opened here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from conviction.data import ImageSet
from conviction.errors import RunError
from conviction.explanation import grad_cam, overlay
from conviction.flow.again import load_again, load_finished
from conviction.flow.evaluation import evaluation_step
from conviction.flow.finished import evaluate_answers
from conviction.reporting import Step, image_address, printable, render_panel
from conviction.runs import RunFolder, open_run
from conviction.runs.predictions import Answers, read_predictions
from conviction.runs.rows import rows_of_run

MISTAKES_EXPLAINED = 8


@dataclass(frozen=True)
class Evaluated:
    """What the page shows.

    Attributes:
        step: What the terminal says about the evaluation.
        panel: HTML: figures, confidence, the confusion matrix whose cells open, mistakes.
        part: Which images it is about: "test", or "validation" while the test set is sealed.
    """

    step: Step
    panel: str
    part: str


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
    return Evaluated(
        evaluation_step(evaluation, ready, None),
        render_panel(ready.images, evaluation.shown),
        evaluation.shown.name,
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


@lru_cache(maxsize=1)
def _loaded(path: str, data_dir: str | None, stamp: float) -> tuple[RunFolder, ImageSet]:
    run = open_run(Path(path))
    return run, load_again(run, data_dir)
