"""Max pooling by hand."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def max_pool(image: np.ndarray, size: int) -> np.ndarray:
    """Keeps the largest value of each window, as Keras's MaxPooling2D(size) does.

    Args:
        image: (height, width, channels).
        size: The side of the square window, and by how much it moves. What does not fill a window at the right or at
            the bottom is dropped.

    Returns:
        (height // size, width // size, channels).

    >>> max_pool(np.array([[1, 5, 2], [3, 4, 9]])[:, :, None], 2)[:, :, 0].tolist()
    [[5]]
    """
    height, width, channels = image.shape[0] // size, image.shape[1] // size, image.shape[2]
    windows = image[: height * size, : width * size].reshape(height, size, width, size, channels)
    return windows.max(axis=(1, 3))


def _windows(image: np.ndarray, size: int, step: int) -> np.ndarray:
    """(height, width, size * size, channels) for every place of the window."""
    places = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))[::step, ::step]
    return places.reshape(*places.shape[:3], size * size).swapaxes(2, 3)


def _overlapping(image: np.ndarray, size: int) -> np.ndarray:
    """As many windows as there should be, but next to each other at the top left."""
    return _windows(image, size, 1).max(2)[: image.shape[0] // size, : image.shape[1] // size]


def _up(image: np.ndarray, size: int) -> np.ndarray:
    low = np.pad(
        image.astype(float),
        [(0, -side % size) for side in image.shape[:2]] + [(0, 0)],
        constant_values=-np.inf,
    )
    return max_pool(low, size)


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(1)
    sizes = [(2, 2, 1, 2), (3, 3, 1, 2), (2, 2, 2, 2), (4, 4, 1, 2), (5, 7, 2, 2), (7, 8, 3, 3), (3, 3, 1, 1)]
    return [
        (np.array([[-3, -1], [-4, -2]])[:, :, None], 2),
        *((chance.integers(-9, 10, (h, w, c)), size) for h, w, c, size in sizes),
    ]


EXERCISE = Exercise(
    title="Max pooling, by hand",
    chapter="architecture",
    task="Pooling makes maps smaller and forgets where exactly in its window a feature was.",
    solution=max_pool,
    cases=_cases,
    misconceptions=(
        Misconception(
            "mean",
            "You take the mean of each window. That is average pooling; max pooling keeps the largest value.",
            lambda image, size: _windows(image, size, size).mean(2),
        ),
        Misconception(
            "from_zero",
            "Where all values of a window are negative you return 0. Begin with the first value of the window, or with "
            "minus infinity.",
            lambda image, size: np.maximum(max_pool(image, size), 0),
        ),
        Misconception(
            "step_of_one",
            "Your windows overlap: they move by one pixel. They should move by their own size.",
            lambda image, size: _windows(image, size, 1).max(2),
            also=(_overlapping,),
        ),
        Misconception(
            "up",
            "You keep the incomplete window at the edge. Keras drops it: of 3 pixels, a window of 2 makes 1.",
            _up,
        ),
        Misconception(
            "across_channels",
            "You take the largest value of all channels. Each channel is pooled on its own.",
            lambda image, size: max_pool(image, size).max(2, keepdims=True),
            also=(
                lambda image, size: np.repeat(max_pool(image, size).max(2, keepdims=True), image.shape[2], 2),
            ),
        ),
        Misconception(
            "absolute",
            "You keep the value that is furthest from 0. Negative values are smaller than all positive ones.",
            lambda image, size: np.take_along_axis(
                _windows(image, size, size), np.abs(_windows(image, size, size)).argmax(2, keepdims=True), 2
            )[:, :, 0],
        ),
    ),
    hints=(
        "Two loops: over rows and over columns of the output.",
        "image[y * size : (y + 1) * size, x * size : (x + 1) * size] is a window; its maximum over the first two axes "
        "has a value for each channel.",
        "Without loops: reshape to (height, size, width, size, channels) and take the maximum over axes 1 and 3.",
    ),
)
