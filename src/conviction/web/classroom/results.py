"""What a class has done, as rows and as CSV that a spreadsheet can open without running anything in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from conviction.config import RECIPES, ImageFacts, load_recipe
from conviction.config.flat import by_key
from conviction.errors import ConvictionError
from conviction.lesson import chapters
from conviction.lesson.progress import load_progress
from conviction.reporting import csv_text
from conviction.runs import RunFolder, list_runs
from conviction.web.classroom.guesses import Guess, read_guesses
from conviction.web.classroom.learners import Learner

# What the machine decides, and not the learner.
_SETTLED = ("data.image_size", "data.color_mode", "training.threads", "training.precision")


@dataclass(frozen=True)
class ResultRow:
    """One run of one learner, or a learner without a run.

    Attributes:
        learner: Name.
        run: Name of the run folder.
        status: ``done``, ``interrupted``, ``unfinished``, ``damaged`` or ``unreadable``.
        source: Where the images came from.
        recipe: What the specification began with.
        changes: What differs from that recipe, as ``key=value``.
        validation_accuracy: 0 to 1.
        test_accuracy: None while the test set is sealed.
        openings: How often this test set had been opened.
        verdict: What the curves show.
        chapters_read: Of the learner, in order.
        quizzes: Their last results.
        guesses: With what was found.
        trouble: What could not be read.
    """

    learner: str
    run: str = ""
    status: str = ""
    source: str = ""
    recipe: str = ""
    changes: str = ""
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    openings: int | None = None
    verdict: str = ""
    chapters_read: str = ""
    quizzes: str = ""
    guesses: str = ""
    trouble: str = ""


def class_results(learners: Iterable[Learner]) -> list[ResultRow]:
    """A row for each run, learner by learner, oldest first; a row says what cannot be read."""
    return [row for learner in learners for row in _rows_of(learner)]


def results_csv(rows: Sequence[ResultRow]) -> str:
    """The rows as CSV, with a head; see ``csv_text``."""
    names = [field.name for field in fields(ResultRow)]
    return csv_text(names, ([getattr(row, name) for name in names] for row in rows))


def _rows_of(learner: Learner) -> list[ResultRow]:
    common: dict[str, Any] = {"learner": learner.name}
    troubles = []
    try:
        common |= _learned(learner)
    except ConvictionError as failure:
        troubles.append(str(failure))
    try:
        common["guesses"] = "; ".join(map(_guess_text, read_guesses(learner.guesses)))
    except ConvictionError as failure:
        troubles.append(str(failure))
    runs = list_runs(learner.runs)
    rows = [_run_row(run) for run in runs] or [{}]
    return [
        ResultRow(**{**common, **row, "trouble": " ".join([*troubles, row.get("trouble", "")]).strip()})
        for row in rows
    ]


def _learned(learner: Learner) -> dict[str, str]:
    progress = load_progress(learner.progress)
    names = [chapter.name for chapter in chapters()]
    return {
        "chapters_read": ", ".join(name for name in names if name in progress.read),
        "quizzes": ", ".join(
            f"{name} {progress.quiz[name][0]} of {progress.quiz[name][1]}"
            for name in names
            if name in progress.quiz
        ),
    }


def _guess_text(guess: Guess) -> str:
    return f"{guess.question}: guessed {guess.guess!r}, found: {guess.found or 'not yet known'}"


def _run_row(run: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": run.path.name, "status": run.status}
    try:
        row["source"] = run.data.source
        row["recipe"] = run.config.recipe
        row["changes"] = ", ".join(changes(run))
        if run.status == "done":
            evaluation = run.evaluation
            row["validation_accuracy"] = evaluation.validation.accuracy
            row["verdict"] = evaluation.overfitting.verdict
            if evaluation.test is not None:
                row["test_accuracy"] = evaluation.test.accuracy
                row["openings"] = evaluation.test.openings
    except (ConvictionError, KeyError, TypeError, AttributeError) as failure:
        row |= {"status": getattr(failure, "state", "damaged"), "trouble": str(failure)}
    return row


def changes(run: RunFolder) -> list[str]:
    """What a run's specification changes in its recipe, as ``key=value``; of the network, the layers as a whole.

    Raises:
        RunError: A file of the run is missing or damaged.
    """
    mine = dict(by_key(run.config.model_dump(mode="json")))
    name = run.config.recipe
    if name not in RECIPES:
        return []
    data = run.data
    facts = ImageFacts.of(data.decoding.shape, sum(data.counts.train))
    adapted = load_recipe({"recipe": name}, facts=facts)
    usual = dict(by_key(adapted.model_dump(mode="json")))
    pairs = []
    for key, value in mine.items():
        if (
            key in _SETTLED
            or value == usual.get(key)
            or (key == "augmentation.flip" and data.mirrors is not None)
        ):
            continue
        if key == "model.layers":
            pairs.append(f"model.layers={_network(value)}")
        else:
            pairs.append(f"{key}={value}")
    return pairs


def _network(layers: Sequence[dict[str, Any]]) -> str:
    """The layers in a few words: ``Conv2D(8) MaxPooling2D Flatten Dense(32)``."""
    sizes = [layer.get("filters") or layer.get("units") for layer in layers]
    return " ".join(
        layer["type"] + (f"({size})" if size else "") for layer, size in zip(layers, sizes, strict=True)
    )
