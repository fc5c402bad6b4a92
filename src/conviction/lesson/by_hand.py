"""One step of gradient descent that fits on a sheet of paper: a picture, a kernel, a dense unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Chosen so that the probability is one half and every number of the way back is short.
PICTURE = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 1.0], [0.0, 0.0, 2.0]])
KERNEL = np.array([[1.0, 0.0], [-1.0, 1.0]])
WEIGHTS = np.array([[0.5, -0.5], [-0.5, 0.5]])
RATE = 0.1
TARGET = 1.0


@dataclass(frozen=True)
class Forward:
    """What the network computes.

    Attributes:
        sums: (2, 2), patch x kernel at each place.
        maps: (2, 2), what ReLU leaves of them.
        logit: The dense unit: each value of the maps times its weight, summed.
        p: Its sigmoid, the probability of class 1.
        loss: -ln p, as the picture is of class 1.
    """

    sums: np.ndarray
    maps: np.ndarray
    logit: float
    p: float
    loss: float


@dataclass(frozen=True)
class Backward:
    """The gradient of the loss for each of them, from the end to the beginning.

    Attributes:
        logit: p - y.
        weights: (2, 2), of the dense unit.
        maps: (2, 2).
        sums: (2, 2), behind the gate of ReLU.
        kernel: (2, 2).
        picture: (3, 3).
    """

    logit: float
    weights: np.ndarray
    maps: np.ndarray
    sums: np.ndarray
    kernel: np.ndarray
    picture: np.ndarray


@dataclass(frozen=True)
class ByHand:
    """The whole calculation.

    Attributes:
        picture: (3, 3).
        kernel: (2, 2).
        weights: (2, 2), of the dense unit, one for each place of the maps.
        rate: The learning rate.
        forward: The way there.
        backward: The way back.
        new_kernel: (2, 2), after the step.
        new_weights: (2, 2), after the step.
        after: The way there, after the step.
    """

    picture: np.ndarray
    kernel: np.ndarray
    weights: np.ndarray
    rate: float
    forward: Forward
    backward: Backward
    new_kernel: np.ndarray
    new_weights: np.ndarray
    after: Forward


def forward(picture: np.ndarray, kernel: np.ndarray, weights: np.ndarray) -> Forward:
    """From (3, 3) pixels to the loss."""
    patches = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape)
    sums = (patches * kernel).sum((2, 3))  # (2, 2, 2, 2) -> (2, 2)
    maps = np.maximum(sums, 0.0)
    logit = float((maps * weights).sum())
    p = float(1 / (1 + np.exp(-logit)))
    return Forward(sums, maps, logit, p, float(-np.log(p)))


def backward(picture: np.ndarray, kernel: np.ndarray, weights: np.ndarray) -> Backward:
    """From the loss to (3, 3) pixels, by the chain rule."""
    there = forward(picture, kernel, weights)
    logit = there.p - TARGET
    maps = logit * weights
    sums = np.where(there.sums > 0, maps, 0.0)
    for_kernel, for_picture = np.zeros(kernel.shape), np.zeros(picture.shape)
    for y, x in np.ndindex(*sums.shape):
        for_kernel += sums[y, x] * picture[y : y + 2, x : x + 2]
        for_picture[y : y + 2, x : x + 2] += sums[y, x] * kernel
    return Backward(logit, logit * there.maps, maps, sums, for_kernel, for_picture)


@cache
def by_hand() -> ByHand:
    """The calculation of the chapter on gradients."""
    back = backward(PICTURE, KERNEL, WEIGHTS)
    kernel, weights = KERNEL - RATE * back.kernel, WEIGHTS - RATE * back.weights
    return ByHand(
        PICTURE,
        KERNEL,
        WEIGHTS,
        RATE,
        forward(PICTURE, KERNEL, WEIGHTS),
        back,
        kernel,
        weights,
        forward(PICTURE, kernel, weights),
    )
