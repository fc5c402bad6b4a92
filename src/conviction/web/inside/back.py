"""The way back to one value as tables: what the next layers pass back, and what it adds to the weights' gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.explanation.asked import activation_name
from conviction.explanation.backward import ValueGradient, WayBack
from conviction.explanation.flows import Flow
from conviction.explanation.numbers import position_text
from conviction.explanation.weights import WeightGradient
from conviction.web.inside.calculation import ROWS_SHOWN
from conviction.web.inside.parts import Cell, Grid, Group, Line

# Of a kernel's input channels.
GROUPS_SHOWN = 3
# What a value is multiplied by on its way into an output, by the kind of layer; no column where it is always 1.
FACTORS = {
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
class Back:
    """How the loss of a picture changes with one value.

    Attributes:
        label: The class that the picture is said to be of.
        loss: Its cross-entropy, in nats.
        probability: What the network gives this class.
        position_text: The value's position in words.
        flows: A table of what each following layer passes back.
        nothing: (name, kind) of the following layers that pass nothing back.
        following: (name, shape of the output) of the layers that ``flows`` and the links in them are of, in order.
        lines: What is done with them, down to the gradient.
        gradient: The result.
        computed: The same as the framework has it.
        agrees: Whether both, and the gradients of the weights, are the same except for rounding.
        weights: Tables of what the value adds to the gradients of its weights.
        trained: Whether training changes these weights; None if there are none.
        values: How many values are made with the same weights.
        is_output: Whether the value is a probability, and the gradient that of its logit.
        map: The gradients of all values of the channel, or of a vector in rows; float32 (rows, columns).
        scale: The largest absolute one of these.
    """

    label: int
    loss: float
    probability: float
    position_text: str
    flows: tuple[Group, ...]
    nothing: tuple[tuple[str, str], ...]
    following: tuple[tuple[str, tuple[int, ...]], ...]
    lines: tuple[Line, ...]
    gradient: float
    computed: float
    agrees: bool
    weights: tuple[Group, ...]
    trained: bool | None
    values: int
    is_output: bool
    map: np.ndarray
    scale: float


def back_of(way: WayBack, position: Sequence[int], pixel: float | None, rows: np.ndarray) -> Back:
    """The tables of the way back to a value.

    Args:
        way: Of its layer.
        position: Of the value.
        pixel: The gradient with regard to the pixel that it comes from, if it comes from one alone.
        rows: The gradients of its channel, or of the vector, float32 (rows, columns).
    """
    value = way.at(position)
    shown = [flow for flow in value.flows if len(flow.positions)]
    return Back(
        label=way.label,
        loss=way.loss,
        probability=float(way.probabilities[way.label]),
        position_text=position_text(value.position),
        flows=tuple(_flow(flow, number) for number, flow in enumerate(shown)),
        nothing=tuple((flow.layer, flow.kind) for flow in value.flows if not len(flow.positions)),
        following=tuple(
            (f.one.name, f.passed.output.shape) for f in way.following if _is_in(f.one.name, shown)
        ),
        lines=_lines(way, value, pixel),
        gradient=value.gradient,
        computed=value.computed,
        agrees=value.agrees and all(weights.agrees for weights in value.weights),
        weights=tuple(_weights(value)),
        trained=any(w.trained for w in value.weights) if value.weights else None,
        values=int(np.prod(way.passed.output.shape[:-1])),
        is_output=way.is_output,
        map=rows,
        scale=float(np.abs(rows).max()) or 1.0,
    )


def _is_in(name: str, flows: Sequence[Flow]) -> bool:
    return any(flow.layer == name for flow in flows)


def _flow(flow: Flow, number: int) -> Group:
    terms = flow.contributions
    order = [int(i) for i in np.argsort(-np.abs(terms), kind="stable")]
    shown, others = order[:ROWS_SHOWN], order[ROWS_SHOWN:]
    columns = [("p - y" if flow.is_output else "its gradient", flow.upstream)]
    if not (flow.slopes == 1.0).all():
        columns.append(("slope", flow.slopes))
    if flow.kind in FACTORS:
        columns.append((FACTORS[flow.kind], flow.factors))
    single = len(columns) == 1  # passed back as it is
    rows = []
    for i in shown:
        at = tuple(int(n) for n in flow.positions[i])
        first = Cell(float(columns[0][1][i]), at, of=number)
        cells = (first, *(Cell(float(values[i])) for _, values in columns[1:]))
        rows.append(cells if single else (*cells, Cell(float(terms[i]))))
    heads = tuple(head for head, _ in columns) + (() if single else ("product",))
    labels = tuple(position_text(flow.positions[i].tolist()) for i in shown)
    grids = [Grid("", tuple(rows), heads, labels)]
    if others:
        rest = Cell(float(terms[others].sum()))
        grids.append(Grid(f"the other {len(others):,} together", ((rest,),)))
    return Group(f"{flow.layer} passes back", tuple(grids), float(terms.sum()))


def _lines(way: WayBack, value: ValueGradient, pixel: float | None) -> tuple[Line, ...]:
    if way.is_output:
        (unit,) = value.position
        probability = float(way.passed.output[unit])
        target = float(way.label == (unit if len(way.passed.output) > 1 else 1))
        return (
            Line("the probability, p", probability),
            Line("what it should be, y", target),
            Line("p - y: the gradient of its logit", value.gradient, True),
        )
    lines = [Line("all of this together: the gradient of this value", value.gradient, True)]
    activation = getattr(way.one.layer, "activation", None) if way.one and value.weights else None
    if activation is not None and activation_name(activation) != "linear":
        lines += [
            Line(f"times the slope of {activation_name(activation)} here", value.slope),
            Line("the gradient before the activation", value.before_activation, True),
        ]
    if pixel is not None:
        lines.append(Line("the gradient of the pixel, for each of its 255 steps", pixel, True))
    return tuple(lines)


def _weights(value: ValueGradient) -> list[Group]:
    groups: list[Group] = []
    single: list[WeightGradient] = []
    for weights in value.weights:
        if weights.weights.ndim == 3:
            groups += _kernel(weights, value.before_activation)
        elif weights.weights.ndim == 1:
            groups.append(_features(weights, value.position))
        else:
            single.append(weights)
    if single:
        rows = tuple((Cell(float(w.inputs)), Cell(float(w.local)), Cell(float(w.gradient))) for w in single)
        heads = ("multiplied by", "this value adds", "all together")
        groups.append(Group("", (Grid("", rows, heads, tuple(w.name for w in single)),)))
    return groups


def _kernel(weights: WeightGradient, before: float) -> list[Group]:
    """The filter's channels, that to which the value adds most first; only the first few."""
    channels = weights.weights.shape[2]
    chosen = f" of {channels}" if channels > 1 else ""
    strength = np.abs(weights.local).sum(axis=(0, 1))  # (rows, columns, channels) -> (channels,)

    def grid(title: str, numbers: np.ndarray, channel: int) -> Grid:
        cells = tuple(tuple(Cell(float(x)) for x in row) for row in numbers[..., channel])
        return Grid(title, cells)

    return [
        Group(
            f"Its kernel, input channel {channel}{chosen}",
            (
                grid("patch", weights.inputs, channel),
                grid("this value adds", weights.local, channel),
                grid("all values together", weights.gradient, channel),
            ),
            signs=("", f"× {Cell(before).text} =", ""),  # noqa: RUF001
        )
        for channel in (int(c) for c in np.argsort(-strength, kind="stable")[:GROUPS_SHOWN])
    ]


def _features(weights: WeightGradient, position: tuple[int, ...]) -> Group:
    order = [int(i) for i in np.argsort(-np.abs(weights.local), kind="stable")][:ROWS_SHOWN]
    whole = len(position) > 1  # other positions use the same weights
    rows = tuple(
        (
            Cell(float(weights.inputs[i])),
            Cell(float(weights.local[i])),
            *((Cell(float(weights.gradient[i])),) if whole else ()),
        )
        for i in order
    )
    heads = ("input", "this value adds", "all together") if whole else ("input", "gradient of its weight")
    title = (
        "Its weights" if len(order) == weights.weights.size else f"The {len(order)} weights it adds most to"
    )
    return Group(title, (Grid("", rows, heads, tuple(f"weight {i}" for i in order)),))
