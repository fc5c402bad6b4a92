"""Everything from the run folder on: train, evaluate, keep."""

from __future__ import annotations

import signal
import time
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conviction.backend import import_keras, prepare
from conviction.config import Recipe
from conviction.data import encode_labels
from conviction.errors import Interrupted
from conviction.evaluation import Evaluation, evaluate, record_opening
from conviction.flow.network import compiled
from conviction.flow.prepare import Prepared, Show
from conviction.model import carry_over
from conviction.report import steps
from conviction.report.page import render_page
from conviction.runs import Run, folder
from conviction.runs.environment import describe_environment, peak_memory_bytes
from conviction.training import EpochRow, EpochTiming, Training, stop_on_signals, train


def run(source: str | Path, ready: Prepared, out: Path | None, show: Show, started: float) -> Run:
    """Trains, evaluates and keeps what was prepared; see ``fit`` for what is raised.

    Args:
        source: As it was given.
        ready: From ``prepare_run``.
        out: The run folder; None for the next free one below ``runs``.
        show: Who is told.
        started: When the command began, in seconds since the epoch.
    """
    recipe, images, split = ready.recipe, ready.images, ready.split
    stem = f"{Path(str(source)).name.split('.')[0]}-{recipe.recipe}"
    path = folder.create(out, Path("runs"), stem)
    folder.write_text(path / folder.CONFIG, recipe.to_yaml())
    folder.write_json(path / folder.DATA, _data_json(source, ready))
    told = [*ready.told, steps.train_step(recipe, len(split.train))]
    show.step(told[-1])
    training, stopped_by = _train(path, ready, show)
    evaluation = None
    if stopped_by is None:
        evaluation = _evaluate(path, ready, training)
        told.append(steps.evaluate_step(evaluation, _doubts(ready)))
        show.step(told[-1])
    stopped = _stopped_sentence(stopped_by, training, recipe)
    page = render_page(
        name=path.name,
        recipe=recipe,
        images=images,
        findings=ready.audit.findings,
        split=split,
        steps=told,
        history=training.history,
        search=ready.search,
        evaluation=evaluation,
        stopped=stopped,
    )
    folder.write_text(path / folder.REPORT, page)
    folder.write_json(path / folder.ENVIRONMENT, _environment(started, recipe, training))
    if stopped_by is not None:
        raise Interrupted(f"{stopped} The model so far is in {path}; the test set stays sealed.", stopped_by)
    if evaluation is not None:
        # Last, because this file says that the run is done.
        folder.write_json(path / folder.EVALUATION, evaluation.to_json())
    show.step(steps.folder_step(path, sorted(p.name for p in path.iterdir())))
    return Run(path)


def _train(path: Path, ready: Prepared, show: Show) -> tuple[Training, int | None]:
    """Trains and saves the model; the second value is the signal that stopped it, if one did."""
    recipe, images = ready.recipe, ready.images
    classes = len(images.class_names)
    # From here on a signal is a request: what has been learned is kept.
    with stop_on_signals() as stop:
        assert recipe.training.threads is not None  # settled before
        prepare(recipe.training.threads)
        model = compiled(recipe, images, ready.split, ready.rows, recipe.training.precision)
        show.training_starts(recipe.training.epochs)
        training = train(
            model,
            pixels=images.pixels,
            targets=encode_labels(images.labels, classes),
            train_indices=ready.split.train,
            validation_indices=ready.split.validation,
            spec=recipe.training,
            augmentation=recipe.augmentation,
            watcher=_Keeper(path, show),
            stop=stop,
        )
        if recipe.training.precision != "float32":
            learned, model = model, compiled(recipe, images, ready.split, ready.rows, "float32")
            carry_over(learned, model)
        folder.write_model(path / folder.MODEL, model, images.class_names, images.rule)
    return training, stop.signal_number


class _Keeper:
    """Writes history and timing after every epoch, then tells whoever watches."""

    def __init__(self, path: Path, show: Show) -> None:
        self._path = path
        self._show = show
        self._history: list[EpochRow] = []
        self._timing: list[EpochTiming] = []
        self.progress = show.progress

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        self._history.append(row)
        self._timing.append(timing)
        columns = [f.name for f in fields(EpochRow)]
        folder.write_rows(self._path / folder.HISTORY, self._history, columns)
        columns = [f.name for f in fields(EpochTiming)]
        folder.write_rows(self._path / folder.TIMING, self._timing, columns)
        self._show.epoch_done(row, timing)


def _evaluate(path: Path, ready: Prepared, training: Training) -> Evaluation:
    """Scores the very file that was saved, not the model in memory."""
    saved = Run(path).model

    def open_test() -> int:
        return record_opening(ready.split.test_hash, path, "fit")

    opening = open_test if ready.recipe.evaluation.test else None
    return evaluate(saved, ready.images, ready.split, training.history, opening)


def _doubts(ready: Prepared) -> list[str]:
    """What the audit found that makes the accuracy doubtful; leaks that were left out do not."""
    return [
        finding.sentence
        for finding in ready.audit.findings
        if finding.severity == "serious" and not (finding.kind == "leak" and "leak" in ready.split.left_out)
    ]


def _stopped_sentence(stopped_by: int | None, training: Training, recipe: Recipe) -> str:
    if stopped_by is None:
        return ""
    name = signal.Signals(stopped_by).name
    return f"{name} stopped training after {len(training.history)} of {recipe.training.epochs} epochs."


def _data_json(source: str | Path, ready: Prepared) -> dict[str, Any]:
    images, split = ready.images, ready.split
    parts = ("train", "validation", "test")
    return {
        "source": str(source),
        "name": images.name,
        "location": images.location,
        "stored": images.stored,
        "conversions": images.conversions,
        "decoding": images.rule.model_dump(),
        "class_names": images.class_names,
        "counts": {part: images.counts(split.of(part)) for part in parts},
        "audit": {
            "unreadable": {u.name: u.reason for u in images.unreadable},
            "findings": [f.to_json(images) for f in ready.audit.findings],
        },
        "split": {
            "test_origin": split.test_origin,
            "validation_origin": split.validation_origin,
            "test_hash": split.test_hash,
            "left_out": {why: [images.names[i] for i in which] for why, which in split.left_out.items()},
            **{
                part: {images.names[i]: images.hashes[i].tobytes().hex() for i in split.of(part)}
                for part in parts
            },
        },
    }


def _environment(started: float, recipe: Recipe, training: Training) -> dict[str, Any]:
    import_keras()
    return {
        **describe_environment(),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": {"training": training.seconds, "total": time.time() - started},
        "peak_memory_bytes": peak_memory_bytes(),
        "precision": recipe.training.precision,
        "seed": recipe.training.seed,
        "threads": recipe.training.threads,
    }
