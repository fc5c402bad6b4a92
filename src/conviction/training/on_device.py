"""Training on an accelerator: the images live in its memory, and one call makes many steps (JAX only).

Keras's own loop gathers each batch in Python and hands it over, which takes longer than a step of a GPU. Here order and
draws of an epoch go over once; a call gathers, varies and learns for any number of steps. That number is an argument of
one compiled loop, so how an epoch is cut into calls does not change the bits. On a CPU, XLA computes the body of a loop
several times slower than the step alone (decision 34), so there Keras's loop stays.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from conviction.backend import has_gpu, import_keras
from conviction.config import AugmentationSpec, TrainingSpec
from conviction.data.cache import COMPILED, cache_root
from conviction.process import undone_at_the_end
from conviction.training.augment import active_augmentations, draw
from conviction.training.batches import epoch_order, image_weights
from conviction.training.device_effects import vary_on_device
from conviction.training.devices import Devices
from conviction.training.signals import StopRequest

if TYPE_CHECKING:
    import keras

# What the images may take of the memory of a device; weights and the outputs of layers need the rest.
MEMORY_SHARE = 0.4
# How large the programs that JAX has compiled may become together.
COMPILED_BYTES = 2**30
# A call makes so many times the steps that one makes on a CPU: some tenths of a second of a large GPU.
TIMES_STEPS = 250


def keep_compiled_programs() -> None:
    """Lets JAX keep what it compiles in the cache: a network takes it half a minute, and the same one comes again."""
    import jax

    option = "jax_compilation_cache_dir"
    if jax.config.jax_compilation_cache_dir is None:  # JAX_COMPILATION_CACHE_DIR names another folder
        folder = cache_root() / COMPILED
        _remove_oldest(folder)
        jax.config.update(option, str(folder))
        undone_at_the_end(lambda: jax.config.update(option, None))


def _remove_oldest(folder: Path) -> None:
    """Removes the files used longest ago from a folder that has become too large."""
    files = [(path, path.stat()) for path in folder.glob("*")] if folder.is_dir() else []
    total = 0
    for path, facts in sorted(files, key=lambda each: -max(each[1].st_mtime, each[1].st_atime)):
        total += facts.st_size
        if total > COMPILED_BYTES:
            path.unlink(missing_ok=True)


def can_be_on_device(pixels: np.ndarray, images: int) -> bool:
    """Whether training can keep this many of these images in the memory of an accelerator."""
    if import_keras().backend.backend() != "jax" or not has_gpu():
        return False
    import jax

    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    return bool(images * pixels[:1].nbytes <= MEMORY_SHARE * limit)


class Steps(NamedTuple):
    """What a call of the compiled loop works through; an index of steps is that of ``order`` and ``draws``.

    Attributes:
        order: (steps, batch) int32, images from 0.
        draws: By key of augmentation, (steps, batch, ...).
        begin: The index of the first image, where there are several versions of all.
        first: The step to begin with.
        end: The step after the last one.
    """

    order: Any
    draws: dict[str, Any]
    begin: np.int32
    first: int = 0
    end: int = 1


class DeviceBatches:
    """Images on the device, and what an epoch needs besides; the batches are those of ``make_batches``.

    Args:
        pixels: (n, h, w, c) uint8 of the whole set.
        targets: (n, k) float32 of the whole set.
        indices: Which images; they are copied.
        spec: Batch size and seed.
        views: As for ``make_batches``; so are the next three.
        augmentation: See there.
        class_weights: See there.
        devices: See there.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        indices: np.ndarray,
        spec: TrainingSpec,
        *,
        views: np.ndarray | None = None,
        augmentation: AugmentationSpec | None = None,
        class_weights: np.ndarray | None = None,
        devices: Devices,
    ) -> None:
        self.spec, self.devices, self.first = spec, devices, 0
        self.augmentation = augmentation if augmentation and active_augmentations(augmentation) else None
        self.images, self.shape = len(indices), pixels.shape[1:]
        # (n, ...), or (v, n, ...) to (v * n, ...): one version after another.
        shown = pixels[indices] if views is None else np.concatenate([view[indices] for view in views])
        self.views = len(shown) // len(indices)
        y = targets[indices]
        weights = [] if class_weights is None else [image_weights(y, class_weights)]
        self.arrays = tuple(devices.everywhere(array) for array in (shown, y, *weights))
        self.steps = -(-self.images // spec.batch_size)
        # Those of whole batches; the last one of an epoch may have fewer images.
        self.full_steps = self.images // spec.batch_size
        self._epochs: dict[int, tuple[Steps, Steps | None]] = {}

    def starting_at(self, first: int) -> DeviceBatches:
        """The same batches of every epoch without its first ones."""
        rest = copy.copy(self)
        rest.first = first
        return rest

    def start_epoch(self, epoch: int) -> None:
        """From now on, the order of this epoch (from 0), its draws, and its version of the images."""
        self.prepare(epoch)
        self._whole, self._last = self._epochs[epoch]
        self._epochs = {epoch: self._epochs[epoch]}

    def prepare(self, epoch: int) -> None:
        """Puts what an epoch needs on the device, which may be busy with the one before."""
        if epoch in self._epochs:
            return
        order = epoch_order(self.images, self.spec.seed, epoch).astype(np.int32)
        size, begin = self.spec.batch_size, np.int32(epoch % self.views * self.images)
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        draws = [self._drawn(epoch, step, batch) for step, batch in enumerate(batches)]

        def put(rows: slice) -> Steps:
            everywhere = self.devices.everywhere
            stacked = {key: everywhere(np.stack([d[key] for d in draws[rows]])) for key in draws[0]}
            return Steps(everywhere(np.stack(batches[rows])), stacked, begin)

        # There is a whole batch: none is larger than the set.
        last = put(slice(self.full_steps, None)) if self.steps > self.full_steps else None
        self._epochs[epoch] = put(slice(0, self.full_steps)), last

    def _drawn(self, epoch: int, step: int, images: np.ndarray) -> dict[str, np.ndarray]:
        if self.augmentation is None:
            return {}
        shape = (len(images), *self.shape[:2])
        drawn = draw(self.augmentation, shape, seed=self.spec.seed, epoch=epoch, step=step, images=images)
        narrow = {"f": np.float32, "i": np.int32, "b": np.bool_}  # JAX computes in 32 bits
        return {key: value.astype(narrow[value.dtype.kind]) for key, value in drawn.items()}

    def steps_from(self, step: int, most: int) -> tuple[Steps, int]:
        """The next steps of the epoch that batches of one size can make in one call, and how many they are."""
        if step < self.full_steps:
            count = min(most, self.full_steps - step)
            return self._whole._replace(first=step, end=step + count), count
        assert self._last is not None
        return self._last, 1


def fit_on_device(
    model: keras.Sequential,
    batches: DeviceBatches,
    validation: Any,
    callbacks: list[Any],
    *,
    epochs: range,
    stop: StopRequest,
) -> None:
    """What ``model.fit`` does for these epochs, with the same callbacks.

    Args:
        model: Compiled, its optimizer built.
        batches: Of training.
        validation: What ``model.evaluate`` takes.
        callbacks: Of Keras; the recorder among them calls ``batches.start_epoch``.
        epochs: From 0.
        stop: Ends it after a call.
    """
    keras = import_keras()
    keep_compiled_programs()
    nothing = np.zeros((1, *model.output_shape[1:]), np.float32)
    model.compute_metrics(
        None, nothing, nothing
    )  # Keras makes a metric's variables when it is first computed
    several_steps = _compiled_loop(model, batches)
    most = TIMES_STEPS * int(model.steps_per_execution)
    if batches.spec.checkpoint_steps:
        most = min(most, batches.spec.checkpoint_steps)
    watching = keras.callbacks.CallbackList(callbacks, model=model)
    model.stop_training = False
    watching.on_train_begin()
    for epoch in epochs:
        model.reset_metrics()
        watching.on_epoch_begin(epoch)
        step, figures = batches.first, {}
        while step < batches.steps and not model.stop_training:
            steps, count = batches.steps_from(step, most)
            state, figures = several_steps(_values(model), batches.arrays, steps)
            _take(model, state)
            step += count
            if step == batches.steps and epoch + 1 < epochs.stop:
                batches.prepare(epoch + 1)
            watching.on_train_batch_end(step - batches.first - 1, figures)
        logs = {name: float(value) for name, value in figures.items()}
        if not stop:
            measured = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
            logs |= {f"val_{name}": value for name, value in measured.items()}
        watching.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    watching.on_train_end()


def _compiled_loop(model: keras.Sequential, batches: DeviceBatches) -> Any:
    """A function from the state of the model to that some steps later, and its running figures."""
    import jax

    augmentation, devices = batches.augmentation, batches.devices

    def one_step(state: Any, arrays: Any, steps: Steps, step: Any) -> tuple[Any, Any]:
        chosen = steps.order[step]
        x = devices.divided(arrays[0][steps.begin + chosen])
        y, *weights = (devices.divided(array[chosen]) for array in arrays[1:])
        if augmentation is not None:
            here = {key: value[step] for key, value in steps.draws.items()}
            x, y = vary_on_device(x, y, augmentation, here)
        figures, state = model.train_step(state, (x, y, *weights))
        return state, figures

    def several(state: Any, arrays: Any, steps: Steps) -> tuple[Any, Any]:
        _, figures = jax.eval_shape(one_step, state, arrays, steps, 0)
        nothing = jax.tree.map(lambda figure: jax.numpy.zeros(figure.shape, figure.dtype), figures)
        ended: tuple[Any, Any] = jax.lax.fori_loop(
            steps.first,
            steps.end,
            lambda step, carried: one_step(carried[0], arrays, steps, step),
            (state, nothing),
        )
        return ended

    return jax.jit(several, donate_argnums=0)


def _values(model: keras.Sequential) -> tuple[list[Any], ...]:
    """The state of a model as Keras's ``train_step`` takes it on JAX."""
    return tuple([v.value for v in variables] for variables in _variables(model))


def _take(model: keras.Sequential, state: tuple[list[Any], ...]) -> None:
    for variables, values in zip(_variables(model), state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _variables(model: keras.Sequential) -> tuple[list[Any], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
