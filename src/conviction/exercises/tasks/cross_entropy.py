"""The loss of the lab: categorical cross-entropy."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def cross_entropy(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """The categorical cross-entropy of a batch, as Keras computes it.

    Args:
        targets: (n, classes), one-hot rows.
        probabilities: (n, classes), what the network answers; each row sums to 1. Where a probability is below 1e-7,
            1e-7 stands for it, so that the logarithm of 0 never appears.

    Returns:
        The mean over the images of minus the natural logarithm of the probability of the right class.

    >>> round(cross_entropy(np.array([[0, 1], [1, 0]]), np.array([[0.5, 0.5], [0.25, 0.75]])), 4)
    1.0397
    """
    logs = np.log(np.clip(probabilities, 1e-7, 1.0))
    return float(-(targets * logs).sum(axis=1).mean())


def _infinite(targets: np.ndarray, probabilities: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(-(targets * np.log(probabilities)).sum(axis=1).mean())


def _binary(targets: np.ndarray, probabilities: np.ndarray) -> float:
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return float(-(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped)).sum(axis=1).mean())


def _squares(targets: np.ndarray, probabilities: np.ndarray) -> float:
    return float(((targets - probabilities) ** 2).mean())


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array([[0, 1]]), np.array([[0.75, 0.25]])),
        (np.array([[1, 0], [0, 1]]), np.array([[0.5, 0.5], [0.2, 0.8]])),
        (np.array([[1, 0], [0, 1]]), np.array([[0.0, 1.0], [0.5, 0.5]])),
        (np.array([[0, 0, 1]]), np.array([[0.7, 0.2, 0.1]])),
    ]
    for n, classes in ((5, 3), (8, 10)):
        powers = np.exp(chance.normal(0, 2, (n, classes)))
        cases.append(
            (
                np.eye(classes, dtype=int)[chance.integers(0, classes, n)],
                powers / powers.sum(1, keepdims=True),
            )
        )
    return cases


EXERCISE = Exercise(
    title="Cross-entropy",
    chapter="compiling",
    task="The loss asks one thing of each image: how probable did the network find the right class?",
    solution=cross_entropy,
    cases=_cases,
    misconceptions=(
        Misconception(
            "sign",
            "Your loss is negative. Logarithms of probabilities are, so the sum needs a minus.",
            lambda t, p: -cross_entropy(t, p),
        ),
        Misconception(
            "summed",
            "You add the losses of the images. Keras takes their mean, so that the loss does not depend on how large "
            "the batch is.",
            lambda t, p: cross_entropy(t, p) * len(t),
        ),
        Misconception(
            "each",
            "You return the loss of each image. One number is asked for: their mean.",
            lambda t, p: -(t * np.log(np.clip(p, 1e-7, 1.0))).sum(axis=1),
        ),
        Misconception(
            "over_classes",
            "You divide by the number of classes as well: np.mean over the whole array. Sum over the classes, then "
            "take the mean over the images.",
            lambda t, p: cross_entropy(t, p) / t.shape[1],
        ),
        Misconception(
            "base_two",
            "You take the logarithm to base 2, which is a measure in bits. Keras takes the natural logarithm: np.log.",
            lambda t, p: cross_entropy(t, p) / np.log(2),
        ),
        Misconception(
            "base_ten",
            "You take the logarithm to base 10. Keras takes the natural one: np.log.",
            lambda t, p: cross_entropy(t, p) / np.log(10),
        ),
        Misconception(
            "infinite",
            "Where the right class has probability 0, the loss becomes infinite. Clip the probabilities at 1e-7 first.",
            _infinite,
        ),
        Misconception(
            "binary",
            "You also count how improbable the wrong classes are. That is binary cross-entropy, for several labels at "
            "once; here only the right class counts.",
            _binary,
        ),
        Misconception(
            "squares",
            "You take the mean of squared differences. That is another loss; this one takes the logarithm of the "
            "probability of the right class.",
            _squares,
        ),
        Misconception(
            "exchanged",
            "You take the logarithm of the targets. It is taken of what the network answers.",
            lambda t, p: float(-(p * np.log(np.clip(t, 1e-7, 1.0))).sum(axis=1).mean()),
        ),
    ),
    hints=(
        "Multiplying with a one-hot row keeps one number of each row: that of the right class.",
        "np.clip(probabilities, 1e-7, 1.0) comes before the logarithm.",
        "-(targets * np.log(clipped)).sum(axis=1).mean()",
    ),
)
