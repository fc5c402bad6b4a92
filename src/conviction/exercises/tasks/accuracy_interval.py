"""Accuracy with its interval."""

from __future__ import annotations

import math

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def accuracy_interval(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """The accuracy of a network, and the 95% interval by Wilson (1927).

    Args:
        probabilities: (n, classes), what the network answers.
        labels: (n,), the right classes, from 0.

    Returns:
        Accuracy, low and high. With the share p of n images that are right and z = 1.96:
        centre = (p + z² / (2 n)) / (1 + z² / n), half = z / (1 + z² / n) * sqrt(p (1 - p) / n + z² / (4 n²)), and the
        interval is centre - half to centre + half.

    >>> accuracy, low, high = accuracy_interval(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    >>> accuracy, round(low, 3), round(high, 3)
    (1.0, 0.342, 1.0)
    """
    n = len(labels)
    p = float((probabilities.argmax(axis=1) == labels).mean())
    z = 1.96
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return p, centre - half, centre + half


def _wald(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    p = accuracy_interval(probabilities, labels)[0]
    half = 1.96 * math.sqrt(p * (1 - p) / len(labels))
    return p, p - half, p + half


def _wald_cut(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    p, low, high = _wald(probabilities, labels)
    return p, max(0.0, low), min(1.0, high)


def _around_share(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    p, low, high = accuracy_interval(probabilities, labels)
    return p, p - (high - low) / 2, p + (high - low) / 2


def _of_classes(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Counts the numbers of the table instead of the images."""
    return accuracy_interval(
        np.repeat(probabilities, probabilities.shape[1], axis=0), np.repeat(labels, probabilities.shape[1])
    )


def _centre(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    _, low, high = accuracy_interval(probabilities, labels)
    return (low + high) / 2, low, high


def _percent(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    return tuple(100 * value for value in accuracy_interval(probabilities, labels))


def _least_probable(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    return accuracy_interval(-probabilities, labels)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])),
        (np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1])),
        (np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), np.array([1, 1])),
    ]
    for n, classes in ((20, 4), (500, 10)):
        labels = chance.integers(0, classes, n)
        powers = np.exp(chance.normal(size=(n, classes)) + 2 * np.eye(classes)[labels])
        cases.append((powers / powers.sum(1, keepdims=True), labels))
    return cases


EXERCISE = Exercise(
    title="Accuracy with its interval",
    chapter="evaluating",
    task="On other images, the accuracy would have come out differently. By how much?",
    solution=accuracy_interval,
    cases=_cases,
    misconceptions=(
        Misconception(
            "wald",
            "Yours is the interval p ± 1.96 sqrt(p (1 - p) / n). With two right answers of two it has no width at all, "
            "as if nothing could ever go wrong. Wilson's formula moves its centre towards one half.",
            _wald,
        ),
        Misconception(
            "wald_cut",
            "Yours is p ± 1.96 sqrt(p (1 - p) / n), cut off at 0 and 1. With two right answers of two it has no width. "
            "Wilson's formula needs no cutting.",
            _wald_cut,
        ),
        Misconception(
            "around_share",
            "The width is right, but your interval lies around the share. Wilson's centre is nearer to one half.",
            _around_share,
        ),
        Misconception(
            "of_classes",
            "Your n is the number of probabilities. It is the number of images: len(labels).",
            _of_classes,
        ),
        Misconception(
            "centre",
            "You return the centre of the interval as the accuracy. The accuracy is the share of images that are "
            "right.",
            _centre,
        ),
        Misconception("percent", "You return percentages. Shares from 0 to 1 are asked for.", _percent),
        Misconception(
            "least_probable",
            "You take the least probable class as the answer. It is the most probable: argmax.",
            _least_probable,
        ),
    ),
    hints=(
        "probabilities.argmax(axis=1) is the answer for each image.",
        "(answers == labels).mean() is the share p.",
        "Write z = 1.96 and n = len(labels), then the two formulas as they stand.",
    ),
)
