"""How much better a network is on the images that it has learned from than on others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conviction.evaluation.intervals import newcombe
from conviction.training import EpochRow

# A gap whose interval reaches down to this is not called large: unseen images are always somewhat harder.
NORMAL = 0.05
# A gap whose interval reaches up to this cannot be called small.
LARGE = 0.10
# Of the standard normal distribution, for 95% on both sides.
Z = 1.959964


@dataclass(frozen=True)
class Gap:
    """Accuracy on training images beside that on unseen ones.

    Attributes:
        unseen: Which part: "test", or "validation" while the test set is sealed.
        measured: "after training" with the weights that are kept; "in training" means that the figure of the training
            images is the mean over an epoch in which the weights moved, with dropout and augmentation.
        train_accuracy: From 0 to 1.
        train_images: How many.
        unseen_accuracy: From 0 to 1.
        unseen_images: How many.
        low: The lower end of Newcombe's 95% interval of the difference.
        high: The upper end.
        power: The probability that the interval of a true gap of 10 points would lie above 0.
    """

    unseen: Literal["test", "validation"]
    measured: Literal["after training", "in training"]
    train_accuracy: float
    train_images: int
    unseen_accuracy: float
    unseen_images: int
    low: float
    high: float
    power: float

    @property
    def size(self) -> float:
        """Training minus unseen accuracy."""
        return self.train_accuracy - self.unseen_accuracy

    @property
    def is_large(self) -> bool:
        """Whether the whole interval lies above what is normal."""
        return self.low > NORMAL

    @property
    def may_be_large(self) -> bool:
        """Whether the interval reaches what would be large."""
        return self.high >= LARGE

    @property
    def of_the_error(self) -> float:
        """The share of the unseen images' mistakes that the training images would not have had, at most 1."""
        error = 1.0 - self.unseen_accuracy
        return self.size / error if error > 0.0 else 0.0


def measure_gap(
    train: tuple[float, int],
    unseen: tuple[float, int],
    part: Literal["test", "validation"],
    measured: Literal["after training", "in training"] = "after training",
) -> Gap:
    """The gap of two accuracies.

    Args:
        train: Accuracy on training images, and of how many.
        unseen: The same of unseen images.
        part: Which those are.
        measured: When the training images were scored.
    """
    (p, n), (q, m) = train, unseen
    low, high = newcombe((round(p * n), n), (round(q * m), m))
    return Gap(part, measured, p, n, q, m, low, high, gap_power(p, n, m))


def live_gap(row: EpochRow, train_images: int, validation_images: int) -> Gap:
    """The gap of one epoch, as training has counted it."""
    train, unseen = (row.accuracy, train_images), (row.val_accuracy, validation_images)
    return measure_gap(train, unseen, "validation", "in training")


def gap_power(train_accuracy: float, train_images: int, unseen_images: int) -> float:
    """The probability that a true gap of ``LARGE`` has an interval above 0, by the normal approximation.

    Args:
        train_accuracy: From 0 to 1.
        train_images: At least 1.
        unseen_images: At least 1.
    """
    p = train_accuracy
    q = max(0.0, p - LARGE)
    error = math.sqrt(p * (1 - p) / train_images + q * (1 - q) / unseen_images)
    return 0.5 * (1.0 + math.erf((LARGE / error - Z) / math.sqrt(2.0))) if error else 1.0


def best_epoch(history: Sequence[EpochRow]) -> EpochRow:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda row: (row.val_loss, row.epoch))
