"""The callback around which training runs: it records, reports progress, keeps the state and stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import TrainingSpec
from conviction.errors import TrainingError
from conviction.training.record import EpochRow, EpochTiming, Progress, Training, Watcher
from conviction.training.signals import StopRequest
from conviction.training.state import TrainingState, read_variables, write_variables

# Often enough for a bar that moves, and rarely enough to cost nothing.
SECONDS_BETWEEN_UPDATES = 0.1
# Whoever watches sees them change; more of them than this many numbers are no picture.
SECONDS_BETWEEN_KERNELS = 0.5
MOST_IN_KERNELS = 20_000


@dataclass
class Recording:
    """What the recorder works with, and its results so far.

    Attributes:
        spec: Of the training.
        images: In an epoch.
        steps: In an epoch.
        watcher: Receives the progress.
        stop: Checked after every call of the backend.
        keep: Receives the state after each epoch, now and then within one, and when a signal comes.
        result: Filled while training continues.
        best: Weights of the best epoch so far, if early stopping wants them.
        resumed: The state from which the first epoch continues, if it was interrupted in the middle.
    """

    spec: TrainingSpec
    images: int
    steps: int
    watcher: Watcher
    stop: StopRequest
    keep: Callable[[TrainingState], None]
    result: Training
    best: list[np.ndarray] = field(default_factory=list)
    resumed: TrainingState | None = None


def best_row(history: list[EpochRow], spec: TrainingSpec) -> EpochRow:
    """The epoch that early stopping would keep: the best by ``monitor``, the earliest of equals."""
    sign = -1.0 if spec.monitor == "val_accuracy" else 1.0
    return min(history, key=lambda row: (sign * getattr(row, spec.monitor), row.epoch))


def has_stopped(history: list[EpochRow], spec: TrainingSpec) -> bool:
    """Whether early stopping ends training here: the last ``early_stopping`` epochs in a row were not the best."""
    if not spec.early_stopping or not history:
        return False
    return history[-1].epoch - best_row(history, spec).epoch >= spec.early_stopping


def first_kernels(model: Any) -> np.ndarray | None:
    """The kernels of a first convolution, (rows, columns, channels, filters); None if there are none to show."""
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        if len(kernel.shape) != 4 or math.prod(kernel.shape) > MOST_IN_KERNELS:
            return None
        return np.asarray(import_keras().ops.convert_to_numpy(kernel), np.float32)
    return None


def make_recorder(recording: Recording, start_epoch: Callable[[int], None]) -> Any:
    """The Keras callback.

    Args:
        recording: See there.
        start_epoch: Of the batches that are trained on.
    """
    kind = type("KerasRecorder", (Recorder, import_keras().callbacks.Callback), {})
    return kind(recording, start_epoch)


class Recorder:
    """The methods of the callback, without Keras, which is imported late."""

    model: Any  # Keras sets it

    def __init__(self, recording: Recording, start_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self.recording = recording
        self.start_epoch = start_epoch

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts to count seconds, after those of an earlier call."""
        self.began = time.perf_counter() - self.recording.result.seconds
        self.kept_at = time.perf_counter()
        self.kernels_at = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Fixes the order of the images; continues an epoch that was interrupted."""
        r = self.recording
        self.epoch, self.step, self.since_kept = epoch, 0, 0
        self.running: dict[str, float] = {}
        self.start_epoch(epoch)
        if r.resumed is not None:
            self.step, self.running = r.resumed.step, dict(r.resumed.running)
            if self.step < r.steps:
                write_variables(self.model, r.resumed.variables, ["metrics"])
            r.resumed = None
        self.first = self.step
        self.last_update = time.perf_counter()
        # As if the epoch had not been interrupted.
        self.trained = self.running.get("seconds", 0.0)
        self.started = self.last_update - self.trained

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After every call of the backend, which makes one step or several."""
        r, now = self.recording, time.perf_counter()
        made = min(r.steps, self.first + batch + 1)
        self.since_kept += made - self.step
        self.step = made
        r.stop.patient = True  # from now on there is something to keep
        r.stop.look()
        due = self._due(now)
        if now - self.last_update < SECONDS_BETWEEN_UPDATES and made < r.steps and not due:
            return
        self.last_update, self.trained = now, now - self.started
        loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
        self.running = {"loss": loss, "accuracy": accuracy, "seconds": self.trained}
        self._check_finite(loss)
        if due:
            self._keep()
        if r.stop:
            self.model.stop_training = True
            return
        images = min(r.images, made * r.spec.batch_size)
        rate = images / self.trained
        kernels = None
        if now - self.kernels_at >= SECONDS_BETWEEN_KERNELS:
            self.kernels_at, kernels = now, first_kernels(self.model)
        r.watcher.progress(Progress(self.epoch + 1, images, r.images, loss, accuracy, rate, kernels))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends validation when a signal has come."""
        self.recording.stop.look()
        if self.recording.stop:
            self.model.stop_training = self.model.stop_evaluating = True

    def on_test_end(self, logs: Any = None) -> None:
        """Here, because with ``ema`` the weights are the averages during validation alone."""
        if self.recording.spec.early_stopping:
            self.validated = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """Records the epoch, keeps the state, reports."""
        r, result = self.recording, self.recording.result
        if r.stop:
            # Nothing has said so yet to Keras if the signal came after the last batch of validation.
            self.model.stop_training = True
            result.steps = self.step
            if self.step == r.steps:
                self._keep()  # validation is missing
            return
        values = {name: float(logs[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        self._check_finite(values["val_loss"])
        row = EpochRow(epoch + 1, **values, learning_rate=float(self.model.optimizer.learning_rate))
        validated = time.perf_counter() - self.started - self.trained
        result.history.append(row)
        result.timing.append(EpochTiming(epoch + 1, self.trained, validated, r.images / self.trained))
        if r.spec.early_stopping and best_row(result.history, r.spec) is row:
            r.best = self.validated
        self.epoch, self.step, self.running = epoch + 1, 0, {}
        self._keep()
        r.watcher.epoch_done(row, result.timing[-1])
        if has_stopped(result.history, r.spec):
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Ends counting seconds."""
        self.recording.result.seconds = time.perf_counter() - self.began

    def _due(self, now: float) -> bool:
        """Whether the state is to be kept here, within an epoch or because of a signal."""
        spec = self.recording.spec
        minutes = spec.checkpoint_minutes and now - self.kept_at >= 60.0 * spec.checkpoint_minutes
        steps = spec.checkpoint_steps and self.since_kept >= spec.checkpoint_steps
        return bool(self.recording.stop or minutes or steps)

    def _keep(self) -> None:
        r = self.recording
        state = TrainingState(
            epoch=self.epoch,
            step=self.step,
            variables=read_variables(self.model),
            running=self.running,
            history=tuple(r.result.history),
            timing=tuple(r.result.timing),
            seconds=time.perf_counter() - self.began,
            best=tuple(r.best),
        )
        r.keep(state)
        self.kept_at, self.since_kept = time.perf_counter(), 0

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        rate = self.recording.spec.rate
        raise TrainingError(
            f"The loss has become {loss} by step {self.step} of {self.recording.steps} in epoch {self.epoch + 1}: "
            f"training has diverged. The learning rate of {rate:g} is probably too high; try "
            f"training.learning_rate={rate / 10:g}, or auto, which looks for one."
        )
