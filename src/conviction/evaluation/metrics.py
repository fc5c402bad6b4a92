"""What predictions are worth: loss, accuracy with its interval, precision and recall per class."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Keras clips probabilities by this before taking the logarithm (keras.config.epsilon()).
EPSILON = 1e-7


@dataclass(frozen=True)
class ClassScore:
    """One class: how many images it has, and how well they are found.

    ``precision`` is None where the class was never predicted: it is undefined then, not zero. ``recall``
    is None where the class has no images.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Score:
    """One part of the data, scored.

    ``loss`` is the mean cross-entropy in nats, ``loss_se`` its standard error.
    ``accuracy_ci95`` is Wilson's interval. In ``confusion``
    rows are true classes, columns predicted ones.
    """

    n: int
    loss: float
    loss_se: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    per_class: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``evaluation.json``."""
        return asdict(self)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95% score interval of a proportion (Wilson, 1927), by SciPy.

    Args:
        successes: In 0..n.
        n: At least 1.
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def cross_entropies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log p(true class) of each image, p clipped to [1e-7, 1 - 1e-7] as Keras does; (n,) float64.

    Args:
        probabilities: (n, classes).
        labels: (n,) integers.
    """
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(true, EPSILON, 1.0 - EPSILON))


def score(probabilities: np.ndarray, labels: np.ndarray, class_names: list[str]) -> Score:
    """Scores predictions against labels.

    Args:
        probabilities: (n, classes), n at least 1.
        labels: (n,) integers in [0, classes).
        class_names: One per column.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    every = range(len(class_names))
    correct = int((predicted == labels).sum())
    precision, recall, _, support = precision_recall_fscore_support(
        labels, predicted, labels=list(every), zero_division=np.nan
    )
    losses = cross_entropies(probabilities, labels)
    matrix = confusion_matrix(labels, predicted, labels=list(every))
    return Score(
        n=len(labels),
        loss=float(losses.mean()),
        loss_se=float(losses.std() / math.sqrt(len(labels))),
        accuracy=correct / len(labels),
        accuracy_ci95=wilson(correct, len(labels)),
        per_class=tuple(
            ClassScore(class_names[i], int(support[i]), _defined(precision[i]), _defined(recall[i]))
            for i in every
        ),
        confusion=tuple(tuple(map(int, row)) for row in matrix),
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
