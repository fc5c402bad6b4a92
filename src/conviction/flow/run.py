"""Everything from the run folder on: trains, evaluates and keeps, from the start or from a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from conviction.audience import call
from conviction.errors import Interrupted, TrainingError
from conviction.evaluation import Evaluation, judge_live
from conviction.flow.evaluation import evaluation_step, predict_and_assess, write_report
from conviction.flow.folds import begun_folds, run_folds
from conviction.flow.learned import Learned, TrainNetwork, learn
from conviction.flow.prepare import Prepared
from conviction.flow.records import data_json, environment_json, provenance
from conviction.flow.showing import Show
from conviction.flow.trainer import Trainer
from conviction.reporting import folds_ahead, folds_step, live_sentence, steps
from conviction.runs import RunFolder, folder
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
)

OWN_BEGINS_AGAIN = (
    "The network so far is kept. A network of your own cannot be resumed, because its optimizer and callbacks are "
    "not in "
    "the folder: train it again."
)


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
    learner: TrainNetwork = learn,
) -> RunFolder:
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
        learner: Gives the network that has learned.
    """
    stem = f"{Path(str(source)).name.split('.')[0]}-{ready.recipe.recipe}"
    path = folder.create(out, Path("runs"), stem)
    with folder.claimed(path):
        folder.write_config(path, ready.recipe)
        folder.write_record(path / folder.DATA, data_json(source, ready))
        if ready.search:
            folder.write_record(path / folder.RATES, ready.search.to_json())
        request_logs(path, tensorboard=tensorboard, mlflow=mlflow)
        return finish_run(path, ready, None, show, started, mlflow=mlflow, trainer=trainer, learner=learner)


def finish_run(
    path: Path,
    ready: Prepared,
    start: TrainingState | None,
    show: Show,
    started: float,
    *,
    remarks: Sequence[str] = (),
    mlflow: str | None = None,
    trainer: Trainer | None = None,
    learner: TrainNetwork = learn,
) -> RunFolder:
    """Trains and evaluates in a run folder that the caller has claimed.

    Args:
        path: The run folder, with its specification and data written.
        ready: From ``prepare_run``.
        start: Where training continues; None to start from the beginning.
        show: Where progress is shown.
        started: When the command started, in seconds since the epoch.
        remarks: What the user should know when a run is resumed, in sentences.
        mlflow: As for ``open_logs``.
        trainer: As for ``start_run``.
        learner: As for ``start_run``.
    """
    remarks = [*remarks, *(trainer.plan() if trainer else ()), *folds_ahead(ready.recipe)]
    run_steps = [
        *ready.steps,
        steps.train_step(ready.recipe, len(ready.split.train), start, remarks, ready.mirrors),
    ]
    show.step(run_steps[-1])
    logs = Logs(open_logs(path, mlflow), show.noticed)
    writer = _HistoryWriter(path, ready, show, start, logs)
    scores: Mapping[str, float] = {}
    outcome: Outcome = "FAILED"
    with stop_on_signals() as stop:
        stop.patient = False  # before the first step there is nothing to lose
        try:
            logs.begin(ready.recipe)
            learned = train_and_save(path, ready, start, writer, stop=stop, trainer=trainer, learner=learner)
            training, evaluation = learned.training, None
            stopped = _stopped_sentence(stop, training, ready)
            if not stop:
                evaluation, stopped = _evaluate_and_show(
                    path, ready, learned, run_steps, show=show, stop=stop
                )
            write_report(
                path, ready, training.history, run_steps=run_steps, evaluation=evaluation, stopped=stopped
            )
            environment = environment_json(started, ready.recipe, training)
            if trainer:
                environment["trained_on"] = trainer.to_json()
            folder.write_record(path / folder.ENVIRONMENT, environment)
            if evaluation is not None:
                # Last, because this file says that the run is done.
                folder.write_record(path / folder.EVALUATION, evaluation.to_json())
                scores, outcome = evaluation.figures(), "FINISHED"
        except KeyboardInterrupt:
            if not stop:
                raise
            stopped = f"{_signal_name(stop)} stopped the run."
        finally:
            logs.end(path, "KILLED" if stop else outcome, scores)
        if stop:
            number = stop.signal_number or signal.SIGINT
            go_on = how_to_go_on(path, trainer) if ready.recipe.model.own is None else OWN_BEGINS_AGAIN
            raise Interrupted(f"{stopped} {go_on}", number)
    show.step(steps.folder_step(path, sorted(p.name for p in path.iterdir())))
    return RunFolder(path)


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
    learner: TrainNetwork = learn,
) -> Learned:
    """Trains and saves the model."""
    belongs_to = provenance(ready)

    def keep(state: TrainingState) -> None:
        write_checkpoint(path, state, belongs_to)

    writer.training_starts(ready.recipe.training.epochs)
    try:
        learned = learner(ready, watcher=writer, stop=stop, start=start, keep=keep, trainer=trainer)
    except TrainingError as failure:
        raise TrainingError(f"{failure} {_last_good(path)}") from None
    images = ready.images
    folder.write_model(
        path / folder.MODEL, learned.model, images.class_names, images.rule, learned.temperature
    )
    stop.patient = bool(stop)  # after a signal the report has yet to be written
    return learned


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
    path: Path,
    ready: Prepared,
    learned: Learned,
    run_steps: list[steps.Step],
    *,
    show: Show,
    stop: StopRequest,
) -> tuple[Evaluation | None, str]:
    """Evaluates, and adds the steps that this makes to ``run_steps``; or says why the run was stopped before that."""

    def begin(step: steps.Step) -> None:
        run_steps.append(step)
        show.step(step)

    if learned.training.kept_epoch:
        begin(steps.early_stopping_step(learned.training, ready.recipe.training))
    if ready.folds:
        stop.patient = True
        total = sum(map(len, ready.folds))
        begun = len(begun_folds(path, ready).done)
        begin(folds_step(ready.recipe, ready.split, begun, learned.seconds))
        done = run_folds(path, ready, show, stop)
        if stop:
            return None, f"{_signal_name(stop)} stopped the run when {done} of {total} folds were done."
        stop.patient = False
    run = RunFolder(path)
    evaluation = predict_and_assess(run, ready, "fit")
    begin(evaluation_step(evaluation, ready, run))
    return evaluation, ""


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
