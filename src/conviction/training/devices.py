"""Several devices at once: the weights on each of them, every batch spread over them (JAX only).

Keras's own loop spreads its batches while a distribution is set, and fails on a batch that does not divide, such
as the last of an epoch. So the distribution is set only while the network is made, and batches arrive already spread;
one that does not divide goes whole to every device, and all compute the same figures.

The devices may belong to several processes, each of which gathers the whole batch, and varies
and places what its own devices calculate with.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import TrainingSpec
from conviction.errors import RequestError


def count_devices() -> int:
    """The number of accelerators that Keras would spread a batch over, or of CPU devices where there are none."""
    return len(import_keras().distribution.list_devices())


def check_devices(spec: TrainingSpec) -> None:
    """Refuses ``devices=all`` where it cannot work.

    Raises:
        RequestError: The backend is not JAX, or the batch does not divide.
    """
    if spec.devices == "one":
        return
    backend = import_keras().backend.backend()
    if backend != "jax":
        raise RequestError(
            "training.devices=all: Keras spreads training over devices on JAX only, and the backend is "
            f"{backend}. Set KERAS_BACKEND=jax, or leave training.devices=one."
        )
    count = count_devices()
    if spec.batch_size % count:
        nearest = max(1, round(spec.batch_size / count)) * count
        raise RequestError(
            f"training.batch_size={spec.batch_size}: expected a multiple of the {count} devices. Try "
            f"training.batch_size={nearest}."
        )


class Devices:
    """Where training runs. On one device it does nothing."""

    def __init__(self, spec: TrainingSpec) -> None:
        self._parallel: Any = None
        if spec.devices == "all":
            self._parallel = import_keras().distribution.DataParallel()

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables created inside it, including the optimizer's, live on every device."""
        return self._parallel.scope() if self._parallel else contextlib.nullcontext()

    def spread(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arrays of a batch, each with its first axis divided among the devices."""
        return tuple(self._distribute(part) for part in batch) if self._parallel else batch

    def everywhere(self, array: np.ndarray) -> Any:
        """The whole array on every device."""
        import jax

        if not self._parallel:
            return jax.device_put(array)
        layout = jax.sharding.NamedSharding(self._layout(array.shape).mesh, jax.sharding.PartitionSpec())
        return jax.make_array_from_callback(array.shape, layout, lambda index: array[index])

    def divided(self, array: Any) -> Any:
        """Inside a compiled function, the same array with its first axis divided among the devices."""
        import jax

        if not self._parallel:
            return array
        return jax.lax.with_sharding_constraint(array, self._layout(array.shape))

    def rows_here(self, images: int) -> slice:
        """Which images of a batch of this size the devices of this process calculate with."""
        if not self._parallel:
            return slice(0, images)
        parts = self._layout((images,)).addressable_devices_indices_map((images,)).values()
        rows = [part[0].indices(images) for part in parts]
        return slice(min(start for start, _, _ in rows), max(stop for _, stop, _ in rows))

    def _layout(self, shape: tuple[int, ...]) -> Any:
        import jax

        layout = self._parallel.get_data_layout(shape).backend_layout
        if shape[0] % layout.mesh.size:
            layout = jax.sharding.NamedSharding(layout.mesh, jax.sharding.PartitionSpec())
        return layout

    def _distribute(self, part: Any) -> Any:
        import jax

        layout = self._layout(part.shape)
        # Not device_put, which makes all processes compare their inputs.
        return jax.make_array_from_callback(part.shape, layout, lambda index: part[index])
