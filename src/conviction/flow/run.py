"""Everything from the run folder on: train, evaluate, keep; from the start, or from a checkpoint."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from conviction.backend import prepare
from conviction.data import encode_labels
from conviction.errors import Interrupted, TrainingError
from conviction.evaluation import Evaluation, evaluate, record_opening
from conviction.flow.network import compiled
from conviction.flow.prepare import Prepared, Show
from conviction.flow.records import about, data_json, environment_json
from conviction.model import carry_over
from conviction.report import steps
from conviction.report.page import render_page
from conviction.runs import Run, folder
from conviction.runs.checkpoints import read_checkpoint, write_checkpoint
from conviction.runs.logs import Log, open_logs, request_logs
from conviction.training import (
    EpochRow,
    EpochTiming,
    StopRequest,
    Training,
    TrainingState,
    Verdict,
    read_curves,
    steps_per_epoch,
    stop_on_signals,
    train,
)


def run(
    source: str | Path,
    ready: Prepared,
    out: Path | None,
    *,
    show: Show,
    started: float,
    tensorboard: bool = False,
    mlflow: str | None = None,
) -> Run:
    """Trains, evaluates and keeps what was prepared; see ``fit`` for what is raised.

    Args:
        source: As it was given.
        ready: From ``prepare_run``.
        out: The run folder; None for the next free one below ``runs``.
        show: Who is told.
        started: When the command began, in seconds since the epoch.
        tensorboard: As for ``request_logs``.
        mlflow: As for ``request_logs``.
    """
    stem = f"{Path(str(source)).name.split('.')[0]}-{ready.recipe.recipe}"
    path = folder.create(out, Path("runs"), stem)
    with folder.claimed(path):
        folder.write_text(path / folder.CONFIG, ready.recipe.to_yaml())
        folder.write_json(path / folder.DATA, data_json(source, ready))
        if ready.search:
            folder.write_json(path / folder.RATES, ready.search.to_json())
        request_logs(path, tensorboard=tensorboard, mlflow=mlflow)
        return complete(path, ready, None, show, started)


def complete(
    path: Path,
    ready: Prepared,
    start: TrainingState | None,
    show: Show,
    started: float,
    *,
    news: Sequence[str] = (),
) -> Run:
    """The rest of a run, whose folder the caller has claimed.

    Args:
        path: The run folder, with its specification and data written.
        ready: From ``prepare_run``.
        start: Where training goes on; None for the beginning.
        show: Who is told.
        started: When the command began, in seconds since the epoch.
        news: What whoever resumes should know, in sentences.
    """
    told = [*ready.told, steps.train_step(ready.recipe, len(ready.split.train), start, news)]
    show.step(told[-1])
    with stop_on_signals() as stop:
        stop.patient = False  # until there is a step to lose
        try:
            logs = open_logs(path)
            for log in logs:
                log.begin(ready.recipe)
            training = _train(path, ready, start, _Keeper(path, ready, show, start, logs), stop)
            stopped = _stopped_sentence(stop, training, ready)
            evaluation = None
            if not stop:
                if training.kept_epoch:
                    told.append(steps.early_stopping_step(training, ready.recipe.training))
                    show.step(told[-1])
                evaluation = _evaluate(path, ready, training)
                told.append(steps.evaluate_step(evaluation, _doubts(ready)))
                show.step(told[-1])
            _write_report(path, ready, training, told=told, evaluation=evaluation, stopped=stopped)
            folder.write_json(path / folder.ENVIRONMENT, environment_json(started, ready.recipe, training))
            if evaluation is not None:
                # Last, because this file says that the run is done.
                folder.write_json(path / folder.EVALUATION, evaluation.to_json())
            for log in logs:
                log.end(path, evaluation.figures() if evaluation else None)
        except KeyboardInterrupt:
            stopped = f"{_signal_name(stop)} stopped the run."
        if stop:
            number = stop.signal_number or signal.SIGINT
            raise Interrupted(f"{stopped} {how_to_go_on(path)}", number)
    show.step(steps.folder_step(path, sorted(p.name for p in path.iterdir())))
    return Run(path)


def how_to_go_on(path: Path) -> str:
    """The command that resumes a run, in a sentence."""
    return f"Nothing is lost; go on with: conviction resume {shlex.quote(str(path))}"


def _train(
    path: Path, ready: Prepared, start: TrainingState | None, keeper: _Keeper, stop: StopRequest
) -> Training:
    """Trains and saves the model."""
    recipe, images = ready.recipe, ready.images
    assert recipe.training.threads is not None  # settled before
    prepare(recipe.training.threads)
    model = compiled(recipe, images, ready.split, ready.rows, recipe.training.precision)
    keeper.training_starts(recipe.training.epochs)
    belongs_to = about(ready)
    try:
        training = train(
            model,
            pixels=images.pixels,
            targets=encode_labels(images.labels, len(images.class_names)),
            train_indices=ready.split.train,
            validation_indices=ready.split.validation,
            spec=recipe.training,
            augmentation=recipe.augmentation,
            watcher=keeper,
            stop=stop,
            start=start,
            keep=lambda state: write_checkpoint(path, state, belongs_to),
        )
    except TrainingError as failure:
        raise TrainingError(f"{failure} {_last_good(path)}") from None
    stop.patient = True  # so that the model is written as a whole
    if recipe.training.precision != "float32":
        learned, model = model, compiled(recipe, images, ready.split, ready.rows, "float32")
        carry_over(learned, model)
    folder.write_model(path / folder.MODEL, model, images.class_names, images.rule)
    stop.patient = bool(stop)  # after a signal the report is still to come
    return training


def _last_good(path: Path) -> str:
    found = read_checkpoint(path)
    if found is None:
        return "No epoch had been finished."
    state = found[0]
    return f"The last good state, after epoch {state.epoch}, stays in {path / 'checkpoints'}."


class _Keeper:
    """Writes history and timing after every epoch, then tells whoever watches."""

    def __init__(
        self, path: Path, ready: Prepared, show: Show, start: TrainingState | None, logs: Sequence[Log]
    ) -> None:
        self._path = path
        self._show = show
        self._classes, self._images = len(ready.images.class_names), len(ready.split.validation)
        self._said = ""
        self._history: list[EpochRow] = list(start.history) if start else []
        self._timing: list[EpochTiming] = list(start.timing) if start else []
        self._logs = logs
        self.progress = show.progress
        self.training_starts = show.training_starts
        if start:
            self._write()  # a kill may have come between the checkpoint and the row

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        self._history.append(row)
        self._timing.append(timing)
        self._write()
        self._show.epoch_done(row, timing)
        for log in self._logs:
            log.epoch_done(row)
        found = read_curves(
            self._history, classes=self._classes, validation_images=self._images, finished=False
        )
        if found.kind in ("overfitting", "unstable") and found.name != self._said:
            self._said = found.name
            self._show.noticed(f"{found.name.capitalize()}: {found.sentence}")

    def _write(self) -> None:
        folder.write_rows(self._path / folder.HISTORY, self._history, [f.name for f in fields(EpochRow)])
        folder.write_rows(self._path / folder.TIMING, self._timing, [f.name for f in fields(EpochTiming)])


def _evaluate(path: Path, ready: Prepared, training: Training) -> Evaluation:
    """Scores the very file that was saved, not the model in memory."""
    saved = Run(path).model

    def open_test() -> int:
        return record_opening(ready.split.test_hash, path, "fit")

    opening = open_test if ready.recipe.evaluation.test else None
    return evaluate(
        saved,
        ready.images,
        ready.split,
        training.history,
        open_test=opening,
        remedy=lambda found: remedy_command(found, Run(path)),
    )


def remedy_command(verdict: Verdict, run: Run) -> str:
    """What a verdict advises, as a command to type."""
    path, keys = shlex.quote(str(run.path)), " ".join(verdict.remedy)
    if verdict.resumes:
        return f"conviction resume {path} {keys}"
    source = shlex.quote(run.data["source"])
    if any(key.startswith("recipe=") for key in verdict.remedy):
        return f"conviction fit {source} {keys}"
    return f"conviction fit {source} --config {path}/{folder.CONFIG} {keys}"


def _doubts(ready: Prepared) -> list[str]:
    """What the audit found that makes the accuracy doubtful; leaks that were left out do not."""
    return [
        finding.sentence
        for finding in ready.audit.findings
        if finding.severity == "serious" and not (finding.kind == "leak" and "leak" in ready.split.left_out)
    ]


def _write_report(
    path: Path,
    ready: Prepared,
    training: Training,
    *,
    told: Sequence[steps.Step],
    evaluation: Evaluation | None,
    stopped: str,
) -> None:
    page = render_page(
        name=path.name,
        recipe=ready.recipe,
        images=ready.images,
        findings=ready.audit.findings,
        split=ready.split,
        steps=told,
        history=training.history,
        search=ready.search,
        evaluation=evaluation,
        stopped=stopped,
    )
    folder.write_text(path / folder.REPORT, page)


def _signal_name(stop: StopRequest) -> str:
    return signal.Signals(stop.signal_number or signal.SIGINT).name


def _stopped_sentence(stop: StopRequest, training: Training, ready: Prepared) -> str:
    if not stop:
        return ""
    spec = ready.recipe.training
    within = ""
    if training.steps:
        of = steps_per_epoch(spec, len(ready.split.train))
        within = f" and {training.steps:,} of {of:,} steps of the next"
    done = len(training.history)
    return f"{_signal_name(stop)} stopped training after {done} of {spec.epochs} epochs{within}."
