"""Everything from the run folder on: trains, evaluates and keeps, from the start or from a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from conviction.audience import call
from conviction.backend import prepare
from conviction.data import encode_labels
from conviction.errors import Interrupted, TrainingError
from conviction.evaluation import Evaluation, fit_temperature, judge_live
from conviction.flow.evaluation import evaluation_step, predict_and_assess, write_report
from conviction.flow.network import compiled, learning
from conviction.flow.prepare import Prepared, Show
from conviction.flow.probing import needs_probe, probe
from conviction.flow.records import data_json, environment_json, provenance
from conviction.flow.trainer import Trainer
from conviction.model import carry_over, divide_logits, predict_images
from conviction.report import live_sentence, steps
from conviction.runs import Run, folder
from conviction.runs.checkpoints import read_checkpoint, write_checkpoint
from conviction.runs.logs import Logs, Outcome, open_logs, request_logs
from conviction.training import (
    EpochRow,
    EpochTiming,
    StopRequest,
    Training,
    TrainingState,
    steps_per_epoch,
    stop_on_signals,
    train,
)

if TYPE_CHECKING:
    import keras


def start_run(
    source: str | Path,
    ready: Prepared,
    out: Path | None,
    *,
    show: Show,
    started: float,
    tensorboard: bool = False,
    mlflow: str | None = None,
    trainer: Trainer | None = None,
) -> Run:
    """Trains and evaluates what was prepared, in a new run folder; ``fit`` lists what it raises.

    Args:
        source: As the user typed it.
        ready: From ``prepare_run``.
        out: The run folder; None for the next free one below ``runs``.
        show: Where progress is shown.
        started: When the command started, in seconds since the epoch.
        tensorboard: As for ``request_logs``.
        mlflow: As for ``request_logs``.
        trainer: What trains, and has accepted what was prepared; None for this process.
    """
    stem = f"{Path(str(source)).name.split('.')[0]}-{ready.recipe.recipe}"
    path = folder.create(out, Path("runs"), stem)
    with folder.claimed(path):
        folder.write_text(path / folder.CONFIG, ready.recipe.to_yaml())
        folder.write_json(path / folder.DATA, data_json(source, ready))
        if ready.search:
            folder.write_json(path / folder.RATES, ready.search.to_json())
        request_logs(path, tensorboard=tensorboard, mlflow=mlflow)
        return finish_run(path, ready, None, show, started, trainer=trainer)


def finish_run(
    path: Path,
    ready: Prepared,
    start: TrainingState | None,
    show: Show,
    started: float,
    *,
    remarks: Sequence[str] = (),
    trainer: Trainer | None = None,
) -> Run:
    """Trains and evaluates in a run folder that the caller has claimed.

    Args:
        path: The run folder, with its specification and data written.
        ready: From ``prepare_run``.
        start: Where training continues; None to start from the beginning.
        show: Where progress is shown.
        started: When the command started, in seconds since the epoch.
        remarks: What the user should know when a run is resumed, in sentences.
        trainer: As for ``start_run``.
    """
    remarks = [*remarks, *(trainer.plan() if trainer else ())]
    run_steps = [*ready.steps, steps.train_step(ready.recipe, len(ready.split.train), start, remarks)]
    show.step(run_steps[-1])
    logs = Logs(open_logs(path), show.noticed)
    writer = _HistoryWriter(path, ready, show, start, logs)
    scores: Mapping[str, float] = {}
    outcome: Outcome = "FAILED"
    with stop_on_signals() as stop:
        stop.patient = False  # before the first step there is nothing to lose
        try:
            logs.begin(ready.recipe)
            training = train_and_save(path, ready, start, writer, stop=stop, trainer=trainer)
            stopped = _stopped_sentence(stop, training, ready)
            evaluation = None if stop else _evaluate_and_show(path, ready, training, run_steps, show)
            write_report(
                path, ready, training.history, run_steps=run_steps, evaluation=evaluation, stopped=stopped
            )
            environment = environment_json(started, ready.recipe, training)
            if trainer:
                environment["trained_on"] = trainer.to_json()
            folder.write_json(path / folder.ENVIRONMENT, environment)
            if evaluation is not None:
                # Last, because this file says that the run is done.
                folder.write_json(path / folder.EVALUATION, evaluation.to_json())
                scores, outcome = evaluation.figures(), "FINISHED"
        except KeyboardInterrupt:
            if not stop:
                raise
            stopped = f"{_signal_name(stop)} stopped the run."
        finally:
            logs.end(path, "KILLED" if stop else outcome, scores)
        if stop:
            number = stop.signal_number or signal.SIGINT
            raise Interrupted(f"{stopped} {how_to_go_on(path, trainer)}", number)
    show.step(steps.folder_step(path, sorted(p.name for p in path.iterdir())))
    return Run(path)


def how_to_go_on(path: Path, trainer: Trainer | None = None) -> str:
    """How to resume a run, in a sentence."""
    words, arguments = (trainer.options, "trainer=...") if trainer else ("", "")
    return f"Nothing is lost; continue with: {call('resume', path, words, arguments)}"


def train_and_save(
    path: Path,
    ready: Prepared,
    start: TrainingState | None,
    writer: _HistoryWriter,
    *,
    stop: StopRequest,
    trainer: Trainer | None,
) -> Training:
    """Trains and saves the model."""
    recipe, images = ready.recipe, ready.images
    assert recipe.training.threads is not None  # settled before
    prepare(recipe.training.threads)
    model = compiled(recipe, images, ready.split, ready.rows, recipe.training.precision)
    writer.training_starts(recipe.training.epochs)
    try:
        training = _train_model(path, ready, model, start, writer, stop=stop, trainer=trainer)
    except TrainingError as failure:
        raise TrainingError(f"{failure} {_last_good(path)}") from None
    stop.patient = True  # so that the model is written completely
    if recipe.training.precision != "float32":
        learned, model = model, compiled(recipe, images, ready.split, ready.rows, "float32")
        carry_over(learned, model)
    temperature = _calibrate(model, ready) if recipe.evaluation.calibrate else 1.0
    folder.write_model(path / folder.MODEL, model, images.class_names, images.rule, temperature)
    stop.patient = bool(stop)  # after a signal the report has yet to be written
    return training


def _train_model(
    path: Path,
    ready: Prepared,
    model: keras.Sequential,
    start: TrainingState | None,
    writer: _HistoryWriter,
    *,
    stop: StopRequest,
    trainer: Trainer | None,
) -> Training:
    """Trains in this process, or wherever the trainer does."""
    recipe, images, belongs_to = ready.recipe, ready.images, provenance(ready)

    def keep(state: TrainingState) -> None:
        write_checkpoint(path, state, belongs_to)

    if trainer:
        return trainer.train(
            ready, model, watcher=writer, stop=stop, start=start, keep=keep, noticed=writer.noticed
        )
    if start is None and needs_probe(recipe):
        probe(model, recipe, images, ready.split, stop=stop, progress=writer.computing)
    learns = learning(model, recipe, images, ready.split, writer.computing)
    training = train(
        learns.model,
        pixels=learns.inputs,
        targets=encode_labels(images.labels, len(images.class_names)),
        train_indices=ready.split.train,
        validation_indices=ready.split.validation,
        spec=recipe.training,
        augmentation=recipe.augmentation,
        watcher=writer,
        stop=stop,
        start=start,
        keep=keep,
    )
    learns.carry_over(model)
    return training


def _calibrate(model: keras.Sequential, ready: Prepared) -> float:
    """Temperature scaling on the validation images, written into the last layer; returns the temperature."""
    validation = ready.split.validation
    probabilities = predict_images(model, ready.images, validation)
    temperature = fit_temperature(probabilities, ready.images.labels[validation])
    divide_logits(model, temperature)
    return temperature


def _last_good(path: Path) -> str:
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        return "No epoch was finished."
    state = checkpoint[0]
    after = f"{state.step:,} steps of epoch {state.epoch + 1}" if state.step else f"epoch {state.epoch}"
    return f"The last good state, after {after}, is kept in {path / folder.CHECKPOINTS}."


class _HistoryWriter:
    """Writes history and timing after every epoch, then passes the epoch on to the display and the logs."""

    def __init__(
        self, path: Path, ready: Prepared, show: Show, start: TrainingState | None, logs: Logs
    ) -> None:
        self._path = path
        self._show = show
        self._ready = ready
        self._last_verdict = ""
        self._history: list[EpochRow] = list(start.history) if start else []
        self._timing: list[EpochTiming] = list(start.timing) if start else []
        self._logs = logs
        self.progress = show.progress
        self.training_starts = show.training_starts
        self.noticed = show.noticed
        self.computing = show.computing
        if start:
            self._write()  # the run may have been killed between the checkpoint and the row

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        self._history.append(row)
        self._timing.append(timing)
        self._write()
        self._show.epoch_done(row, timing)
        self._logs.epoch_done(row)
        verdict = judge_live(
            self._history,
            train_images=len(self._ready.split.train),
            validation_images=len(self._ready.split.validation),
            classes=len(self._ready.images.class_names),
            recipe=self._ready.recipe,
        )
        if verdict.kind in ("overfitting", "memorising", "unstable") and verdict.name != self._last_verdict:
            self._last_verdict = verdict.name
            self._show.noticed(f"{verdict.name.capitalize()}: {live_sentence(verdict)}")

    def _write(self) -> None:
        folder.write_rows(self._path / folder.HISTORY, self._history, [f.name for f in fields(EpochRow)])
        folder.write_rows(self._path / folder.TIMING, self._timing, [f.name for f in fields(EpochTiming)])


def _evaluate_and_show(
    path: Path, ready: Prepared, training: Training, run_steps: list[steps.Step], show: Show
) -> Evaluation:
    """Evaluates, and adds the steps that this makes to ``run_steps``."""
    if training.kept_epoch:
        run_steps.append(steps.early_stopping_step(training, ready.recipe.training))
        show.step(run_steps[-1])
    run = Run(path)
    evaluation = predict_and_assess(run, ready, "fit")
    run_steps.append(evaluation_step(evaluation, ready, run))
    show.step(run_steps[-1])
    return evaluation


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
