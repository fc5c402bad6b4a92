"""The numbers of one value as tables: what was multiplied, added, compared, in the order in which it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conviction.explanation.numbers import (
    Activated,
    Convolution,
    Normalised,
    Pointwise,
    Pooled,
    Rescaled,
    Softmax,
    Value,
    WeightedSum,
    number,
    position_text,
)

Position = tuple[int, ...]
# How many of a dense layer's inputs, and of the classes, get a row of their own; one more row sums up the others.
ROWS_SHOWN = 12
OUTPUT = "output"
# A window with more values than this is seen on the map, not in a table.
CELLS_SHOWN = 144


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Attributes:
        value: Exact.
        at: Its position in the layer's input, if it has one.
        mark: ``outside`` for padding, ``winner`` for the largest of a window, or nothing.
    """

    value: float
    at: Position | None = None
    mark: str = ""

    @property
    def text(self) -> str:
        """Four significant digits."""
        return number(self.value + 0.0)  # which turns -0 into 0


@dataclass(frozen=True)
class Grid:
    """A table of numbers.

    Attributes:
        title: What they are.
        rows: Of cells.
        heads: Over the columns, if they are of different kinds.
        labels: Before the rows, if they have names.
        chosen: The row that the value is about, if it is one of several.
    """

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    heads: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    chosen: int | None = None


@dataclass(frozen=True)
class Group:
    """Tables that belong together, and what they add to the sum; ``total`` is None if they are not part of one."""

    title: str
    grids: tuple[Grid, ...]
    total: float | None = None


@dataclass(frozen=True)
class Line:
    """A step of the calculation: what is done, and its result."""

    label: str
    value: float
    result: bool = False


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
    )


@dataclass(frozen=True)
class _Parts:
    description: str
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    strongest: Position
    window: tuple[int, int, int, int] | None = None
    source: Position | None = None
    named: str = ""


def _parts(value: Value, before: tuple[int, ...], class_names: Sequence[str]) -> _Parts:
    if isinstance(value, Convolution):
        return _convolution(value)
    if isinstance(value, Softmax):
        return _softmax(value, class_names)
    if isinstance(value, WeightedSum):
        named = (
            f" (probability of {class_names[1]})" if value.layer == OUTPUT and len(class_names) == 2 else ""
        )
        return _Parts(
            _dense_words(value), (_terms(value),), _sum_lines(value), value.largest(1)[0], named=named
        )
    if isinstance(value, Pooled):
        return _pooled(value)
    if isinstance(value, Normalised):
        return _normalised(value)
    assert isinstance(value, Pointwise)
    return _pointwise(value, before)


def _convolution(value: Convolution) -> _Parts:
    window = value.window
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
                at = None if outside or not links else (window.top + i, window.left + j, channel)
                row.append(Cell(float(numbers[i, j, channel]), at, "outside" if outside else ""))
            rows.append(tuple(row))
        return Grid(title, tuple(rows))

    groups = tuple(
        Group(
            f"Input channel {channel}",
            (
                grid("patch", value.inputs, channel, links=True),
                grid("kernel", value.weights, channel),
                grid("products", products, channel),
            ),
            float(totals[channel]),
        )
        for channel in channels
    )
    description = (
        "Each number of the patch is multiplied by the kernel's number at the same place. All products are added, then "
        f"the bias{_bend(value.activation)}."
    )
    return _Parts(
        description,
        groups,
        _sum_lines(value),
        (window.top + int(down), window.left + int(right), channels[0]),
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
    return (
        f"A unit of a dense layer sees all {value.inputs.size:,} inputs. Each is multiplied by its own weight. All "
        f"products are added, then the bias{_bend(value.activation)}."
    )


def _terms(value: WeightedSum) -> Group:
    """The largest contributions, and the sum of the others."""
    products = value.products
    order = [i for (i,) in value.largest(len(products))]
    shown, others = order[:ROWS_SHOWN], order[ROWS_SHOWN:]
    rows = [
        (Cell(float(value.inputs[i]), (i,)), Cell(float(value.weights[i])), Cell(float(products[i])))
        for i in shown
    ]
    labels = [f"input {i}" for i in shown]
    title = "All inputs" if not others else f"The {len(shown)} inputs that count most"
    grids = [Grid("", tuple(rows), ("value", "weight", "product"), tuple(labels))]
    if others:
        rest = Cell(float(products[others].sum()))
        grids.append(Grid(f"the other {len(others):,} products together", ((rest,),)))
    return Group(title, tuple(grids), value.total)


def _softmax(value: Softmax, class_names: Sequence[str]) -> _Parts:
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
    return _Parts(description, groups, lines, value.largest(1)[0], named=f" ({names[unit]})")


def _pooled(value: Pooled) -> _Parts:
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
    return _Parts(description, groups, lines, strongest, bounds)


def _won(value: Pooled, at: Position) -> str:
    return "winner" if value.winner == at[:2] else ""


def _normalised(value: Normalised) -> _Parts:
    deviation = float(np.sqrt(value.variance + value.epsilon))
    centred = value.x - value.mean
    lines = (
        Line("the value that came in", value.x),
        Line(f"minus the channel's mean {number(value.mean)}", centred),
        Line(
            f"divided by {number(deviation)}, the root of variance {number(value.variance)} + {value.epsilon:g}",
            centred / deviation,
        ),
        Line(f"times gamma {number(value.gamma)}", centred / deviation * value.gamma),
        Line(f"plus beta {number(value.beta)}", value.value, True),
    )
    description = (
        "Batch normalisation brings the channel to mean 0 and variance 1, by the moving averages of training, and then "
        "scales and shifts it by two learned numbers, gamma and beta."
    )
    return _Parts(description, (), lines, value.position, source=value.position)


def _pointwise(value: Pointwise, before: tuple[int, ...]) -> _Parts:
    came = Line("the value that came in", value.x)
    description, label = _point_words(value, before)
    lines = (came, Line(label, value.value, True))
    return _Parts(description, (), lines, value.source, source=value.source)


def _point_words(value: Pointwise, before: tuple[int, ...]) -> tuple[str, str]:
    if isinstance(value, Rescaled):
        return (
            "Normalisation divides every pixel by 255, so that all lie between 0 and 1.",
            "rescaled" if value.offset else f"divided by {value.divisor:g}",
        )
    if value.kind == "Flatten":
        sides = " x ".join(map(str, before))
        return (
            f"Flatten writes the {sides} values one after the other, row by row. It computes nothing.",
            f"the same, from {position_text(value.source)}",
        )
    if isinstance(value, Activated):
        name = value.activation
        return (f"The activation function bends each value by itself: here {name}.", f"after {name}")
    return ("Dropout acts in training only. Here every value passes through.", "the same")


def cells(calculation: Calculation) -> Iterator[Cell]:
    """Every cell that is shown."""
    for group in calculation.groups:
        for grid in group.grids:
            for row in grid.rows:
                yield from row
