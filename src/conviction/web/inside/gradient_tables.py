"""The gradient of one value as tables: what the next layers pass back, and what it adds to the weights' gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.explanation.asked import activation_name
from conviction.explanation.flows import Flow
from conviction.explanation.numbers import number, position_text
from conviction.explanation.way_back import ValueGradient, WayBack
from conviction.explanation.weights import WeightGradient
from conviction.web.inside.calculation import ROWS_SHOWN
from conviction.web.inside.parts import Cell, Grid, Group, Line

# Of a kernel's input channels.
CHANNELS_SHOWN = 3
# What a value is multiplied by on its way into an output, by the kind of layer; no column where it is always 1.
FACTOR_NAMES = {
    "Conv2D": "weight",
    "DepthwiseConv2D": "weight",
    "Dense": "weight",
    "AveragePooling2D": "share",
    "GlobalAveragePooling2D": "share",
    "BatchNormalization": "gamma / deviation",
    "LayerNormalization": "derivative",
    "ReLU": "slope",
    "Rescaling": "scale",
    "LayerScale": "factor",
    "Multiply": "other factor",
}


@dataclass(frozen=True)
class GradientTables:
    """How the loss of a picture changes with one value.

    Attributes:
        label: The class of the picture.
        assumed: Whether that is only the network's own answer, because nobody has said it.
        loss: Its cross-entropy, in nats.
        probability: What the network gives this class.
        position: Of the value.
        flows: A table of what each following layer passes back.
        following: (name, shape of the output) of the layers that ``flows`` and the links in them are of, in order.
        nothing: (name, kind) of the following layers that pass nothing back.
        lines: What is done with the flows, down to the gradient.
        gradient: The result.
        computed: The same as the framework has it.
        agrees: Whether both are the same except for rounding.
        weights_agree: And the gradients of the weights.
        weights: Tables of what the value adds to the gradients of its weights.
        channels: How many input channels its kernel has; 0 without a kernel that has channels.
        trained: Whether training changes these weights.
        values: How many values are made with the same weights.
        is_output: Whether the value is a probability, and the gradient that of its logit.
        gradients: Of all values of the channel, or of a vector in rows; float32 (rows, columns).
        scale: The largest absolute one of these.
    """

    label: int
    assumed: bool
    loss: float
    probability: float
    position: tuple[int, ...]
    flows: tuple[Group, ...]
    following: tuple[tuple[str, tuple[int, ...]], ...]
    nothing: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    gradient: float
    computed: float
    agrees: bool
    weights_agree: bool
    weights: tuple[Group, ...]
    channels: int
    trained: bool
    values: int
    is_output: bool
    gradients: np.ndarray
    scale: float


def gradient_tables(
    way: WayBack, position: Sequence[int], rows: np.ndarray, class_names: Sequence[str], *, assumed: bool
) -> GradientTables:
    """The tables of the way back to a value.

    Args:
        way: Of its layer.
        position: Of the value.
        rows: The gradients of its channel, or of the vector, float32 (rows, columns).
        class_names: In order.
        assumed: See ``GradientTables``.
    """
    value = way.at(position)
    shown = [
        (following, flow)
        for following, flow in zip(way.following, value.flows, strict=True)
        if len(flow.positions)
    ]
    kernels = [weights for weights in value.weights if weights.weights.ndim == 3]
    return GradientTables(
        label=way.label,
        assumed=assumed,
        loss=way.loss,
        probability=float(way.probabilities[way.label]),
        position=value.position,
        flows=tuple(_flow(flow, number, class_names) for number, (_, flow) in enumerate(shown)),
        following=tuple((following.one.name, following.passed.output.shape) for following, _ in shown),
        nothing=tuple((flow.layer, flow.kind) for flow in value.flows if not len(flow.positions)),
        lines=_lines(way, value, class_names),
        gradient=value.gradient,
        computed=value.computed,
        agrees=value.agrees,
        weights_agree=all(weights.agrees for weights in value.weights),
        weights=tuple(_weights(value)),
        channels=kernels[0].weights.shape[2] if kernels else 0,
        trained=any(weights.trained for weights in value.weights),
        values=int(np.prod(way.passed.output.shape[:-1])),
        is_output=way.is_output,
        gradients=rows,
        scale=float(np.abs(rows).max()),
    )


def _flow(flow: Flow, number_of_it: int, class_names: Sequence[str]) -> Group:
    terms = flow.contributions
    order = [int(i) for i in np.argsort(-np.abs(terms), kind="stable")]
    shown, others = order[:ROWS_SHOWN], order[ROWS_SHOWN:]
    columns = [("p - y" if flow.is_output else "gradient there", flow.upstream)]
    if flow.activation:
        columns.append((f"slope of {flow.activation}", flow.slopes))
    if flow.kind in FACTOR_NAMES:
        columns.append((FACTOR_NAMES[flow.kind], flow.factors))
    alone = len(columns) == 1  # passed back as it is
    rows = []
    for i in shown:
        at = tuple(int(n) for n in flow.positions[i])
        first = Cell(float(columns[0][1][i]), at, of=number_of_it)
        cells = (first, *(Cell(float(values[i])) for _, values in columns[1:]))
        rows.append(cells if alone else (*cells, Cell(float(terms[i]))))
    heads = tuple(head for head, _ in columns) + (() if alone else ("product",))
    labels = tuple(_output_name(flow, flow.positions[i].tolist(), class_names) for i in shown)
    grids = [Grid("", tuple(rows), heads, labels)]
    if others:
        title = f"the other {len(others):,} together" if len(others) > 1 else "the other one"
        grids.append(Grid(title, ((Cell(float(terms[others].sum())),),)))
    return Group(f"{flow.layer} passes back", tuple(grids), float(terms.sum()))


def _output_name(flow: Flow, position: Sequence[int], class_names: Sequence[str]) -> str:
    if not flow.is_output:
        return position_text(position)
    return class_names[1 if len(class_names) == 2 and len(flow.positions) == 1 else position[-1]]


def _lines(way: WayBack, value: ValueGradient, class_names: Sequence[str]) -> tuple[Line, ...]:
    if way.is_output:
        # One sigmoid unit gives the probability of the second class.
        index = value.position[-1] if len(way.passed.output) > 1 else 1
        name = class_names[index]
        return (
            Line(f"p, the probability of {name}", float(way.probabilities[index])),
            Line("y, what it should be", float(way.label == index)),
            Line("p - y: the gradient of its logit", value.gradient, True),
        )
    lines = [
        Line(f"{group.layer} passes back", float(group.contributions.sum()))
        for group in value.flows
        if len(value.flows) > 1
    ]
    lines.append(Line("the sum: the gradient of this value", value.gradient, True))
    activation = getattr(way.one.layer, "activation", None) if way.one and value.weights else None
    if activation is not None and activation_name(activation) != "linear":
        lines += [
            Line(f"times the slope of {activation_name(activation)} here", value.slope),
            Line("the gradient before the activation", value.before_activation, True),
        ]
    if way.one is not None and way.one.kind == "Rescaling" and way.one.parents == ("",):
        scale = np.broadcast_to(np.asarray(way.one.layer.scale, np.float64), way.passed.output.shape[-1:])
        per_level = value.gradient * float(scale[value.position[-1]])
        lines.append(Line("per grey level of the pixel, 0 to 255", per_level, True))
    return tuple(lines)


def _weights(value: ValueGradient) -> list[Group]:
    groups: list[Group] = []
    alone: list[WeightGradient] = []
    for weights in value.weights:
        if weights.weights.ndim == 3:
            groups += _kernel(weights, value.before_activation)
        elif weights.weights.ndim == 1:
            groups.append(_features(weights, value.position))
        else:
            alone.append(weights)
    if alone:
        rows = tuple((Cell(float(w.inputs)), Cell(float(w.local)), Cell(float(w.gradient))) for w in alone)
        heads = ("multiplied by", "this value adds", "all together")
        groups.append(Group("", (Grid("", rows, heads, tuple(w.name for w in alone)),)))
    return groups


def _kernel(weights: WeightGradient, before: float) -> list[Group]:
    """The filter's channels, that to which the value adds most first; only the first few."""
    strength = np.abs(weights.local).sum(axis=(0, 1))  # (rows, columns, channels) -> (channels,)
    outside = weights.padding

    def grid(title: str, numbers: np.ndarray, channel: int, *, patch: bool = False) -> Grid:
        cells = tuple(
            tuple(
                Cell(float(x), mark="outside" if patch and outside is not None and outside[i, j] else "")
                for j, x in enumerate(row)
            )
            for i, row in enumerate(numbers[..., channel])
        )
        return Grid(title, cells)

    return [
        Group(
            f"Its kernel, input channel {weights.first_channel + channel}",
            (
                grid("patch", weights.inputs, channel, patch=True),
                grid("this value adds", weights.local, channel),
                grid("all values together", weights.gradient, channel),
            ),
            signs=("", f"× {number(before + 0.0)} =", ""),  # noqa: RUF001
        )
        for channel in (int(c) for c in np.argsort(-strength, kind="stable")[:CHANNELS_SHOWN])
    ]


def _features(weights: WeightGradient, position: tuple[int, ...]) -> Group:
    order = [int(i) for i in np.argsort(-np.abs(weights.local), kind="stable")][:ROWS_SHOWN]
    shared = len(position) > 1  # other positions use the same weights
    rows = tuple(
        (
            Cell(float(weights.inputs[i])),
            Cell(float(weights.local[i])),
            *((Cell(float(weights.gradient[i])),) if shared else ()),
        )
        for i in order
    )
    heads = ("input", "this value adds", "all together") if shared else ("input", "gradient of its weight")
    every = len(order) == weights.weights.size
    title = "Its weights" if every else f"The {len(order)} weights that it adds most to"
    return Group(title, (Grid("", rows, heads, tuple(f"weight {i}" for i in order)),))
