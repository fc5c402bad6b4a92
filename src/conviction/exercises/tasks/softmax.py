"""Softmax that does not overflow."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turns each row of numbers into probabilities: e to the number, divided by the sum of its row.

    Args:
        logits: (n, classes), of any size: 1000 must work as well as 1.

    Returns:
        (n, classes), positive or 0; each row sums to 1.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 1000.0]])).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _overflows(logits: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        powers = np.exp(logits)
        return powers / powers.sum(axis=1, keepdims=True)


def _one_largest(logits: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        powers = np.exp(logits - logits.max())
        return powers / powers.sum(axis=1, keepdims=True)


def _shares(logits: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return logits / logits.sum(axis=1, keepdims=True)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    rows = [[[1.0, 2.0]], [[0.0, 3.0], [1.0, 0.0]], [[1000.0, 1001.0]], [[-1000.0, -1001.0], [1000.0, 0.0]]]
    cases: list[Arguments] = [(np.array(each),) for each in rows]
    return [*cases, (chance.normal(0, 3, (4, 10)),), (chance.normal(0, 800, (3, 5)),)]


EXERCISE = Exercise(
    title="Softmax that does not overflow",
    chapter="architecture",
    task="The last layer answers with any numbers. Softmax makes probabilities of them.",
    solution=softmax,
    cases=_cases,
    misconceptions=(
        Misconception(
            "overflows",
            "e to the 1000 is more than a computer's numbers can hold, so you get nan, or with a limit a wrong "
            "result. Subtract the largest number of each row first: the result is the same, because the factor "
            "cancels.",
            _overflows,
            also=(
                lambda logits: _overflows(np.clip(logits, -700, 700)),
                lambda logits: np.nan_to_num(_overflows(logits)),
            ),
        ),
        Misconception(
            "one_largest",
            "You subtract the largest number of the whole batch, so a row of small numbers becomes 0 / 0. Subtract the "
            "largest of each row: max(axis=1, keepdims=True).",
            _one_largest,
        ),
        Misconception(
            "over_images",
            "Your columns sum to 1, not your rows. The probabilities of one image are a row: axis=1.",
            lambda logits: softmax(logits.T).T,
        ),
        Misconception(
            "over_everything",
            "All your numbers together sum to 1. Each row has to: sum(axis=1, keepdims=True).",
            lambda logits: np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(),
        ),
        Misconception(
            "shares",
            "You divide by the sum without taking e to the number first. Negative numbers then give negative "
            "probabilities.",
            _shares,
        ),
        Misconception(
            "sigmoid",
            "You squash each number on its own, which is the sigmoid. Softmax compares the classes: its rows sum to 1.",
            lambda logits: 1 / (1 + np.exp(-np.clip(logits, -700, 700))),
        ),
        Misconception(
            "base_two",
            "You take 2 to the number. Softmax takes e to it: np.exp.",
            lambda logits: softmax(logits * np.log(2)),
        ),
    ),
    hints=(
        "np.exp works on a whole array. Which axis has to sum to 1?",
        "keepdims=True keeps the axis, so that (n, classes) can be divided by (n, 1).",
        "Subtract logits.max(axis=1, keepdims=True) before np.exp.",
    ),
)
