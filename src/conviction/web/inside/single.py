"""The calculation of values that come from one value of the layer's input, or from one of each of its inputs."""

from __future__ import annotations

import numpy as np

from conviction.explanation.numbers import (
    Activated,
    Combined,
    Normalised,
    Padded,
    Pointwise,
    Rescaled,
    Scaled,
    number,
    position_text,
)
from conviction.web.inside.parts import Cell, Grid, Group, Line, Parts


def normalised(value: Normalised) -> Parts:
    """Step by step."""
    deviation = float(np.sqrt(value.variance + value.epsilon))
    centred = value.x - value.mean
    by_layer = value.kind == "LayerNormalization"
    mean = "mean of all channels" if by_layer else "channel's mean"
    lines = (
        Line("the value that came in", value.x),
        Line(
            f"minus the {mean} {number(value.mean)}",
            centred,
        ),
        Line(
            f"divided by {number(deviation)}, the root of variance {number(value.variance)} + {value.epsilon:g}",
            centred / deviation,
        ),
        Line(f"times gamma {number(value.gamma)}", centred / deviation * value.gamma),
        Line(f"plus beta {number(value.beta)}", value.value, True),
    )
    description = (
        "Layer normalisation brings the channels at one row and column to mean 0 and variance 1"
        if by_layer
        else "Batch normalisation brings the channel to mean 0 and variance 1, by the moving averages of training"
    )
    description += ", and then scales and shifts it by two learned numbers, gamma and beta."
    return Parts(description, (), lines, value.position, source=value.position)


def combined(value: Combined) -> Parts:
    """What is added or multiplied, a row for each layer that it comes from."""
    added = value.kind == "Add"
    rows = [(Cell(x, at, of=i),) for i, (x, at) in enumerate(zip(value.inputs, value.sources, strict=True))]
    labels = [name.rpartition("/")[2] or "the picture" for name in value.layers]
    if value.constant is not None:
        rows.append((Cell(value.constant),))
        labels.append("a fixed number")
    grid = Grid("", tuple(rows), ("value",), tuple(labels))
    strongest = value.strongest
    if value.constant is not None:
        description = (
            f"Every value is {'increased by' if added else 'multiplied by'} the same number, which is fixed."
        )
    elif added:
        description = (
            "A shortcut: what came into the block is added to what the block has made of it, value by value."
        )
    else:
        description = (
            "The maps are weighted: each value is multiplied by the weight that the layers before have calculated for "
            "its channel."
        )
    lines = (Line("the sum" if added else "the product", value.value, True),)
    return Parts(
        description,
        (Group("", (grid,)),),
        lines,
        value.sources[strongest],
        source=value.sources[strongest],
        strongest_of=strongest,
    )


def pointwise(value: Pointwise, before: tuple[int, ...]) -> Parts:
    """What came in, and what became of it; ``before`` is the shape of the layer's input."""
    description, label = _point_words(value, before)
    lines = (Line("the value that came in", value.x), Line(label, value.value, True))
    if isinstance(value, Padded) and value.outside:
        # The nearest value that is there.
        near = tuple(min(at, n - 1) for at, n in zip(value.position, before, strict=True))
        return Parts(description, (), lines[1:], near)
    return Parts(description, (), lines, value.source, source=value.source)


def _point_words(value: Pointwise, before: tuple[int, ...]) -> tuple[str, str]:
    if isinstance(value, Rescaled):
        return _rescaled_words(value)
    if isinstance(value, Padded):
        words = "Zeros are added around the maps, so that the next window fits. Nothing is computed."
        return (
            words,
            "outside the maps: 0" if value.outside else f"the same, from {position_text(value.source)}",
        )
    if isinstance(value, Scaled):
        words = "Each channel is multiplied by one learned number, which says how much of it is passed on."
        return words, f"times {number(value.factor)}"
    if value.kind in ("Flatten", "Reshape"):
        sides = " x ".join(map(str, before))
        what = "Flatten writes" if value.kind == "Flatten" else "Reshape writes"
        return (
            f"{what} the {sides} values one after the other, row by row. It computes nothing.",
            f"the same, from {position_text(value.source)}",
        )
    if isinstance(value, Activated):
        name = value.activation
        words = f"The activation function bends each value by itself: here {name}."
        if value.most is not None:
            words += f" It lets through what is between 0 and {value.most:g}, and cuts off the rest."
        elif name == "linear":
            words = "Here every value passes through."
        return words, f"after {name}"
    return ("Dropout acts in training only. Here every value passes through.", "the same")


def _rescaled_words(value: Rescaled) -> tuple[str, str]:
    if not value.offset:
        words = "Normalisation divides every pixel by 255, so that all lie between 0 and 1."
        return words, f"divided by {value.divisor:g}"
    sign = "minus" if value.offset < 0 else "plus"
    return (
        "Normalisation scales every pixel in the way in which the backbone's pictures were scaled when it learned, so "
        "that they lie around 0.",
        f"divided by {number(value.divisor)}, {sign} {number(abs(value.offset))}",
    )
