"""Batches of raw pixels and encoded labels, in an order that depends on the seed and epoch alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import AugmentationSpec
from conviction.training.augment import augment


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of range(n) for this seed and epoch (from 0); (n,) int64.

    NumPy promises the same stream from ``Philox`` and ``permutation`` on every machine.
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n)


def make_batches(
    pixels: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    augmentation: AugmentationSpec | None = None,
) -> Any:
    """A ``keras.utils.PyDataset`` over the images at ``indices``.

    Args:
        pixels: (n, h, w, c) uint8 of the whole set; batches are gathered from it, never copied as a whole.
        targets: (n, k) float32 of the whole set.
        indices: Which images, in the order to use without shuffling.
        batch_size: The last batch of an epoch has what is left.
        shuffle_seed: A new order every epoch by ``epoch_order``, once ``start_epoch(epoch)`` has said which
            epoch (from 0) it is; None keeps the order.
        augmentation: How the images of a shuffled epoch are varied; those in a kept order never are.
    """
    keras = import_keras()

    class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.start_epoch(0)

        def start_epoch(self, epoch: int) -> None:
            # Told, not counted: Keras 3.15 calls on_epoch_end more often than once an epoch.
            self._epoch = epoch
            self._order = indices
            if shuffle_seed is not None:
                self._order = indices[epoch_order(len(indices), shuffle_seed, epoch)]

        def __len__(self) -> int:
            return math.ceil(len(indices) / batch_size)

        def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self._order[number * batch_size : (number + 1) * batch_size]
            x, y = pixels[chosen], targets[chosen]
            if shuffle_seed is None or augmentation is None:
                return x, y
            return augment(x, y, augmentation, seed=shuffle_seed, epoch=self._epoch, step=number)

    return Batches()
