"""Whether a network can be trained in the memory that is free, before it is built."""

from __future__ import annotations

import math
from collections.abc import Sequence

from conviction.backend import free_bytes
from conviction.config import TrainingSpec
from conviction.errors import RequestError
from conviction.model.shapes import LayerRow

# How many numbers each optimizer keeps for each weight.
SLOTS = {"adam": 2, "adamw": 2, "muon": 2, "rmsprop": 1, "sgd": 0}


def least_bytes(rows: Sequence[LayerRow], spec: TrainingSpec, batch_size: int) -> int:
    """The least that training takes, in bytes: weights, gradients, optimizer, and every layer's output.

    A layer's output is kept until the gradient has come back through it. What kernels use while they run, and what
    Keras itself takes, come on top.
    """
    learned = sum(r.trainable for r in rows)
    kept = 4 * (sum(r.params for r in rows) + learned * (1 + SLOTS[spec.optimizer] + (spec.ema > 0)))
    outputs = sum(math.prod(r.output) + r.inner for r in rows)
    return kept + batch_size * outputs * (2 if spec.precision == "bfloat16" else 4)


def check_memory(rows: Sequence[LayerRow], spec: TrainingSpec) -> None:
    """Refuses what cannot fit.

    Raises:
        RequestError: Training needs more than is free. The message names the largest batch that fits.
    """
    free = free_bytes()
    needed = least_bytes(rows, spec, spec.batch_size)
    if free is None or needed <= free:
        return
    fixed = least_bytes(rows, spec, 0)
    shortage = f"training needs at least {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
    if least_bytes(rows, spec, 1) > free:
        heaviest = max(rows, key=lambda r: r.params)
        raise RequestError(
            f"model: {shortage}, of which weights, gradients and optimizer take {fixed / 1e9:.1f} GB; most are in "
            f"{heaviest.name} ({heaviest.params:,} parameters). Use fewer units there, or smaller images."
        )
    fits = (free - fixed) // (least_bytes(rows, spec, 1) - fixed)
    raise RequestError(
        f"training.batch_size={spec.batch_size}: {shortage}. The largest that fits is training.batch_size={fits}."
    )
