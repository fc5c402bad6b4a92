"""Training of a network that a user has built: by Keras's ``fit`` with the user's loss, optimizer and callbacks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError, TrainingError
from conviction.training.dataset import keras_data
from conviction.training.record import EpochRow, EpochTiming, Progress, Training, Watcher
from conviction.training.recorder import SECONDS_BETWEEN_UPDATES
from conviction.training.signals import StopRequest

if TYPE_CHECKING:
    import keras

# What Keras calls the share of right answers, by the targets.
ACCURACIES = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy", "binary_accuracy")


def targets_for(model: keras.Model, labels: np.ndarray, classes: int, width: int) -> np.ndarray:
    """Labels as the loss of the model wants them.

    Args:
        model: Compiled.
        labels: (n,) integers.
        classes: How many there are.
        width: Of its output.

    Returns:
        (n,) integers where "sparse" is in the name of the loss; else one-hot (n, classes) float32, or (n, 1) for one
        output.
    """
    if "sparse" in loss_name_of(model).lower():
        return labels
    if width == 1:
        return labels.astype(np.float32)[:, np.newaxis]
    return np.eye(classes, dtype=np.float32)[labels]


def loss_name_of(model: keras.Model) -> str:
    """What the loss of a compiled model is called."""
    loss: Any = model.loss
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", None) or type(loss).__name__)


@dataclass(frozen=True)
class OwnData:
    """Images as a user's network takes them, with targets for its loss.

    Attributes:
        pixels: (n, h, w, c) uint8, all images.
        targets: For all of them, from ``targets_for``.
        indices: Which of them.
        batch_size: The last batch has what is left.
        input_range: Black and white of the network.
        seed: Of the order, another one in each epoch; None for the order of ``indices``.
    """

    pixels: np.ndarray
    targets: np.ndarray
    indices: np.ndarray
    batch_size: int
    input_range: tuple[float, float]
    seed: int | None = None

    def batches(self) -> Any:
        """A ``keras.utils.PyDataset`` of (n, h, w, c) float32 with targets."""
        return type("KerasBatches", (_Batches, import_keras().utils.PyDataset), {})(self)


class _Batches:
    """The methods of the data set, without Keras, which is imported late."""

    def __init__(self, data: OwnData) -> None:
        super().__init__()
        self.data = data
        self.start_epoch(0)

    def __len__(self) -> int:
        return math.ceil(len(self.data.indices) / self.data.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        size, (low, high) = self.data.batch_size, self.data.input_range
        rows = self.order[number * size : (number + 1) * size]
        scaled = self.data.pixels[rows].astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        return scaled, self.data.targets[rows]

    def start_epoch(self, epoch: int) -> None:
        """From now on, the order of this epoch (from 0)."""
        self.order = self.data.indices
        if self.data.seed is not None:
            self.order = np.random.default_rng((self.data.seed, epoch)).permutation(self.order)


def train_own(
    model: keras.Model,
    data: OwnData,
    validation: OwnData,
    *,
    epochs: int,
    callbacks: Sequence[Any],
    watcher: Watcher,
    stop: StopRequest,
) -> Training:
    """Trains a compiled model in place.

    Args:
        model: The user's.
        data: The training images.
        validation: The validation images.
        epochs: How many, unless a callback ends training.
        callbacks: The user's.
        watcher: Receives the progress.
        stop: Checked after every step; if set, training ends there.

    Raises:
        RequestError: The loss cannot be computed, or the model has no metric of accuracy.
        TrainingError: The loss is no longer a number.
    """
    batches, held_out = data.batches(), validation.batches()
    accuracy = _accuracy_of(model, held_out)
    kind = type("KerasRecorder", (_Recorder, import_keras().callbacks.Callback), {})
    recorder = kind(accuracy, batches, watcher, stop)
    model.fit(
        keras_data(batches),
        validation_data=keras_data(held_out),
        epochs=epochs,
        shuffle=False,  # the batches have their own order
        verbose=0,
        callbacks=[recorder, *callbacks],
    )
    result: Training = recorder.result
    return result


def _accuracy_of(model: keras.Model, validation: Any) -> str:
    """The name of the metric that is the share of right answers."""
    x, y = validation[0]
    try:
        values = model.evaluate(x[:2], y[:2], verbose=0, return_dict=True)
    except Exception as failure:
        reason = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
        raise RequestError(
            f"model: its loss {loss_name_of(model)} cannot be computed for targets of shape {('n', *y.shape[1:])} "
            f"({type(failure).__name__}: {reason}). One-hot targets go with categorical_crossentropy, integers with "
            "sparse_categorical_crossentropy."
        ) from None
    known = [name for name in ACCURACIES if name in values]
    if not known:
        raise RequestError(
            f"model: it has no metric of accuracy, only {', '.join(values)}. Compile it with metrics=['accuracy']."
        )
    return known[0]


class _Recorder:
    """The methods of the callback, without Keras, which is imported late."""

    model: Any  # Keras sets these
    params: dict[str, Any]

    def __init__(self, accuracy: str, batches: Any, watcher: Watcher, stop: StopRequest) -> None:
        super().__init__()
        self.accuracy, self.batches, self.watcher, self.stop = accuracy, batches, watcher, stop
        self.images = len(batches.data.indices)
        self.result = Training()

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts to count seconds."""
        self.began = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts an epoch."""
        self.batches.start_epoch(epoch)
        self.epoch, self.trained = epoch, 0.0
        self.started = self.updated = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reports progress a few times a second, and ends training when a signal has come."""
        now = time.perf_counter()
        self.trained = now - self.started
        self.stop.patient = True  # the network so far is worth keeping
        self.stop.look()
        if self.stop:
            self.model.stop_training = True
        elif now - self.updated >= SECONDS_BETWEEN_UPDATES:
            self.updated = now
            done = min(self.images, round(self.images * (batch + 1) / max(1, self.params.get("steps") or 1)))
            loss, right = float(logs["loss"]), float(logs.get(self.accuracy, 0.0))
            speed = done / max(self.trained, 1e-9)
            self.watcher.progress(Progress(self.epoch + 1, done, self.images, loss, right, speed))

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """Records the epoch."""
        if self.stop:
            return
        now = time.perf_counter()
        loss, right, val_loss, val_right = (
            float(logs[n]) for n in ("loss", self.accuracy, "val_loss", f"val_{self.accuracy}")
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss was no longer a number in epoch {epoch + 1}. A smaller learning rate of your optimizer may "
                "help."
            )
        rate = float(import_keras().ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = EpochRow(epoch + 1, loss, right, val_loss, val_right, rate)
        speed = self.images / max(self.trained, 1e-9)
        timing = EpochTiming(epoch + 1, self.trained, now - self.started - self.trained, speed)
        self.result.history.append(row)
        self.result.timing.append(timing)
        self.result.seconds = now - self.began
        self.watcher.epoch_done(row, timing)
