"""Two images and their targets mixed: Zhang et al. (2018)."""

from __future__ import annotations

import numpy as np

from conviction.training.augmentations.arithmetic import groups, to_uint8
from conviction.training.augmentations.augmentation import Augmentation

# Johnk's method divides by the parameter; below this every draw is 0 or 1 anyway.
LEAST_BETA = 1e-6


def draw_mixing(chance: np.random.Generator, mixup: float, n: int, height: int, width: int) -> np.ndarray:
    """(n, 2) float64: how much of itself an image keeps, from Beta(mixup, mixup); and the row that it is mixed with."""
    beta = max(mixup, LEAST_BETA)
    return np.column_stack([chance.beta(beta, beta, n), chance.permutation(n)])


def mixup(pixels: np.ndarray, targets: np.ndarray, mixing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share * own + (1 - share) * partner's, for pixels (rounded) and targets alike: Zhang et al. (2018).

    Each image has its own share; the authors' program draws one for a batch, the paper leaves it open.
    """
    shares, partners = mixing[:, 0], mixing[:, 1].astype(np.intp)
    rest = (1 - shares).astype(np.float32)[:, np.newaxis]
    flat = pixels.reshape(len(pixels), -1)  # (n, h, w, c) -> (n, h*w*c)
    out = np.empty_like(flat)
    for group in groups(*flat.shape):
        values = flat[group].astype(np.float32)
        values += rest[group] * (flat[partners[group]] - values)
        out[group] = to_uint8(values)
    return out.reshape(pixels.shape), targets + rest * (targets[partners] - targets)


def _sentence(mixup: float, height: int, width: int) -> str:
    return "two images and their labels are mixed"


MIXUP = Augmentation(
    key="mixup",
    stream=7,
    draw=draw_mixing,
    effect=mixup,
    takes=("mixup",),
    sentence=_sentence,
    mixes=True,
)
