"""Planted curves: histories whose truth is known, under the noise of recorded real runs.

The noise of a validation loss is that of resampling the images of a recorded run (the same images for all epochs of a
curve, so differences between epochs are as noisy as they really are), plus the run's own departures from the mean of
its seeds. Both are scaled with the loss. ``recorded.npz`` comes from ``benchmarks/record_curves.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from conviction.training import EpochRow
from conviction.training.monitor import BEYOND_NOISE, LAST, WORTHWHILE

RECORDED = Path(__file__).parent / "recorded.npz"
KINDS = ("settled", "turned", "underfitting", "still improving", "unstable")
SIZES = (200, 500, 1_000, 5_000)
CLASSES = 10
# Of the two recorded sets alike, a validation loss of v goes with about this share of v wrong images.
WRONG = 0.35


@dataclass(frozen=True)
class Planted:
    """A history and its truth.

    Attributes:
        kind: Of ``KINDS``.
        turn: The epoch (from 1) at which the validation loss without noise is lowest.
        history: With noise.
        images: Of the validation set that the noise belongs to.
        validation: (epochs,) the validation loss without noise.
        error: The standard error of a difference between its end and its lowest point.
    """

    kind: str
    turn: int
    history: list[EpochRow]
    images: int
    validation: np.ndarray
    error: float


@cache
def recorded() -> dict[str, np.ndarray]:
    """``*_history`` (seeds, epochs, 4) and ``*_losses`` (seeds, epochs, images), float64."""
    with np.load(RECORDED) as archive:
        return {name: archive[name].astype(np.float64) for name in archive.files}


def plant(kind: str, rng: np.random.Generator, images: int | None = None) -> Planted:
    """One curve whose truth is at least one standard error away from every boundary.

    Args:
        kind: Of ``KINDS``.
        rng: Draws it.
        images: In the validation set; None draws one of ``SIZES``.
    """
    while True:
        planted = _draw(kind, rng, images or int(rng.choice(SIZES)))
        if planted is not None:
            return planted


def _draw(kind: str, rng: np.random.Generator, images: int) -> Planted | None:
    epochs = int(rng.integers(6, 25))
    noise = _Noise(rng, epochs, images)
    train, validation = _truth(kind, rng, epochs, noise)
    noisy = validation + noise.of(validation)
    noisy_train = train * (1 + rng.normal(0, 0.004, epochs))
    turn = int(validation.argmin())
    error = noise.error(validation, turn)
    if not _clear(kind, validation, turn, error):
        return None
    if kind == "unstable" and rng.random() < 0.3:
        noisy_train[-1] = noisy[-1] = np.nan
    rows = [
        EpochRow(i + 1, float(a), float(_accuracy(a)), float(v), float(_accuracy(v)), 0.001)
        for i, (a, v) in enumerate(zip(noisy_train, noisy, strict=True))
    ]
    return Planted(kind, turn + 1, rows, images, validation, error)


def _accuracy(loss: float) -> float:
    return float(np.clip(1 - WRONG * loss, 0.1, 0.999))


def _truth(kind: str, rng: np.random.Generator, epochs: int, noise: _Noise) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation loss without noise, (epochs,) each."""
    t = np.arange(epochs)
    start, floor = rng.uniform(0.8, 2.0), rng.uniform(0.15, 0.7)
    fast = rng.uniform(epochs / 16, epochs / 9)
    if kind == "underfitting":
        floor = rng.uniform(0.45, 0.95) * np.log(CLASSES)
        start = max(start, floor + 0.1)
        train = floor + (start - floor) * np.exp(-t / fast)
        return train, train * rng.uniform(0.99, 1.03)
    if kind == "still improving":
        slow = rng.uniform(0.4, 1.5) * epochs
        validation = floor + (start + 0.5 - floor) * np.exp(-t / slow)
        return validation * rng.uniform(0.85, 1.0), validation
    validation = floor + (start - floor) * np.exp(-t / fast)
    train = validation * rng.uniform(0.6, 0.95)
    if kind == "turned":
        begins = int(rng.integers(2, epochs - 2))
        late = np.clip(t - begins, 0, None) / (epochs - 1 - begins)
        rise = rng.uniform(1, 30) * noise.error(validation, begins)
        validation = validation + rise * late ** rng.uniform(1, 1.5)
        train = train * (1 - 0.5 * np.clip(t / (epochs - 1), 0, 1))
    if kind == "settled" and rng.random() < 0.5:
        # Training goes on, and unseen images gain nothing by it and lose nothing.
        train = train * (1 - 0.5 * np.clip(t / (epochs - 1), 0, 1))
    if kind == "unstable":
        begins = int(rng.integers(2, epochs))
        broken = (t >= begins) * rng.uniform(0.7, 2.0) * (train[0] - train.min())
        train, validation = train + broken, validation + broken
    return train, validation


def _clear(kind: str, validation: np.ndarray, turn: int, error: float) -> bool:
    """Whether the truth is that of its kind, and not within one standard error of a boundary."""
    epochs = len(validation)
    rise = validation[-LAST:].mean() - validation[turn]
    third = 1 if epochs < 6 else epochs // 3
    before = validation[-2 * third : -third].mean()
    fall = before - validation[-third:].mean()
    least = max(WORTHWHILE * before, 2 * error)
    if kind == "turned":
        return turn < epochs - LAST and rise > (BEYOND_NOISE + 1) * error
    if kind == "still improving":
        return fall > least + error
    if kind == "settled":
        return fall < least - error
    return True


class _Noise:
    """Of one recorded run and one draw of validation images."""

    def __init__(self, rng: np.random.Generator, epochs: int, images: int) -> None:
        name = str(rng.choice(["fashion", "cifar"]))
        history, losses = recorded()[f"{name}_history"], recorded()[f"{name}_losses"]
        seed = int(rng.integers(len(losses)))
        # The first two epochs are those of another network; the rest is stretched over the planted ones.
        at = np.round(np.linspace(2, losses.shape[1] - 1, epochs)).astype(int)
        self.level = losses[seed].mean(axis=1)[at]
        self.relative = losses[seed][at] / self.level[:, np.newaxis]  # (epochs, images)
        self.images = images
        drawn = rng.integers(0, losses.shape[2], images)
        self.sampling = self.relative[:, drawn].mean(axis=1) - 1
        strange = history[:, :, 2] / history[:, :, 2].mean(axis=0) - 1  # (seeds, epochs)
        strange = (strange - strange.mean(axis=1, keepdims=True))[:, 2:]
        self.own = rng.choice(strange.ravel(), epochs)
        self.jitter = float(strange.std())

    def of(self, validation: np.ndarray) -> np.ndarray:
        """What is added to a validation loss."""
        return validation * (self._spread(validation) * self.sampling + self.own)

    def _spread(self, validation: np.ndarray) -> np.ndarray:
        """By how much losses of this mean are spread out more than the recorded ones, relative to their means.

        Few wrong images with high losses are spread out more than many: as sqrt((1 - w) / w) for a share w.
        """

        def odds(loss: np.ndarray) -> np.ndarray:
            wrong = np.clip(WRONG * loss, 0.01, 0.9)
            return np.sqrt((1 - wrong) / wrong)

        return odds(validation) / odds(self.level)

    def error(self, validation: np.ndarray, turn: int) -> float:
        """Of the mean of the last epochs, against the lowest."""
        scale = (self._spread(validation) * validation)[:, np.newaxis]
        paired = (self.relative * scale)[-LAST:].mean(axis=0) - self.relative[turn] * scale[turn]
        own = self.jitter * validation[turn] * np.sqrt(1 / LAST + 1)
        return float(np.hypot(paired.std() / np.sqrt(self.images), own))
