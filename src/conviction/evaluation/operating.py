"""What a threshold does: the two kinds of mistakes it trades, and what abstaining trades for accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.evaluation.intervals import wilson

Interval = tuple[float, float]
THRESHOLDS = tuple(n / 10 for n in range(1, 10))
# Below these probabilities a network abstains.
LEVELS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold between two classes does on some images; intervals are of 95% (Wilson).

    Attributes:
        threshold: A picture is of the class from this probability on.
        called: How many images are called that.
        recall: The share of the images of the class that are called so.
        recall_ci95: Its interval.
        specificity: The share of the other images that are not called so.
        specificity_ci95: Its interval.
        precision: The share of the images that are called so and are; None where none is called so.
        precision_ci95: Its interval.
    """

    threshold: float
    called: int
    recall: float
    recall_ci95: Interval
    specificity: float
    specificity_ci95: Interval
    precision: float | None
    precision_ci95: Interval | None

    @property
    def balanced_accuracy(self) -> float:
        """The mean of recall and specificity."""
        return (self.recall + self.specificity) / 2


@dataclass(frozen=True)
class Coverage:
    """A network that abstains where its highest probability is low, on some images.

    Attributes:
        abstain_below: The probability.
        answered: How many images have an answer.
        coverage: Their share.
        accuracy: The share of right answers among them; None where there is none.
        accuracy_ci95: Its interval of 95% (Wilson).
    """

    abstain_below: float
    answered: int
    coverage: float
    accuracy: float | None
    accuracy_ci95: Interval | None


def operating_points(
    scores: np.ndarray, is_class: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> list[OperatingPoint]:
    """What each threshold does.

    Args:
        scores: (n,) probabilities of the class.
        is_class: (n,) bool, both values present.
        thresholds: Each in [0, 1].
    """
    points = []
    positives, negatives = int(is_class.sum()), int((~is_class).sum())
    for threshold in thresholds:
        called = scores >= threshold
        hits, rejected = int((called & is_class).sum()), int((~called & ~is_class).sum())
        number = int(called.sum())
        points.append(
            OperatingPoint(
                threshold=float(threshold),
                called=number,
                recall=hits / positives,
                recall_ci95=wilson(hits, positives),
                specificity=rejected / negatives,
                specificity_ci95=wilson(rejected, negatives),
                precision=hits / number if number else None,
                precision_ci95=wilson(hits, number) if number else None,
            )
        )
    return points


def coverages(
    probabilities: np.ndarray, labels: np.ndarray, levels: Sequence[float] = LEVELS
) -> list[Coverage]:
    """What abstaining below each level leaves, and how often that is right.

    Args:
        probabilities: (n, classes).
        labels: (n,) integers.
        levels: Each in [0, 1].
    """
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    rows = []
    for level in levels:
        answered = highest >= level
        number, good = int(answered.sum()), int((answered & right).sum())
        rows.append(
            Coverage(
                abstain_below=float(level),
                answered=number,
                coverage=number / len(labels),
                accuracy=good / number if number else None,
                accuracy_ci95=wilson(good, number) if number else None,
            )
        )
    return rows
