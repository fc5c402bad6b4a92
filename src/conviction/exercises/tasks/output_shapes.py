"""Shapes: what each layer makes of the size of its input."""

from __future__ import annotations

import math
from typing import Any

from conviction.exercises.exercise import Arguments, Exercise, Misconception

# Layers of the cases, short enough to be shown.
_CONV = {"type": "Conv2D", "filters": 4, "kernel_size": 3, "strides": 1, "padding": "valid"}
_POOL = {"type": "MaxPooling2D", "pool_size": 2}
_FLATTEN = {"type": "Flatten"}


def output_shapes(input_shape: tuple[int, int, int], layers: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """Predicts the output shape of each layer, without the axis of the images.

    Args:
        input_shape: (height, width, channels).
        layers: Each with its "type": "Conv2D" with "filters", "kernel_size" (square), "strides" (the same both ways)
            and "padding" ("valid" or "same"); "MaxPooling2D" with "pool_size", which is also its stride, without
            padding; "Flatten"; "Dense" with "units".

    Returns:
        A tuple of whole numbers for each layer.

    >>> output_shapes((28, 28, 1), [{"type": "MaxPooling2D", "pool_size": 2}, {"type": "Flatten"}])
    [(14, 14, 1), (196,)]
    """
    shape: tuple[int, ...] = input_shape
    shapes = []
    for layer in layers:
        if layer["type"] == "Conv2D":
            kernel, stride = layer["kernel_size"], layer["strides"]
            lost = 0 if layer["padding"] == "same" else kernel - 1
            shape = (*(math.ceil((side - lost) / stride) for side in shape[:2]), layer["filters"])
        elif layer["type"] == "MaxPooling2D":
            shape = (*(side // layer["pool_size"] for side in shape[:2]), shape[2])
        elif layer["type"] == "Flatten":
            shape = (math.prod(shape),)
        else:
            shape = (*shape[:-1], layer["units"])
        shapes.append(shape)
    return shapes


def _all_same(input_shape: tuple[int, int, int], layers: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    return output_shapes(input_shape, [{**x, "padding": "same"} if "padding" in x else x for x in layers])


def _all_valid(input_shape: tuple[int, int, int], layers: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    return output_shapes(input_shape, [{**x, "padding": "valid"} if "padding" in x else x for x in layers])


def _no_stride(input_shape: tuple[int, int, int], layers: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    return output_shapes(input_shape, [{**x, "strides": 1} if "strides" in x else x for x in layers])


def _stepwise(change: Any) -> Any:
    """A wrong solution that changes the shape of each layer before the next one sees it."""

    def wrong(input_shape: tuple[int, int, int], layers: list[dict[str, Any]]) -> list[tuple[int, ...]]:
        shape: tuple[int, ...] = input_shape
        shapes = []
        for layer in layers:
            shape = change(shape, layer, output_shapes(shape, [layer])[0])  # type: ignore[arg-type]
            shapes.append(shape)
        return shapes

    return wrong


def _pool_up(before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]) -> tuple[int, ...]:
    if layer["type"] != "MaxPooling2D":
        return after
    return (*(math.ceil(side / layer["pool_size"]) for side in before[:2]), before[2])


def _channels_multiplied(
    before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]
) -> tuple[int, ...]:
    return (*after[:2], before[2] * layer["filters"]) if layer["type"] == "Conv2D" else after


def _kernel_off(before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]) -> tuple[int, ...]:
    if layer["type"] != "Conv2D" or layer["padding"] == "same":
        return after
    return (*(math.ceil((side - layer["kernel_size"]) / layer["strides"]) for side in before[:2]), after[2])


def _kernel_off_down(
    before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]
) -> tuple[int, ...]:
    if layer["type"] != "Conv2D" or layer["padding"] == "same":
        return after
    return (*((side - layer["kernel_size"]) // layer["strides"] for side in before[:2]), after[2])


def _same_size(before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]) -> tuple[int, ...]:
    if layer["type"] != "Conv2D" or layer["padding"] != "same":
        return after
    return (*before[:2], after[2])


def _flat_map(before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]) -> tuple[int, ...]:
    return (before[0] * before[1],) if layer["type"] == "Flatten" else after


def _stride_down(before: tuple[int, ...], layer: dict[str, Any], after: tuple[int, ...]) -> tuple[int, ...]:
    if layer["type"] != "Conv2D" or layer["padding"] != "same":
        return after
    return (*(side // layer["strides"] for side in before[:2]), after[2])


def _cases() -> list[Arguments]:
    dense = {"type": "Dense", "units": 10}
    return [
        ((6, 6, 1), [_CONV]),
        ((5, 5, 1), [_POOL]),
        ((5, 5, 2), [{**_CONV, "padding": "same"}]),
        ((6, 6, 1), [{**_CONV, "strides": 2}]),
        ((7, 7, 1), [{**_CONV, "strides": 2, "padding": "same"}]),
        ((4, 6, 3), [_FLATTEN]),
        ((8, 6, 3), [_CONV, _POOL]),
        ((28, 28, 1), [{**_CONV, "filters": 32}, _POOL, {**_CONV, "filters": 64}, _POOL, _FLATTEN, dense]),
        (
            (33, 29, 3),
            [{**_CONV, "kernel_size": 5, "strides": 3}, {**_POOL, "pool_size": 3}, _FLATTEN, dense],
        ),
    ]


EXERCISE = Exercise(
    title="Predict output shapes",
    chapter="architecture",
    task="Before a network is built, its shapes can be worked out by hand. Do so for a list of layers.",
    solution=output_shapes,
    cases=_cases,
    misconceptions=(
        Misconception(
            "all_same",
            "You treat every convolution as if it padded. With padding 'valid' the window must fit inside, so each "
            "side loses kernel_size - 1.",
            _all_same,
        ),
        Misconception(
            "kernel_off",
            "You take off the whole kernel. A window of 3 fits into 6 pixels at 4 places: a side loses kernel_size - "
            "1.",
            _stepwise(_kernel_off),
            also=(_stepwise(_kernel_off_down),),
        ),
        Misconception(
            "no_stride",
            "You forgot strides: with strides=2 the window moves by two pixels, and about half of the places remain.",
            _no_stride,
        ),
        Misconception(
            "all_valid",
            "You treat every convolution as if it did not pad. With padding 'same' zeros are put around the input, and "
            "a side shrinks by its stride alone.",
            _all_valid,
        ),
        Misconception(
            "pool_up",
            "Your pooling keeps an incomplete window at the edge. Without padding it is dropped: 5 pixels and a window "
            "of 2 make 2.",
            _stepwise(_pool_up),
        ),
        Misconception(
            "same_size",
            "You take 'same' to mean that the size stays. That holds without strides: a side becomes ceil(side / "
            "strides).",
            _stepwise(_same_size),
        ),
        Misconception(
            "flat_map",
            "Your Flatten forgets the channels. Every value of every map becomes one of the row.",
            _stepwise(_flat_map),
        ),
        Misconception(
            "stride_down",
            "With padding 'same' and strides, you round down. Keras rounds up: ceil(side / strides).",
            _stepwise(_stride_down),
        ),
        Misconception(
            "channels_multiplied",
            "You multiply filters by the channels of the input. Each filter sums over all channels and makes one map, "
            "so the output has as many channels as there are filters.",
            _stepwise(_channels_multiplied),
        ),
    ),
    hints=(
        "Walk through the list and keep the shape so far: each layer sees what the one before it made.",
        "Conv2D, valid: ceil((side - kernel_size + 1) / strides). Conv2D, same: ceil(side / strides).",
        "Pooling: side // pool_size, channels as before. Flatten: the product of all three.",
    ),
)
