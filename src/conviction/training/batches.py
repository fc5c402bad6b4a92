"""Batches of raw pixels and encoded labels, in an order that depends on the seed and epoch alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import AugmentationSpec, TrainingSpec
from conviction.training.augment import augment
from conviction.training.dataset import keras_data
from conviction.training.devices import Devices


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of range(n) for this seed and epoch (from 0); (n,) int64.

    NumPy promises the same stream from ``Philox`` and ``permutation`` on every machine.
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n)


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """The weight of each class, n / (classes * images of it), (k,) float32; 0 for a class without images.

    Args:
        targets: (n, k) one-hot, or (n, 1) for two classes.
    """
    counts = _shares(targets).sum(axis=0)
    weights = np.zeros(len(counts), np.float32)
    return np.divide(len(targets) / len(counts), counts, out=weights, where=counts > 0)


def weigh_classes(spec: TrainingSpec, targets: np.ndarray) -> np.ndarray | None:
    """The weight of each class by ``spec``, (k,) float32; None if all images count alike.

    Args:
        spec: Its ``class_weights``.
        targets: Of the training images, as for ``balanced_weights``.
    """
    return balanced_weights(targets) if spec.class_weights == "balanced" else None


def image_weights(targets: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    """The weight of the loss of each image, (n,) float32."""
    return _shares(targets) @ class_weights


def _shares(targets: np.ndarray) -> np.ndarray:
    """The share of each image that belongs to each class: (n, k) as it is, (n, 1) -> (n, 2)."""
    return targets if targets.shape[1] > 1 else np.concatenate([1 - targets, targets], axis=1)


def make_batches(
    pixels: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    views: np.ndarray | None = None,
    augmentation: AugmentationSpec | None = None,
    class_weights: np.ndarray | None = None,
    devices: Devices | None = None,
) -> Any:
    """A ``keras.utils.PyDataset`` over the images at ``indices``; its ``data`` is what ``fit`` takes.

    ``starting_at(n)`` gives the same batches of every epoch without the first n.

    Args:
        pixels: (n, h, w, c) uint8 of the whole set; batches are gathered from it, never copied as a whole.
        targets: (n, k) float32 of the whole set.
        indices: Which images, in the order to use without shuffling.
        batch_size: The last batch of an epoch has what is left.
        shuffle_seed: A new order every epoch by ``epoch_order``, once ``start_epoch(epoch)`` has said which
            epoch (from 0) it is; None keeps the order.
        views: (v, n, ...) of the whole set, in place of ``pixels``: epoch e sees the version e modulo v.
        augmentation: How the images of a shuffled epoch are varied; those in a kept order never are.
        class_weights: (k,) float32, the weight of the loss of an image of each class; batches then have a third
            part, that of each image. A mixed image counts what its parts count.
        devices: Over which a batch is spread; None leaves its arrays to the backend.
    """
    keras = import_keras()

    class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        def __init__(self, first: int = 0) -> None:
            super().__init__(workers=1)
            self._first = first
            self.start_epoch(0)

        @property
        def data(self) -> Any:
            return keras_data(self)

        def starting_at(self, first: int) -> Any:
            return Batches(first)

        def start_epoch(self, epoch: int) -> None:
            # Set by the caller, not counted: Keras 3.15 calls on_epoch_end more often than once an epoch.
            self._epoch = epoch
            self._inputs = pixels if views is None else views[epoch % len(views)]
            self._order = np.arange(len(indices))
            if shuffle_seed is not None:
                self._order = epoch_order(len(indices), shuffle_seed, epoch)

        def __len__(self) -> int:
            return math.ceil(len(indices) / batch_size) - self._first

        def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
            number += self._first
            of_training = self._order[number * batch_size : (number + 1) * batch_size]
            chosen = indices[of_training]
            x, y = self._inputs[chosen], targets[chosen]
            if shuffle_seed is not None and augmentation is not None:
                rows = devices.rows_here(len(chosen)) if devices else slice(None)
                draw = {"seed": shuffle_seed, "epoch": self._epoch, "step": number}
                x, y = augment(x, y, augmentation, **draw, images=of_training, rows=rows)
            batch = (x, y) if class_weights is None else (x, y, image_weights(y, class_weights))
            return devices.spread(batch) if devices else batch

    return Batches()
