"""The way back through ReLU."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def relu_gradient(inputs: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The gradient of the loss for what entered ReLU, max(0, x).

    Args:
        inputs: What entered it, of any shape.
        above: The gradient of the loss for what came out of it, of the same shape.

    Returns:
        The gradient for the inputs, of the same shape; 0 where an input is exactly 0, as in Keras.

    >>> relu_gradient(np.array([-2.0, 3.0]), np.array([5.0, -7.0])).tolist()
    [0.0, -7.0]
    """
    return np.where(inputs > 0, above, 0.0)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    rows = [([-1, 2], [3, 5]), ([-2, 3], [5, -7]), ([0, 1], [4, 4]), ([-1, -2, 3, 4], [-1, 1, -1, 1])]
    cases: list[Arguments] = [(np.array(x, float), np.array(g, float)) for x, g in rows]
    return [*cases, (chance.normal(size=(3, 4, 2)), chance.normal(size=(3, 4, 2)))]


EXERCISE = Exercise(
    title="Back through ReLU",
    chapter="backpropagation",
    task="On the way forward ReLU lets positive numbers pass. On the way back it is a gate.",
    solution=relu_gradient,
    cases=_cases,
    misconceptions=(
        Misconception(
            "all_pass",
            "You let the whole gradient pass. Where the input was negative the output is 0 whatever happens nearby, so "
            "the gradient there is 0.",
            lambda x, g: g,
        ),
        Misconception(
            "by_gradient",
            "You cut off negative gradients. The gate is opened by the sign of the input; the gradient itself may have "
            "any sign.",
            lambda x, g: np.maximum(g, 0),
        ),
        Misconception(
            "both",
            "You cut off negative gradients as well as those behind a closed gate. Only the input decides. (What you "
            "have is called guided backpropagation, which makes pictures, but not gradients.)",
            lambda x, g: np.where(x > 0, np.maximum(g, 0), 0),
        ),
        Misconception(
            "forward",
            "You return or multiply by max(0, x) itself. The size of an input does not matter, only its sign.",
            lambda x, g: np.maximum(x, 0) * g,
            also=(lambda x, g: np.maximum(x, 0),),
        ),
        Misconception(
            "slope_alone",
            "You return the slope of ReLU, 0 or 1. The chain rule multiplies it by the gradient from above.",
            lambda x, g: (x > 0).astype(float),
        ),
        Misconception(
            "open_at_zero",
            "At exactly 0 you let the gradient pass. Keras closes the gate there: the input has to be above 0.",
            lambda x, g: np.where(x >= 0, g, 0),
        ),
    ),
    hints=(
        "The slope of max(0, x) is 1 where x is positive and 0 where it is negative.",
        "The chain rule: slope times the gradient from above.",
        "np.where(inputs > 0, above, 0.0)",
    ),
)
