"""One step of gradient descent."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def sgd_step(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    """One step of Keras's SGD with momentum.

    Args:
        weights: Of any shape.
        gradient: Of the mean loss of the batch, of the same shape: where the loss rises.
        velocity: What the step before left; zeros at first.
        rate: The learning rate.
        momentum: The share of the velocity that is kept; 0 for plain gradient descent.

    Returns:
        The new weights and the new velocity, which is momentum * velocity - rate * gradient and is added to the
        weights. The arguments stay as they are.

    >>> new, velocity = sgd_step(np.array([1.0]), np.array([2.0]), np.array([0.0]), rate=0.1, momentum=0.9)
    >>> round(float(new[0]), 6), round(float(velocity[0]), 6)
    (0.8, -0.2)
    """
    velocity = momentum * velocity - rate * gradient
    return weights + velocity, velocity


def _no_momentum(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    return weights - rate * gradient, -rate * gradient


def _velocity_lost(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    return sgd_step(weights, gradient, velocity, rate, momentum)[0], velocity


def _averaged(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    velocity = momentum * velocity - (1 - momentum) * rate * gradient
    return weights + velocity, velocity


def _rate_on_all(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    velocity = momentum * velocity - gradient
    return weights + rate * velocity, velocity


def _other_sign(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    velocity = momentum * velocity + gradient
    return weights - rate * velocity, velocity


def _points_uphill(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    velocity = momentum * velocity + rate * gradient
    return weights - velocity, velocity


def _old_velocity(
    weights: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, rate: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    return weights + velocity, momentum * velocity - rate * gradient


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    cases: list[Arguments] = [
        (np.array([1.0]), np.array([2.0]), np.array([0.0]), 0.5, 0.0),
        (np.array([1.0]), np.array([2.0]), np.array([0.0]), 0.5, 0.9),
        (np.array([1.0, -1.0]), np.array([0.0, 4.0]), np.array([2.0, -1.0]), 0.25, 0.5),
    ]
    for shape in ((2, 3), (3, 3, 2, 4)):
        cases.append((*(chance.normal(size=shape) for _ in range(3)), 0.01, 0.9))
    return cases


EXERCISE = Exercise(
    title="One step of SGD",
    chapter="compiling",
    task="A gradient says where the loss rises. An optimizer makes a step of it.",
    solution=sgd_step,
    cases=_cases,
    misconceptions=(
        Misconception(
            "uphill",
            "You walk up the hill. The gradient points to where the loss rises, so the step goes the other way.",
            lambda w, g, v, rate, momentum: sgd_step(w, -g, v, rate, momentum),
        ),
        Misconception(
            "no_momentum",
            "You ignore the velocity. A share of it, momentum * velocity, is part of the step.",
            _no_momentum,
        ),
        Misconception(
            "velocity_lost",
            "You return the velocity of the step before. The next step needs the new one.",
            _velocity_lost,
        ),
        Misconception(
            "averaged",
            "You weigh the gradient by 1 - momentum. Adam's mean does that; Keras's SGD subtracts the whole rate * "
            "gradient.",
            _averaged,
        ),
        Misconception(
            "rate_on_all",
            "You multiply the whole velocity by the rate in each step. In Keras the rate is part of the velocity: "
            "momentum * velocity - rate * gradient.",
            _rate_on_all,
            also=(_other_sign,),
        ),
        Misconception(
            "points_uphill",
            "Your velocity points uphill and is subtracted. Keras keeps it pointing downhill, momentum * velocity - "
            "rate * gradient, and adds it.",
            _points_uphill,
        ),
        Misconception(
            "old_velocity",
            "You move by the velocity of the step before. Work out the new one first, then move by it.",
            _old_velocity,
        ),
        Misconception(
            "returned_first",
            "You return the velocity first. The order is: weights, velocity.",
            lambda w, g, v, rate, momentum: sgd_step(w, g, v, rate, momentum)[::-1],
        ),
        Misconception(
            "plain_rate",
            "You forgot the learning rate: the gradient is multiplied by it.",
            lambda w, g, v, rate, momentum: sgd_step(w, g, v, 1.0, momentum),
        ),
    ),
    hints=(
        "Two lines: first the new velocity, then the new weights.",
        "Do not write velocity *= ..., which would change the array that you were given.",
        "velocity = momentum * velocity - rate * gradient; return weights + velocity, velocity",
    ),
)
