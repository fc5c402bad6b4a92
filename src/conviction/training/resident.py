"""Batches that TensorFlow gathers by itself, from images that fit into memory: no Python between steps.

The same batches in the same order as those of ``make_batches``; at a step of 10 ms, passing on what Python has gathered
takes another fifth of the time.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.training.batches import epoch_order, image_weights
from conviction.training.dataset import plain_options

# More stays mapped, and Python gathers it batch by batch.
BUDGET_BYTES = 512 * 2**20


def can_be_resident(pixels: np.ndarray, images: int) -> bool:
    """Whether this many of these images may be copied into memory, on this backend."""
    size = images * pixels[:1].nbytes
    return size <= BUDGET_BYTES and import_keras().backend.backend() == "tensorflow"


class ResidentBatches:
    """Batches of an epoch; ``data`` is a ``tf.data.Dataset``.

    Args:
        pixels: (n, h, w, c) uint8 of the whole set.
        targets: (n, k) float32 of the whole set.
        indices: Which images; they are copied.
        batch_size: The last batch of an epoch has what is left.
        shuffle_seed: As for ``make_batches``; so are the next two.
        views: See there.
        class_weights: See there.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        indices: np.ndarray,
        batch_size: int,
        *,
        shuffle_seed: int,
        views: np.ndarray | None = None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        import tensorflow as tf

        y = targets[indices]
        parts = [y] if class_weights is None else [y, image_weights(y, class_weights)]
        kept = [tf.constant(part) for part in parts]
        # (n, ...), or (v, n, ...) to (v * n, ...): one version after another.
        shown = pixels[indices] if views is None else np.concatenate([view[indices] for view in views])
        inputs = tf.constant(shown)
        self._seed, self._images, self._views = shuffle_seed, len(indices), len(shown) // len(indices)
        self._begin = tf.Variable(0, dtype=tf.int32, trainable=False)
        begin = self._begin
        self._order = tf.Variable(np.arange(len(indices), dtype=np.int32), trainable=False)
        order = self._order

        def gather(number: Any) -> tuple[Any, ...]:
            chosen = order[number * batch_size : (number + 1) * batch_size]
            return (tf.gather(inputs, begin + chosen), *(tf.gather(part, chosen) for part in kept))

        options = plain_options()
        self._steps = -(-len(indices) // batch_size)

        def batches_from(first: int) -> Any:
            steps = tf.data.Dataset.range(first, self._steps)
            return steps.map(gather).prefetch(2).with_options(options)

        self._batches_from = batches_from
        self.data = batches_from(0)

    def starting_at(self, first: int) -> ResidentBatches:
        """The same batches of every epoch without its first ones."""
        rest = copy.copy(self)
        rest.data = self._batches_from(first)
        return rest

    def start_epoch(self, epoch: int) -> None:
        """From now on, the order of this epoch (from 0), and its version of the images."""
        self._begin.assign(epoch % self._views * self._images)
        self._order.assign(epoch_order(self._images, self._seed, epoch).astype(np.int32))
