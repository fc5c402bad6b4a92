"""What predictions are worth: loss, accuracy with its interval, precision, recall and F1 per class."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conviction.evaluation.bootstrap import counts
from conviction.evaluation.intervals import f1_interval, wilson

# Keras clips probabilities by this before taking the logarithm (keras.config.epsilon()).
EPSILON = 1e-7


@dataclass(frozen=True)
class ClassScore:
    """One class: how many images it has, and how well they are recognised.

    ``precision`` is None where the class was never predicted: it is undefined then, not zero. ``recall``
    is None where the class has no images; ``f1`` where neither is defined. ``called`` is how many images were
    predicted to be of it. Intervals are None where their figure is.
    """

    name: str
    support: int
    called: int
    precision: float | None
    recall: float | None
    f1: float | None
    precision_ci95: tuple[float, float] | None
    recall_ci95: tuple[float, float] | None
    f1_ci95: tuple[float, float] | None


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
    from sklearn.metrics import confusion_matrix

    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    losses = cross_entropies(probabilities, labels)
    matrix = confusion_matrix(labels, predicted, labels=list(range(len(class_names))))
    return Score(
        n=len(labels),
        loss=float(losses.mean()),
        loss_se=float(losses.std() / math.sqrt(len(labels))),
        accuracy=correct / len(labels),
        accuracy_ci95=wilson(correct, len(labels)),
        per_class=_per_class(labels, predicted, class_names),
        confusion=tuple(tuple(map(int, row)) for row in matrix),
    )


def _per_class(labels: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> tuple[ClassScore, ...]:
    here = counts(labels, predicted, len(class_names))
    scores = []
    for i, name in enumerate(class_names):
        right, true, called = (int(c[0, i]) for c in (here.right, here.true, here.called))
        either = true + called
        scores.append(
            ClassScore(
                name,
                true,
                called,
                right / called if called else None,
                right / true if true else None,
                2 * right / either if either else None,
                wilson(right, called) if called else None,
                wilson(right, true) if true else None,
                f1_interval(right, either) if either else None,
            )
        )
    return tuple(scores)
