"""How much better a network is on the images that it has learned from than on others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conviction.evaluation.intervals import newcombe
from conviction.training import EpochRow

# A gap whose interval reaches down to this is not called large: unseen images are always somewhat harder.
NORMAL = 0.05
# A gap whose interval reaches up to this cannot be called small.
LARGE = 0.10
# Memorising: at least this share of the error on unseen images is the gap, and not error on training images as well.
OF_THE_ERROR = 0.5


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
    def is_memorising(self) -> bool:
        """Whether it is large, and most of the error on unseen images."""
        return self.is_large and self.of_the_error >= OF_THE_ERROR

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
    right = round(p * n)
    low, high = newcombe((right, n), (round(q * m), m))
    return Gap(part, measured, p, n, q, m, low, high, gap_power(right, n, m))


def live_gap(row: EpochRow, train_images: int, validation_images: int) -> Gap:
    """The gap of one epoch, as training has counted it."""
    train, unseen = (row.accuracy, train_images), (row.val_accuracy, validation_images)
    return measure_gap(train, unseen, "validation", "in training")


def gap_power(train_right: int, train_images: int, unseen_images: int) -> float:
    """The probability that a true gap of ``LARGE`` has an interval above 0, for the accuracy in training as it is.

    Args:
        train_right: In 0..``train_images``.
        train_images: At least 1.
        unseen_images: At least 1.
    """
    from scipy.stats import binom

    train = (train_right, train_images)
    # The more unseen images are right, the lower the interval: up to how many of them it still lies above 0.
    most = (
        bisect_left(range(unseen_images + 1), 1, key=lambda b: newcombe(train, (b, unseen_images))[0] <= 0.0)
        - 1
    )
    return float(binom.cdf(most, unseen_images, max(0.0, train_right / train_images - LARGE)))


def best_epoch(history: Sequence[EpochRow]) -> EpochRow:
    """The epoch with the lowest validation loss, the earliest of ties."""
    return min(history, key=lambda row: (row.val_loss, row.epoch))
