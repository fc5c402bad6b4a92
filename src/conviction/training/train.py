"""Training with Keras's own ``fit``, or a loop on an accelerator: what is watched and stopped around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import AugmentationSpec, TrainingSpec
from conviction.errors import RequestError
from conviction.training.augment import active_augmentations
from conviction.training.batches import make_batches, weigh_classes
from conviction.training.devices import Devices
from conviction.training.on_device import DeviceBatches, can_be_on_device, fit_on_device
from conviction.training.record import Training, Watcher
from conviction.training.recorder import Recording, best_row, has_stopped, make_recorder
from conviction.training.resident import ResidentBatches, can_be_resident
from conviction.training.signals import StopRequest
from conviction.training.state import TrainingState, check_fits, write_variables

if TYPE_CHECKING:
    import keras

# Keras's own work between steps, and Python's, costs as much as a small step. So one call makes as many
# steps as have about this many multiply-adds, some tenths of a second; signals are checked after each call.
MULTIPLY_ADDS_PER_CALL = 2e10
MOST_STEPS_PER_CALL = 64
# Validation learns nothing, so its batch decides the speed alone. Larger ones gain no more on a CPU.
VALIDATION_BATCH = 500


def train(
    model: keras.Sequential,
    *,
    pixels: np.ndarray,
    targets: np.ndarray,
    train_indices: np.ndarray,
    validation_indices: np.ndarray,
    spec: TrainingSpec,
    views: np.ndarray | None = None,
    augmentation: AugmentationSpec | None = None,
    watcher: Watcher,
    stop: StopRequest,
    start: TrainingState | None = None,
    keep: Callable[[TrainingState], None] = lambda state: None,
) -> Training:
    """Trains a compiled model in place.

    Args:
        model: From ``build`` and ``compile_model``.
        pixels: (n, h, w, c) uint8, all images.
        targets: (n, k) float32 from ``encode_labels``.
        train_indices: Indices of the training images, in canonical order.
        validation_indices: Those of the validation images.
        spec: Epochs, batch size, seed.
        views: As for ``make_batches``; what ``augmentation`` does is then in them.
        augmentation: How training images are varied; loss and accuracy of training are those of varied images.
        watcher: Receives the progress.
        stop: Checked after every call of the backend; if set, training ends there, and the epoch that was running is
            not in the history.
        start: The state of an earlier training of the same specification and data; this one ends bit for bit as
            if that had not been interrupted.
        keep: Receives the state after every epoch, as often within one as ``spec`` says, and when ``stop`` is set.

    Raises:
        RequestError: The batch is larger than the training data.
        TrainingError: The loss is no longer a number.
    """
    check_batch_size(spec, len(train_indices))
    devices = Devices(spec)
    batches = _batches(
        pixels, targets, train_indices, spec, views=views, augmentation=augmentation, devices=devices
    )
    validation = make_batches(pixels, targets, validation_indices, VALIDATION_BATCH, devices=devices)
    result = Training()
    recording = Recording(
        spec, len(train_indices), steps_per_epoch(spec, len(train_indices)), watcher, stop, keep, result
    )
    if start is not None:
        _go_on_from(start, model, recording)
    epoch = start.epoch if start else 0
    if start is not None and start.step:
        _finish_epoch(model, start, batches, validation, recording)
        epoch += 1
    if epoch < spec.epochs and not stop and not has_stopped(result.history, spec):
        _fit(model, batches, validation, recording, range(epoch, spec.epochs))
    if not stop:
        _settle(model, recording)
    return result


def _go_on_from(start: TrainingState, model: keras.Sequential, recording: Recording) -> None:
    write_variables(model, start.variables)
    result = recording.result
    result.history, result.timing, result.seconds = list(start.history), list(start.timing), start.seconds
    recording.best = list(start.best)
    if recording.best:
        check_fits(model.get_weights(), recording.best)


def _finish_epoch(
    model: keras.Sequential, start: TrainingState, batches: Any, validation: Any, recording: Recording
) -> None:
    """Makes the steps that are missing from an interrupted epoch, and validates.

    Its own call of ``fit``, which reads the number of batches once. At the end of a call Keras puts averaged weights in
    place of the weights, so what they were at the end of the epoch is put back.
    """
    ended: list[TrainingState] = []
    keep = recording.keep

    def listen(state: TrainingState) -> None:
        keep(state)
        ended.append(state)

    recording.keep, recording.resumed = listen, start
    if start.step < recording.steps:
        _fit(
            model, batches.starting_at(start.step), validation, recording, range(start.epoch, start.epoch + 1)
        )
    else:
        _validate(model, validation, recording, start.epoch)
    recording.keep = keep
    if ended:
        write_variables(model, ended[-1].variables)


def _fit(model: keras.Sequential, batches: Any, validation: Any, recording: Recording, epochs: range) -> None:
    callbacks = _callbacks(recording, batches)
    if isinstance(batches, DeviceBatches):
        fit_on_device(model, batches, validation.data, callbacks, epochs=epochs, stop=recording.stop)
        return
    model.fit(
        batches.data,
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        validation_data=validation.data,
        shuffle=False,  # the batches have their own order
        verbose=0,
        callbacks=callbacks,
    )


def _validate(model: keras.Sequential, validation: Any, recording: Recording, epoch: int) -> None:
    """The end of an epoch whose steps have all been made."""
    callbacks = _callbacks(recording, validation)
    recorder = callbacks[0]
    recorder.set_model(model)
    recorder.on_train_begin()
    recorder.on_epoch_begin(epoch)
    training = recorder.running
    measured = model.evaluate(validation.data, callbacks=callbacks, return_dict=True, verbose=0)
    recorder.on_epoch_end(epoch, training | {f"val_{name}": value for name, value in measured.items()})
    recorder.on_train_end()


def _callbacks(recording: Recording, batches: Any) -> list[Any]:
    callbacks = [make_recorder(recording, batches.start_epoch)]
    if recording.spec.ema:
        # The average is what is validated. After the recorder, which wants to see it at the end of validation.
        callbacks.append(import_keras().callbacks.SwapEMAWeights())
    return callbacks


def _settle(model: keras.Sequential, recording: Recording) -> None:
    """Leaves the model with the weights that are to be kept."""
    model.optimizer.finalize_variable_values(model.trainable_weights)
    if recording.best:
        model.set_weights(recording.best)
        recording.result.kept_epoch = best_row(recording.result.history, recording.spec).epoch


def _batches(
    pixels: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
    spec: TrainingSpec,
    *,
    views: np.ndarray | None,
    augmentation: AugmentationSpec | None,
    devices: Devices,
) -> Any:
    weights = weigh_classes(spec, targets[indices])
    varied = views is None and augmentation is not None and active_augmentations(augmentation)
    shown = len(indices) * (1 if views is None else len(views))
    if can_be_on_device(pixels, shown):
        return DeviceBatches(
            pixels,
            targets,
            indices,
            spec,
            views=views,
            augmentation=augmentation if varied else None,
            class_weights=weights,
            devices=devices,
        )
    if not varied and can_be_resident(pixels, shown):
        return ResidentBatches(
            pixels,
            targets,
            indices,
            spec.batch_size,
            shuffle_seed=spec.seed,
            views=views,
            class_weights=weights,
        )
    return make_batches(
        pixels,
        targets,
        indices,
        spec.batch_size,
        shuffle_seed=spec.seed,
        views=views,
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
    """How many steps to make without Python in between, for a network of this many multiply-adds per image."""
    wanted = MULTIPLY_ADDS_PER_CALL / (spec.batch_size * max(1, multiply_adds))
    return int(min(MOST_STEPS_PER_CALL, max(1.0, wanted)))
