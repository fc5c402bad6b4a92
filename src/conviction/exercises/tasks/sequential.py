"""A Keras network to a given summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conviction.exercises.exercise import Arguments, Exercise, Misconception

_SUMMARY = [
    ("Conv2D", (26, 26, 32), 320),
    ("MaxPooling2D", (13, 13, 32), 0),
    ("Conv2D", (11, 11, 64), 18_496),
    ("MaxPooling2D", (5, 5, 64), 0),
    ("Flatten", (1600,), 0),
    ("Dense", (128,), 204_928),
    ("Dense", (10,), 1_290),
]


def sequential() -> Any:
    """Builds the network of the lab, so that its summary has these lines.

    Layer, output shape, parameters:

        Conv2D         (26, 26, 32)        320
        MaxPooling2D   (13, 13, 32)          0
        Conv2D         (11, 11, 64)     18,496
        MaxPooling2D   (5, 5, 64)            0
        Flatten        (1600,)               0
        Dense          (128,)          204,928
        Dense          (10,)             1,290

    Returns:
        A keras.Sequential for images of (28, 28, 1), built but not compiled.
    """
    import keras

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def _judge(cases: Sequence[Arguments], answers: Sequence[Any]) -> list[str]:
    return [_shows(answer) for answer in answers]


def _shows(answer: Any) -> str:
    # The sandbox sends the rows of a Keras model, none of them if it is not built, and None for anything else.
    if not isinstance(answer, list) or not all(isinstance(row, tuple) and len(row) == 3 for row in answer):
        return "no_network"
    if not answer:
        return "not_built"
    if not all(isinstance(shape, tuple | list) for _, shape, _ in answer):
        return "no_network"
    rows = [(kind, tuple(shape), count) for kind, shape, count in answer if kind != "InputLayer"]
    if rows == _SUMMARY:
        return ""
    kinds, wanted = ([row[0] for row in each] for each in (rows, _SUMMARY))
    if kinds == [kind for kind in wanted if kind != "Flatten"]:
        return "no_flatten"
    if kinds != wanted:
        return "layers"
    first, shape = rows[0], _SUMMARY[0][1]
    if first[1] == (28, 28, 32):
        return "padded"
    if (
        first[1][2] != shape[2]
        or rows[2][1][2] != _SUMMARY[2][1][2]
        or rows[5][1] != (128,)
        or rows[6][1] != (10,)
    ):
        return "widths"
    if first[2] == 32 * 9:
        return "no_bias"
    return "channels" if first[2] == 32 * 28 else "other"


EXERCISE = Exercise(
    title="A network to a given summary",
    chapter="architecture",
    task="Read a summary backwards: which layers made these shapes and counts?",
    solution=sequential,
    cases=lambda: [()],
    judge=_judge,
    modules=("keras",),
    misconceptions=(
        Misconception(
            "no_network", "Return the network: a keras.Sequential that begins with keras.Input((28, 28, 1))."
        ),
        Misconception(
            "not_built",
            "The network does not know the size of its images, so it has no shapes yet. Begin with keras.Input((28, "
            "28, 1)).",
        ),
        Misconception(
            "no_flatten",
            "Flatten is missing. Without it Dense works on each place of the maps on its own, and the answer is a map "
            "instead of a row of ten.",
        ),
        Misconception(
            "layers",
            "The list of layers differs from the summary. It goes down the first column of the summary.",
        ),
        Misconception(
            "padded",
            "Your convolutions pad. A side that shrinks from 28 to 26 has lost kernel_size - 1: padding 'valid', the "
            "default.",
        ),
        Misconception(
            "widths",
            "The number of filters or units differs. The last number of a shape of maps is the number of "
            "filters, that of a row the number of units.",
        ),
        Misconception("no_bias", "Your layers have no biases: 320 is 32 x (9 + 1). The default has them."),
        Misconception(
            "channels", "Your images have three channels: 320 is 32 x (9 x 1 + 1), so there is one."
        ),
        Misconception(
            "other", "Shapes or counts differ. Compare model.summary() with the lines of the task."
        ),
    ),
    hints=(
        "28 becomes 26: with padding 'valid', which kernel takes away 2?",
        "26 becomes 13: which pooling halves?",
        "Flatten comes before the dense layers; the last one has a unit for each class.",
    ),
)
