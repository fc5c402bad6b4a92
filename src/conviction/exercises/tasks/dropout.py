"""Dropout, in training and after it."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def dropout(values: np.ndarray, rate: float, draws: np.ndarray, training: bool) -> np.ndarray:
    """Drops values at random, as Keras's Dropout does.

    Args:
        values: Of any shape.
        rate: The share that is dropped, from 0 to below 1.
        draws: A number from 0 to 1 for each value, of the same shape; a value is dropped where it is below the rate.
        training: Whether the network learns, or answers; then nothing is dropped.

    Returns:
        What is left, of the same shape. In training the values that stay are divided by 1 - rate, so that the sum is
        the same on average, and the network can answer without dropout.

    >>> dropout(np.array([3.0, 3.0]), 0.25, np.array([0.1, 0.9]), training=True).tolist()
    [0.0, 4.0]
    """
    if not training:
        return values
    return np.where(draws < rate, 0.0, values / (1 - rate))


def _not_scaled(values: np.ndarray, rate: float, draws: np.ndarray, training: bool) -> np.ndarray:
    return np.where(draws < rate, 0.0, values) if training else values


def _scaled_later(values: np.ndarray, rate: float, draws: np.ndarray, training: bool) -> np.ndarray:
    return _not_scaled(values, rate, draws, training) if training else values * (1 - rate)


def _keeps_the_rate(values: np.ndarray, rate: float, draws: np.ndarray, training: bool) -> np.ndarray:
    return np.where(draws < rate, values / (1 - rate), 0.0) if training else values


def _by_rate(values: np.ndarray, rate: float, draws: np.ndarray, training: bool) -> np.ndarray:
    return np.where(draws < rate, 0.0, values / rate) if training else values


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array([3.0, 3.0]), 0.25, np.array([0.25, 0.9]), True),
        (np.array([3.0, 3.0]), 0.25, np.array([0.1, 0.9]), True),
        (np.array([3.0, 3.0]), 0.25, np.array([0.1, 0.9]), False),
    ]
    for training in (True, False):
        cases.append((chance.normal(size=(4, 5)), 0.4, chance.random((4, 5)), training))
    return cases


EXERCISE = Exercise(
    title="Dropout",
    chapter="training",
    task="Dropout silences units while the network learns, so that none of them can rely on another.",
    solution=dropout,
    cases=_cases,
    misconceptions=(
        Misconception(
            "always",
            "You drop values at inference, too. Then the same image would get another answer each time.",
            lambda values, rate, draws, training: dropout(values, rate, draws, True),
        ),
        Misconception(
            "scaled_later",
            "You scale at inference. That is how dropout was first described; Keras scales in training, by "
            "1 / (1 - rate), so that nothing has to be done later.",
            _scaled_later,
        ),
        Misconception(
            "not_scaled",
            "What stays is not made larger. In training it is divided by 1 - rate, or the next layer would get less "
            "than it does at inference.",
            _not_scaled,
        ),
        Misconception(
            "keeps_the_rate",
            "You keep what should be dropped. rate is the share that goes: draws < rate is dropped.",
            _keeps_the_rate,
        ),
        Misconception(
            "at_the_rate",
            "You drop a value whose draw equals the rate. It is dropped where the draw is below it.",
            lambda values, rate, draws, training: (
                np.where(draws <= rate, 0.0, values / (1 - rate)) if training else values
            ),
        ),
        Misconception(
            "other_way_round",
            "You drop values when the network is used, and none in training. It is the other way round.",
            lambda values, rate, draws, training: dropout(values, rate, draws, not training),
        ),
        Misconception(
            "all_scaled",
            "You drop nothing, and scale everything instead. In training some values become 0.",
            lambda values, rate, draws, training: values * (1 - rate) if training else values,
        ),
        Misconception("by_rate", "You divide by the rate. The share that stays is 1 - rate.", _by_rate),
    ),
    hints=(
        "When the network answers, the values are returned as they are.",
        "np.where(condition, a, b) takes a where the condition is true and b elsewhere.",
        "np.where(draws < rate, 0.0, values / (1 - rate))",
    ),
)
