"""Training with Keras's own ``fit``: what is watched, recorded and stopped around it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from conviction.backend import import_keras
from conviction.config import AugmentationSpec, TrainingSpec
from conviction.errors import RequestError, TrainingError
from conviction.training.augment import active_operations
from conviction.training.batches import balanced_weights, make_batches
from conviction.training.devices import Devices
from conviction.training.resident import ResidentBatches, can_be_resident
from conviction.training.signals import StopRequest

if TYPE_CHECKING:
    import keras

# Often enough for a bar that moves, rarely enough to cost nothing.
SECONDS_BETWEEN_UPDATES = 0.1
# Keras's own work between steps, and Python's, costs as much as a small step. So many steps are made in one call as
# have about this many multiply-adds, which take some tenths of a second; a signal is heard after each call.
MULTIPLY_ADDS_PER_CALL = 5e9
MOST_STEPS_PER_CALL = 16
# Validation learns nothing, so its batch decides the speed alone. Larger ones gain no more on a CPU.
VALIDATION_BATCH = 500


@dataclass(frozen=True)
class EpochRow:
    """A line of ``history.csv``: means over the epoch; validation after it. Deterministic."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class EpochTiming:
    """A line of ``timing.csv``; ``images_per_second`` counts training alone."""

    epoch: int
    train_seconds: float
    validation_seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Progress:
    """Where an epoch stands; ``loss`` and ``accuracy`` are running means."""

    epoch: int
    images: int
    total: int
    loss: float
    accuracy: float
    images_per_second: float


class Watcher(Protocol):
    """Whoever shows training to a person."""

    def progress(self, state: Progress) -> None:
        """Called a few times a second."""

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Called after each epoch's validation."""


@dataclass
class Training:
    """What training leaves besides the model's weights.

    ``seconds`` counts from the start of the first step to the end of the last epoch, tracing and
    validation included.
    """

    history: list[EpochRow] = field(default_factory=list)
    timing: list[EpochTiming] = field(default_factory=list)
    seconds: float = 0.0


def train(
    model: keras.Sequential,
    *,
    pixels: np.ndarray,
    targets: np.ndarray,
    train_indices: np.ndarray,
    validation_indices: np.ndarray,
    spec: TrainingSpec,
    augmentation: AugmentationSpec | None = None,
    watcher: Watcher,
    stop: StopRequest,
) -> Training:
    """Trains a compiled model in place.

    Args:
        model: From ``build`` and ``compile_model``.
        pixels: (n, h, w, c) uint8, all images.
        targets: (n, k) float32 from ``encode_labels``.
        train_indices: Indices of the training images, in canonical order.
        validation_indices: Those of the validation images.
        spec: Epochs, batch size, seed.
        augmentation: How training images are varied; loss and accuracy of training are those of varied images.
        watcher: Is told of progress.
        stop: Looked at after every batch; if set, training ends there, and the epoch that was running is
            not in the history.

    Raises:
        RequestError: The batch is larger than the training data.
        TrainingError: The loss is no longer a number.
    """
    check_batch_size(spec, len(train_indices))
    devices = Devices(spec)
    batches = _batches(pixels, targets, train_indices, spec, augmentation=augmentation, devices=devices)
    validation = make_batches(pixels, targets, validation_indices, VALIDATION_BATCH, devices=devices)
    result = Training()
    recorder = _recorder(
        result,
        batches=batches,
        total=len(train_indices),
        spec=spec,
        watcher=watcher,
        stop=stop,
    )
    callbacks = [recorder]
    if spec.ema:
        # The average is what is validated, and what is left when fit has ended.
        callbacks.insert(0, import_keras().callbacks.SwapEMAWeights())
    start = time.perf_counter()
    model.fit(
        batches.dataset if isinstance(batches, ResidentBatches) else batches,
        epochs=spec.epochs,
        validation_data=validation,
        shuffle=False,  # Batches draws its own order
        verbose=0,
        callbacks=callbacks,
    )
    result.seconds = time.perf_counter() - start
    return result


def _batches(
    pixels: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
    spec: TrainingSpec,
    *,
    augmentation: AugmentationSpec | None,
    devices: Devices,
) -> Any:
    weights = balanced_weights(targets[indices]) if spec.class_weights == "balanced" else None
    varied = augmentation is not None and active_operations(augmentation)
    if not varied and can_be_resident(pixels, len(indices)):
        return ResidentBatches(
            pixels, targets, indices, spec.batch_size, shuffle_seed=spec.seed, class_weights=weights
        )
    return make_batches(
        pixels,
        targets,
        indices,
        spec.batch_size,
        shuffle_seed=spec.seed,
        augmentation=augmentation if varied else None,
        class_weights=weights,
        devices=devices,
    )


def check_batch_size(spec: TrainingSpec, images: int) -> None:
    """Refuses a batch that no epoch can fill.

    Raises:
        RequestError: The batch is larger than the number of training images.
    """
    if spec.batch_size > images:
        raise RequestError(
            f"training.batch_size: expected at most the number of training images, {images}; got "
            f"{spec.batch_size}. Try training.batch_size={min(32, images)}."
        )


def steps_per_epoch(spec: TrainingSpec, images: int) -> int:
    """The last batch of an epoch has what is left."""
    return -(-images // spec.batch_size)


def steps_per_call(spec: TrainingSpec, multiply_adds: int) -> int:
    """How many steps to make without Python in between, for a network of so many multiply-adds an image."""
    wanted = MULTIPLY_ADDS_PER_CALL / (spec.batch_size * max(1, multiply_adds))
    return int(min(MOST_STEPS_PER_CALL, max(1.0, wanted)))


def _recorder(
    result: Training, *, batches: Any, total: int, spec: TrainingSpec, watcher: Watcher, stop: StopRequest
) -> Any:
    keras = import_keras()

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch + 1
            batches.start_epoch(epoch)
            self.started = self.last_update = time.perf_counter()
            self.trained = 0.0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            now = time.perf_counter()
            images = min(total, (batch + 1) * spec.batch_size)
            if stop:
                self.model.stop_training = True
            if images == total:
                self.trained = now - self.started
            if now - self.last_update < SECONDS_BETWEEN_UPDATES and images < total:
                return
            self.last_update = now
            loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
            _check_finite(loss, self.epoch, images, spec)
            rate = images / (now - self.started)
            watcher.progress(Progress(self.epoch, images, total, loss, accuracy, rate))

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            if stop:
                self.model.stop_training = self.model.stop_evaluating = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if stop:
                return
            now = time.perf_counter()
            rate = float(self.model.optimizer.learning_rate)
            names = ("loss", "accuracy", "val_loss", "val_accuracy")
            values = {name: float(logs[name]) for name in names}
            _check_finite(values["val_loss"], self.epoch, total, spec)
            row = EpochRow(epoch=self.epoch, **values, learning_rate=rate)
            validated = now - self.started - self.trained
            timing = EpochTiming(self.epoch, self.trained, validated, total / self.trained)
            result.history.append(row)
            result.timing.append(timing)
            watcher.epoch_done(row, timing)

    return Recorder()


def _check_finite(loss: float, epoch: int, images: int, spec: TrainingSpec) -> None:
    if math.isfinite(loss):
        return
    rate = spec.rate
    raise TrainingError(
        f"The loss is {loss} in epoch {epoch} after {images} images: training has diverged. The learning "
        f"rate of {rate:g} is probably too high; try training.learning_rate={rate / 10:g}."
    )
