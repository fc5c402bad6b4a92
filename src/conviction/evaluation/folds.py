"""How good a recipe is with so many images: networks tested in turn on every image that the others learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conviction.evaluation.bootstrap import Figure
from conviction.evaluation.intervals import mean_of_shares, wilson
from conviction.evaluation.metrics import cross_entropies


@dataclass(frozen=True)
class RecipeEstimate:
    """What repeated cross-validation says of a recipe; nothing of the one network that is kept.

    Attributes:
        folds: Into how many folds the images were divided.
        repetitions: How often that was done.
        n: How many images; each was answered once in each repetition, by a network that had not seen it.
        learned: From how many images a network learned, on average, validation images not included.
        loss: The mean cross-entropy over all answers, in nats.
        accuracy: The mean over all folds, with the corrected interval.
        balanced_accuracy: The same of the mean recall of the classes.
        accuracies: By repetition, the accuracy of each fold.
    """

    folds: int
    repetitions: int
    n: int
    learned: float
    loss: float
    accuracy: Figure
    balanced_accuracy: Figure
    accuracies: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``evaluation.json``."""
        return asdict(self)


def corrected_interval(values: Sequence[float], test_share: float) -> tuple[float, float]:
    """The 95% interval of the mean of figures of networks that have learned from overlapping images.

    Nadeau and Bengio (2003), "Inference for the Generalization Error", the corrected resampled t-test: the variance of
    the mean of J values is (1 / J + n_test / n_train) times their variance, with J - 1 degrees of freedom. With 1 / J
    alone it would shrink with every repetition, although the images stay the same.

    Args:
        values: J of them, at least 2.
        test_share: n_test / n_train, the number of images tested on by the number learned from.

    >>> low, high = corrected_interval([0.8, 0.9, 0.7, 0.8], 0.25)
    >>> round(low, 4), round(high, 4)
    (0.6163, 0.9837)
    """
    from scipy.stats import t

    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = float(t.ppf(0.975, len(values) - 1)) * math.sqrt((1 / len(values) + test_share) * variance)
    return mean - half, mean + half


def estimate_recipe(
    probabilities: np.ndarray, labels: np.ndarray, fold: np.ndarray, learned: np.ndarray
) -> RecipeEstimate:
    """The estimate from answers to every image by networks that had not seen it.

    Args:
        probabilities: (repetitions, n, classes).
        labels: (n,) integers in [0, classes).
        fold: (repetitions, n) from 0: in which fold an image was.
        learned: (repetitions, folds): how many images the network that was tested on a fold learned from.
    """
    repetitions, n, classes = probabilities.shape
    folds = learned.shape[1]
    right = probabilities.argmax(axis=2) == labels
    inside = [[fold[r] == k for k in range(folds)] for r in range(repetitions)]
    accuracies = tuple(tuple(float(right[r][k].mean()) for k in row) for r, row in enumerate(inside))
    balanced = [
        float(np.mean([right[r][k & (labels == c)].mean() for c in np.unique(labels[k])]))
        for r, row in enumerate(inside)
        for k in row
    ]
    sizes = np.array([[k.sum() for k in row] for row in inside])
    share = float((sizes / learned).mean())
    recalls = [(right[:, labels == c].mean(), int((labels == c).sum())) for c in range(classes)]
    every = [accuracy for row in accuracies for accuracy in row]
    return RecipeEstimate(
        folds,
        repetitions,
        n,
        float(learned.mean()),
        float(np.mean([cross_entropies(p, labels) for p in probabilities])),
        _figure(every, share, [(right.mean(), n)]),
        _figure(balanced, share, [(recall, count) for recall, count in recalls if count]),
        accuracies,
    )


def paired_difference(first: np.ndarray, other: np.ndarray, fold: np.ndarray, learned: np.ndarray) -> Figure:
    """How much more accurate another recipe is on the same folds, with the corrected interval.

    The interval is None where the difference is the same in every fold: then they say nothing of how it varies.

    Args:
        first: (repetitions, n) bool: which images networks of the first recipe get right.
        other: The same of the other recipe; the difference is other minus first.
        fold: (repetitions, n) from 0: in which fold an image was, for both.
        learned: (repetitions, folds): how many images a network learned from.
    """
    gained = other.astype(float) - first
    inside = [(r, fold[r] == k) for r in range(len(fold)) for k in range(learned.shape[1])]
    values = [float(gained[r][k].mean()) for r, k in inside]
    share = float(np.mean([k.sum() / n for (_, k), n in zip(inside, learned.flat, strict=True)]))
    mean = math.fsum(values) / len(values)
    return Figure(mean, None if max(values) == min(values) else corrected_interval(values, share))


def _figure(values: Sequence[float], test_share: float, shares: Sequence[tuple[float, int]]) -> Figure:
    """The mean of all folds with its interval.

    Where all folds have the same value, that interval has no width, and the images decide.

    Args:
        values: One for each fold.
        test_share: As for ``corrected_interval``.
        shares: Of all images, or of those of each class: how many of them are right, and how many there are.
    """
    low, high = corrected_interval(values, test_share)
    if max(values) == min(values):
        intervals = [wilson(round(share * n), n) for share, n in shares]
        low, high = mean_of_shares([share for share, _ in shares], intervals)
    return Figure(math.fsum(values) / len(values), (max(0.0, low), min(1.0, high)))
