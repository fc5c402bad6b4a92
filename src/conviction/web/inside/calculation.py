"""The numbers of one value as tables: what was multiplied, added, compared, in the order in which it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conviction.explanation.numbers import (
    Combined,
    Convolution,
    Normalised,
    Pointwise,
    Pooled,
    Softmax,
    Value,
    WeightedSum,
    number,
    position_text,
)
from conviction.web.inside.parts import Cell, Grid, Group, Line, Parts, Position
from conviction.web.inside.single import combined, normalised, pointwise

# How many of a dense layer's inputs, and of the classes, get a row of their own; one more row sums up the others.
ROWS_SHOWN = 12
OUTPUT = "output"
# A window with more values than this is seen on the map, not in a table.
CELLS_SHOWN = 144


@dataclass(frozen=True)
class Calculation:
    """How one value is computed.

    Attributes:
        layer: Name.
        kind: Type.
        position_text: In words.
        description: What this kind of layer does, in a sentence.
        groups: The tables; of a sum the one that adds most comes first.
        lines: What is done with them, down to the value.
        equation: The same in a line.
        computed: What the network gave.
        agrees: Whether both are the same, except for rounding.
        strongest: The input that adds most, or wins its window; the first of a window whose mean is taken.
        window: (top, left, rows, columns) on the layer's input; None if there is no window.
        source: The one position of the input that it comes from, if it is one.
        strongest_of: Which of the layer's inputs ``strongest`` and ``source`` are in, where there are several.
    """

    layer: str
    kind: str
    position_text: str
    description: str
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    equation: str
    computed: float
    agrees: bool
    strongest: Position
    window: tuple[int, int, int, int] | None = None
    source: Position | None = None
    strongest_of: int = 0

    @property
    def value(self) -> float:
        """The result of the last line."""
        return self.lines[-1].value


def calculate(value: Value, before: tuple[int, ...], class_names: Sequence[str] = ()) -> Calculation:
    """The tables of a value.

    Args:
        value: From ``explain_value``.
        before: Shape of the layer's input, without the batch axis.
        class_names: For the output layer.
    """
    parts = _parts(value, before, class_names)
    return Calculation(
        layer=value.layer,
        kind=value.kind,
        position_text=position_text(value.position) + parts.named,
        description=parts.description,
        groups=parts.groups,
        lines=parts.lines,
        equation=value.equation,
        computed=value.computed,
        agrees=value.agrees,
        strongest=parts.strongest,
        window=parts.window,
        source=parts.source,
        strongest_of=parts.strongest_of,
    )


def _parts(value: Value, before: tuple[int, ...], class_names: Sequence[str]) -> Parts:
    if isinstance(value, Convolution):
        return _convolution(value)
    if isinstance(value, Softmax):
        return _softmax(value, class_names)
    if isinstance(value, WeightedSum):
        named = (
            f" (probability of {class_names[1]})" if value.layer == OUTPUT and len(class_names) == 2 else ""
        )
        strongest = (*value.position[:-1], *value.largest(1)[0])
        return Parts(_dense_words(value), (_terms(value),), _sum_lines(value), strongest, named=named)
    if isinstance(value, Pooled):
        return _pooled(value)
    if isinstance(value, Normalised):
        return normalised(value)
    if isinstance(value, Combined):
        return combined(value)
    assert isinstance(value, Pointwise)
    return pointwise(value, before)


def _convolution(value: Convolution) -> Parts:
    window, first = value.window, value.first_channel
    products = value.products
    totals = products.sum(axis=(0, 1))  # (rows, columns, channels) -> (channels,)
    channels = [int(c) for c in np.argsort(-np.abs(totals), kind="stable")]
    inside = np.where(value.padding, -1.0, np.abs(products[..., channels[0]]))
    down, right = np.unravel_index(inside.argmax(), inside.shape)

    def grid(title: str, numbers: np.ndarray, channel: int, *, links: bool = False) -> Grid:
        rows = []
        for i in range(window.height):
            row = []
            for j in range(window.width):
                outside = bool(value.padding[i, j])
                at = None if outside or not links else (window.top + i, window.left + j, first + channel)
                row.append(Cell(float(numbers[i, j, channel]), at, "outside" if outside else ""))
            rows.append(tuple(row))
        return Grid(title, tuple(rows))

    groups = tuple(
        Group(
            f"Input channel {first + channel}",
            (
                grid("patch", value.inputs, channel, links=True),
                grid("kernel", value.weights, channel),
                grid("products", products, channel),
            ),
            float(totals[channel]),
            ("", "×", "="),  # noqa: RUF001
        )
        for channel in channels
    )
    description = (
        "Each number of the patch is multiplied by the kernel's number at the same place. All products are added, then "
        f"the bias{_bend(value.activation)}."
    )
    if value.kind == "DepthwiseConv2D":
        description += " This kernel sees one channel alone, so the maps are not mixed."
    return Parts(
        description,
        groups,
        _sum_lines(value),
        (window.top + int(down), window.left + int(right), first + channels[0]),
        (window.top, window.left, window.height, window.width),
    )


def _bend(activation: str) -> str:
    return "" if activation == "linear" else f"; {activation} turns the sum into the value"


def _sum_lines(value: WeightedSum) -> tuple[Line, ...]:
    lines = [
        Line("all products together", value.total),
        Line("plus the bias", value.bias),
        Line("before the activation", value.pre_activation),
    ]
    if value.activation == "linear":
        lines[-1] = Line("the value", value.value, True)
    elif not isinstance(value, Softmax):
        lines.append(Line(f"after {value.activation}", value.value, True))
    return tuple(lines)


def _dense_words(value: WeightedSum) -> str:
    seen = (
        f"the {value.inputs.size:,} channels at its own row and column"
        if len(value.position) == 3
        else f"all {value.inputs.size:,} inputs"
    )
    return (
        f"A unit of a dense layer sees {seen}. Each is multiplied by its own weight. All "
        f"products are added, then the bias{_bend(value.activation)}."
    )


def _terms(value: WeightedSum) -> Group:
    """The largest contributions, and the sum of the others."""
    products = value.products
    order = [i for (i,) in value.largest(len(products))]
    shown, others = order[:ROWS_SHOWN], order[ROWS_SHOWN:]
    rows = [
        (
            Cell(float(value.inputs[i]), (*value.position[:-1], i)),
            Cell(float(value.weights[i])),
            Cell(float(products[i])),
        )
        for i in shown
    ]
    labels = [f"{'channel' if len(value.position) == 3 else 'input'} {i}" for i in shown]
    title = "All inputs" if not others else f"The {len(shown)} inputs that count most"
    grids = [Grid("", tuple(rows), ("value", "weight", "product"), tuple(labels))]
    if others:
        rest = Cell(float(products[others].sum()))
        grids.append(Grid(f"the other {len(others):,} products together", ((rest,),)))
    return Group(title, tuple(grids), value.total)


def _softmax(value: Softmax, class_names: Sequence[str]) -> Parts:
    (unit,) = value.position
    exponentials, total = value.exponentials, float(value.exponentials.sum())
    order = [int(i) for i in np.argsort(-exponentials, kind="stable")]
    shown = order[:ROWS_SHOWN]
    if unit not in shown:
        shown[-1] = unit
    names = class_names or [f"class {i}" for i in range(len(exponentials))]
    rows = tuple(
        (Cell(float(value.logits[i])), Cell(float(exponentials[i])), Cell(float(exponentials[i]) / total))
        for i in shown
    )
    grid = Grid(
        "",
        rows,
        ("logit", f"exp(logit - {number(value.logits.max())})", "probability"),
        tuple(names[i] for i in shown),
        shown.index(unit),
    )
    lines = (
        *_sum_lines(value)[:2],
        Line("the logit", value.pre_activation),
        Line(f"exp(logit - {number(value.logits.max())})", float(exponentials[unit])),
        Line(f"all {len(exponentials)} of these together", total),
        Line("the probability: one divided by the other", value.value, True),
    )
    description = (
        "The output layer adds up, for each class, all inputs times weights and a bias: the logit. Softmax makes "
        "the logits positive, by exp, and divides each by their sum, so that they become probabilities."
    )
    groups = (_terms(value), Group("Softmax over the classes", (grid,)))
    return Parts(description, groups, lines, value.largest(1)[0], named=f" ({names[unit]})")


def _pooled(value: Pooled) -> Parts:
    window, values = value.window, value.inputs
    channel = value.position[-1]
    count = values.size
    groups: tuple[Group, ...] = ()
    if count <= CELLS_SHOWN:
        rows = tuple(
            tuple(
                Cell(float(values[i, j]), at := (window.top + i, window.left + j, channel), _won(value, at))
                for j in range(values.shape[1])
            )
            for i in range(values.shape[0])
        )
        groups = (Group("", (Grid("window", rows),)),)
    bounds = (window.top, window.left, window.height, window.width)
    if value.winner is not None:
        description = (
            "The window is moved over the map, and only its largest value is passed on. "
            "There is nothing to learn here."
        )
        lines: tuple[Line, ...] = (Line(f"the largest of {count}", value.value, True),)
    else:
        whole = "map" if value.kind == "GlobalAveragePooling2D" else "window"
        description = (
            f"Only the mean of all values of the {whole} is passed on. There is nothing to learn here."
        )
        lines = (
            Line(f"all {count} together", float(values.astype(np.float64).sum())),
            Line(f"divided by {count}", value.value, True),
        )
    strongest = (*(value.winner or bounds[:2]), channel)
    return Parts(description, groups, lines, strongest, bounds)


def _won(value: Pooled, at: Position) -> str:
    return "winner" if value.winner == at[:2] else ""


def cells(calculation: Calculation) -> Iterator[Cell]:
    """Every cell that is shown."""
    for group in calculation.groups:
        for grid in group.grids:
            for row in grid.rows:
                yield from row
