"""Several devices at once: the weights on each of them, every batch spread over them (JAX only).

Keras's own loop spreads what it is given while a distribution is set, and fails on a batch that does not divide, such
as the last of an epoch. So the distribution is set only while the network is made, and batches arrive already spread;
one that does not divide is given whole to every device, which computes the same figures.
"""

from __future__ import annotations

import contextlib
from typing import Any

from conviction.backend import import_keras
from conviction.config import TrainingSpec
from conviction.errors import RequestError


def count_devices() -> int:
    """The number of accelerators that Keras would spread a batch over, or of CPU devices where there are none."""
    return len(import_keras().distribution.list_devices())


def check_devices(spec: TrainingSpec) -> None:
    """Refuses ``devices=all`` where it cannot be had.

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
        """Variables that are made in it, those of the optimizer included, live on every device."""
        return self._parallel.scope() if self._parallel else contextlib.nullcontext()

    def spread(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arrays of a batch, each with its first axis divided among the devices."""
        return tuple(self._place(part) for part in batch) if self._parallel else batch

    def _place(self, part: Any) -> Any:
        import jax

        layout = self._parallel.get_data_layout(part.shape).backend_layout
        if len(part) % layout.mesh.size:
            layout = jax.sharding.NamedSharding(layout.mesh, jax.sharding.PartitionSpec())
        return jax.device_put(part, layout)
