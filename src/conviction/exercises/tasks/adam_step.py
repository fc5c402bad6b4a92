"""One step of Adam, as Keras makes it."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception

Means = tuple[np.ndarray, np.ndarray]


def adam_step(
    weights: np.ndarray, gradient: np.ndarray, means: tuple[np.ndarray, np.ndarray], step: int, rate: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """One step of Keras's Adam (Kingma and Ba, 2015), with its usual 0.9, 0.999 and 1e-7.

    Args:
        weights: Of any shape.
        gradient: Of the same shape.
        means: The moving mean of the gradients so far, and that of their squares; zeros before the first step.
        step: Which step this is, from 1.
        rate: The learning rate.

    Returns:
        The new weights and both new means, which are 0.9 * mean + 0.1 * gradient and
        0.999 * square + 0.001 * gradient**2. As they begin at 0, they are too small at first; divided by
        1 - 0.9**step and 1 - 0.999**step they are not. The step is rate * mean / (sqrt(square) + epsilon), with both
        so corrected; Keras adds its epsilon of 1e-7 to the square root before that is corrected.

    >>> new, _ = adam_step(np.array([1.0]), np.array([4.0]), (np.zeros(1), np.zeros(1)), step=1, rate=0.1)
    >>> round(float(new[0]), 4)
    0.9
    """
    mean = 0.9 * means[0] + 0.1 * gradient
    square = 0.999 * means[1] + 0.001 * gradient**2
    corrected = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return weights - corrected * mean / (np.sqrt(square) + 1e-7), (mean, square)


def _uncorrected(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    mean, square = adam_step(w, g, means, step, rate)[1]
    return w - rate * mean / (np.sqrt(square) + 1e-7), (mean, square)


def _no_root(w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float) -> tuple[np.ndarray, Means]:
    mean, square = adam_step(w, g, means, step, rate)[1]
    return w - rate * (mean / (1 - 0.9**step)) / (square / (1 - 0.999**step) + 1e-7), (mean, square)


def _corrected_kept(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    new, (mean, square) = adam_step(w, g, means, step, rate)
    return new, (mean / (1 - 0.9**step), square / (1 - 0.999**step))


def _step_by(
    w: np.ndarray, root: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    """With the corrected mean divided by this root."""
    return w - rate * means[0] / (1 - 0.9**step) / root, means


def _other_epsilon(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    means = adam_step(w, g, means, step, rate)[1]
    return _step_by(w, np.sqrt(means[1] / (1 - 0.999**step)) + 1e-7, means, step, rate)


def _epsilon_inside(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    means = adam_step(w, g, means, step, rate)[1]
    return _step_by(w, np.sqrt(means[1] / (1 - 0.999**step) + 1e-7), means, step, rate)


def _no_epsilon(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    means = adam_step(w, g, means, step, rate)[1]
    return _step_by(w, np.sqrt(means[1] / (1 - 0.999**step)), means, step, rate)


def _shares_exchanged(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    mean, square = 0.999 * means[0] + 0.001 * g, 0.9 * means[1] + 0.1 * g**2
    corrected = rate * np.sqrt(1 - 0.9**step) / (1 - 0.999**step)
    return w - corrected * mean / (np.sqrt(square) + 1e-7), (mean, square)


def _from_zero(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    return adam_step(w, g, means, step + 1, rate)


def _exchanged(
    w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float
) -> tuple[np.ndarray, Means]:
    mean, square = 0.1 * means[0] + 0.9 * g, 0.001 * means[1] + 0.999 * g**2
    corrected = rate * np.sqrt(1 - 0.001**step) / (1 - 0.1**step)
    return w - corrected * mean / (np.sqrt(square) + 1e-7), (mean, square)


def _no_mean(w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float) -> tuple[np.ndarray, Means]:
    mean, square = adam_step(w, g, means, step, rate)[1]
    return w - rate * g / (np.sqrt(square / (1 - 0.999**step)) + 1e-7), (mean, square)


def _uphill(w: np.ndarray, g: np.ndarray, means: Means, step: int, rate: float) -> tuple[np.ndarray, Means]:
    new, after = adam_step(w, g, means, step, rate)
    return 2 * w - new, after


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    one = np.array([1.0])
    cases: list[Arguments] = [
        (one, np.array([4.0]), (np.zeros(1), np.zeros(1)), 1, 0.5),
        (one, np.array([4.0]), (np.array([2.0]), np.array([9.0])), 2, 0.5),
        (one, np.array([-0.5]), (np.array([1.0]), np.array([4.0])), 20, 0.25),
    ]
    tiny = np.array([2e-7])
    cases.append((one, tiny, (np.zeros(1), np.zeros(1)), 1, 0.5))
    for shape, step in (((2, 3), 1), ((3, 3, 1, 4), 7)):
        means = chance.normal(size=shape) * (step > 1), chance.random(shape) * (step > 1)
        cases.append((chance.normal(size=shape), chance.normal(size=shape), means, step, 0.01))
    return cases


EXERCISE = Exercise(
    title="One step of Adam",
    chapter="compiling",
    task="The lab compiles with Adam. One of its steps is five lines.",
    solution=adam_step,
    cases=_cases,
    misconceptions=(
        Misconception(
            "uncorrected",
            "You forgot to correct the means. After one step the mean holds a tenth of the gradient only: divide by "
            "1 - 0.9**step and 1 - 0.999**step.",
            _uncorrected,
        ),
        Misconception(
            "other_epsilon",
            "With a tiny gradient your step has another size: Keras adds 1e-7 to the square root of the mean of "
            "squares before that is corrected.",
            _other_epsilon,
            also=(_epsilon_inside, _no_epsilon),
        ),
        Misconception(
            "corrected_kept",
            "You return the corrected means. The next step goes on from the means as they are, and corrects them.",
            _corrected_kept,
        ),
        Misconception(
            "from_zero",
            "You count one step too many: step is 1 in the first step already.",
            _from_zero,
        ),
        Misconception(
            "no_root",
            "You divide by the mean of squares. It is the square root of it that has the size of a gradient.",
            _no_root,
        ),
        Misconception(
            "exchanged",
            "You exchanged the shares: nine tenths of the old mean are kept, and a tenth of the gradient is added.",
            _exchanged,
        ),
        Misconception(
            "no_mean",
            "You step along the gradient of this batch alone. Adam steps along the moving mean of the gradients.",
            _no_mean,
        ),
        Misconception(
            "shares_exchanged",
            "You keep 0.999 of the mean and 0.9 of the mean of squares. It is the other way round.",
            _shares_exchanged,
        ),
        Misconception("uphill", "You add the step. It is subtracted: the gradient points uphill.", _uphill),
    ),
    hints=(
        "First both means; then the weights.",
        "After the first step the corrected mean is the gradient itself, and the corrected square its square: the step "
        "is the rate, whatever the gradient is.",
        "weights - rate * sqrt(1 - 0.999**step) / (1 - 0.9**step) * mean / (sqrt(square) + 1e-7)",
    ),
)
