"""Normalise: bytes to numbers between 0 and 1."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Scales pixels so that black is 0.0 and white is 1.0, in every batch alike.

    Args:
        pixels: uint8, of any shape, from 0 to 255.

    Returns:
        Floating-point numbers of the same shape, from 0.0 to 1.0.

    >>> normalise(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.2, 1.0]
    """
    return pixels / 255.0


def _by_extremes(pixels: np.ndarray) -> np.ndarray:
    spread = float(pixels.max()) - float(pixels.min())
    return (pixels - float(pixels.min())) / (spread or 1.0)


def _by_deviation(pixels: np.ndarray) -> np.ndarray:
    return (pixels - pixels.mean()) / (pixels.std() or 1.0)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array(row, np.uint8),) for row in ([0, 100, 200], [51, 102], [255, 0, 51], [1, 254, 255])
    ]
    return [
        *cases,
        (chance.integers(30, 220, (2, 3, 3, 1), np.uint8),),
        (chance.integers(0, 256, (4, 5, 5, 3), np.uint8),),
    ]


EXERCISE = Exercise(
    title="Normalise pixels",
    chapter="data",
    task="Bytes from 0 to 255 become numbers from 0 to 1, a scale on which training works well.",
    solution=normalise,
    cases=_cases,
    misconceptions=(
        Misconception(
            "whole",
            "Your result has whole numbers, so everything but white has become 0. Divide with / and not //, and do not "
            "turn the result into whole numbers again.",
            lambda pixels: pixels // 255,
            also=(lambda pixels: (pixels / 255).round().astype(np.uint8),),
        ),
        Misconception(
            "by_256",
            "You divide by 256. There are 256 values, but the largest is 255, and white should become 1.",
            lambda pixels: pixels / 256,
        ),
        Misconception(
            "by_largest",
            "You divide by the largest value of the batch. Then the same gray becomes another number in another batch, "
            "and the network meets values that it was not trained on. The divisor is always 255.",
            lambda pixels: pixels / max(1.0, float(pixels.max())),
        ),
        Misconception(
            "by_extremes",
            "You stretch each batch from its darkest to its brightest value. Then the same gray becomes another number "
            "in another batch. Black is always 0, and the divisor is always 255.",
            _by_extremes,
        ),
        Misconception(
            "by_deviation",
            "You subtract the mean of the batch and divide by its standard deviation. That is standardising, which is "
            "useful too, with the mean of the training images; here black has to become 0 and white 1.",
            _by_deviation,
        ),
        Misconception(
            "minus_one",
            "You scale to the range from -1 to 1. Some networks want that; here it is 0 to 1.",
            lambda pixels: pixels / 127.5 - 1,
        ),
    ),
    hints=(
        "Which number is white?",
        "In NumPy, / makes floating-point numbers of whole ones.",
        "pixels / 255.0",
    ),
)
