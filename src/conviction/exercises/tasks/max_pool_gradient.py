"""The way back through max pooling."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def max_pool_gradient(image: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    """The gradient of the loss for what entered max pooling.

    Args:
        image: (height, width), one channel of what entered; no two values of a window are equal.
        above: (height // size, width // size), the gradient for what came out.
        size: The side of the square windows, which do not overlap. What does not fill a window is dropped.

    Returns:
        (height, width), the gradient for what entered.

    >>> max_pool_gradient(np.array([[1.0, 4.0], [3.0, 2.0]]), np.array([[5.0]]), 2).tolist()
    [[0.0, 5.0], [0.0, 0.0]]
    """
    gradient = np.zeros(image.shape)
    for y in range(above.shape[0]):
        for x in range(above.shape[1]):
            window = image[y * size : (y + 1) * size, x * size : (x + 1) * size]
            row, column = np.unravel_index(window.argmax(), window.shape)
            gradient[y * size + row, x * size + column] = above[y, x]
    return gradient


def _spread(image: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    """(height, width): each gradient at every pixel of its window."""
    out = np.zeros(image.shape)
    out[: above.shape[0] * size, : above.shape[1] * size] = above.repeat(size, 0).repeat(size, 1)
    return out


def _equal_elsewhere(image: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(image.shape)
    for y, x in np.ndindex(*above.shape):
        out[image == image[y * size : (y + 1) * size, x * size : (x + 1) * size].max()] = above[y, x]
    return out


def _corner(image: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(image.shape)
    out[: above.shape[0] * size : size, : above.shape[1] * size : size] = above
    return out


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(3)
    cases: list[Arguments] = [
        (np.array([[1.0, 4.0], [3.0, 2.0]]), np.array([[5.0]]), 2),
        (np.array([[-1.0, -4.0], [-3.0, -2.0]]), np.array([[6.0]]), 2),
        (np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 9.0]]), np.array([[7.0]]), 2),
    ]
    cases.append((np.array([[1.0, 4.0, 4.0, 2.0], [3.0, 2.0, 1.0, 3.0]]), np.array([[5.0, 6.0]]), 2))
    for h, w, size in ((4, 4, 2), (7, 6, 3), (9, 5, 2)):
        image = chance.permutation(h * w).reshape(h, w).astype(float)
        cases.append((image, chance.integers(-5, 6, (h // size, w // size)).astype(float), size))
    return cases


EXERCISE = Exercise(
    title="Back through max pooling",
    chapter="backpropagation",
    task="Max pooling chose one value of each window. Who is to blame for the loss?",
    solution=max_pool_gradient,
    cases=_cases,
    misconceptions=(
        Misconception(
            "shared",
            "You share the gradient among the pixels of the window. That is the way back through average pooling; here "
            "only the largest value had a part in the output, and it gets all of it.",
            lambda image, above, size: _spread(image, above, size) / size**2,
        ),
        Misconception(
            "everyone",
            "Every pixel of the window gets the whole gradient. Only the largest value had a part in the output.",
            _spread,
        ),
        Misconception(
            "equal_elsewhere",
            "You look for the largest value of a window in the whole image. The same value may stand in another "
            "window: look for it in its own.",
            _equal_elsewhere,
        ),
        Misconception(
            "one",
            "You set 1. The gradient from above belongs there.",
            lambda image, above, size: max_pool_gradient(image, np.ones_like(above), size),
        ),
        Misconception(
            "corner",
            "The gradient always goes to the first pixel of the window. It goes to where the largest value was.",
            _corner,
        ),
        Misconception(
            "times_value",
            "You multiply the gradient with the value. The output is the largest value itself, so its slope is 1.",
            lambda image, above, size: max_pool_gradient(image, above, size) * image,
        ),
        Misconception(
            "smallest",
            "The gradient goes to the smallest value of the window. It goes to the largest.",
            lambda image, above, size: max_pool_gradient(-image, above, size),
        ),
    ),
    hints=(
        "If a pixel that was not the largest changes a little, what happens to the output?",
        "window.argmax() counts along the rows; np.unravel_index(..., window.shape) makes row and column of it.",
        "Begin with zeros and set one pixel of each window.",
    ),
)
