"""Reshape: from rows of pixels to what Conv2D takes."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def add_channels(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """Gives images that are kept as rows the shape that Conv2D takes.

    Args:
        rows: (n, height * width) or (n, height * width * 3). Each row is an image, read line by line from its top left
            corner; of a colour image, the three values of a pixel stand next to each other.
        height: In pixels.
        width: In pixels.

    Returns:
        (n, height, width, 1) for gray images, (n, height, width, 3) for those in colour.

    >>> add_channels(np.array([[1, 2, 3, 4, 5, 6]]), 2, 3)[0, :, :, 0].tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    return rows.reshape(len(rows), height, width, -1)


def _swapped(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    return rows.reshape(len(rows), width, height, -1)


def _no_channel(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    return (
        rows.reshape(len(rows), height, width)
        if rows.shape[1] == height * width
        else add_channels(rows, height, width)
    )


def _channels_first(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    return rows.reshape(len(rows), -1, height, width)


def _planes(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.moveaxis(_channels_first(rows, height, width), 1, 3)


def _transposed(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    return add_channels(rows, width, height).transpose(0, 2, 1, 3)


def _cases() -> list[Arguments]:
    sizes = [(1, 2, 3, 1), (1, 2, 2, 3), (2, 3, 2, 1), (2, 2, 3, 3), (3, 5, 4, 1), (1, 1, 1, 1)]
    return [(np.arange(n * h * w * c).reshape(n, h * w * c) % 256, h, w) for n, h, w, c in sizes]


EXERCISE = Exercise(
    title="Reshape for a convolution",
    chapter="data",
    task="Tables of images have a row for each image. Conv2D wants (images, height, width, channels).",
    solution=add_channels,
    cases=_cases,
    misconceptions=(
        Misconception(
            "no_channel",
            "The axis of the channels is missing. Conv2D wants (n, height, width, 1) for gray images, not (n, height, "
            "width).",
            _no_channel,
            also=(lambda rows, height, width: rows.reshape(-1, height, width),),
        ),
        Misconception(
            "always_gray",
            "You treat images in colour as gray, so there are three times as many. -1 as the last length lets reshape "
            "work out the channels.",
            lambda rows, height, width: rows.reshape(-1, height, width, 1),
        ),
        Misconception(
            "channels_first", "You put the channels first. Keras wants them last.", _channels_first
        ),
        Misconception(
            "swapped",
            "You exchanged height and width. An array has its rows first, so height comes before width.",
            _swapped,
        ),
        Misconception(
            "planes",
            "You read the row as three pictures, one for each colour. The three values of a pixel stand next to each "
            "other in the row, so the channels are the last axis when you reshape.",
            _planes,
        ),
        Misconception(
            "transposed",
            "Your images are mirrored along their diagonal: you read them column by column.",
            _transposed,
        ),
    ),
    hints=(
        "Nothing has to be moved: it is one call of reshape.",
        "reshape works out one length for you if you write -1 for it.",
        "rows.reshape(len(rows), height, width, -1)",
    ),
)
