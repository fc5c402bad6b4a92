"""The network as one picture: columns of maps, and how much each contributes to the next; for the helper process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conviction.explanation import Contributions, LayerOutput, contributions
from conviction.explanation.window import window_at
from conviction.web.inside.folding import (
    ACROSS_CHANNELS,
    GLOBAL_POOLS,
    JOINS,
    POINTWISE,
    POOLS,
    Fold,
    PlainLayer,
    fold,
)
from conviction.web.inside.small import small

MOST_CLASSES = 10


@dataclass(frozen=True)
class Reach:
    """Where a value's window lies on the maps of the previous column; the window of value (0, 0) begins at (top, left).

    Attributes:
        top: The first row; below 0 with padding.
        left: The first column.
        rows: How many rows.
        columns: How many columns.
        down: How far the next value's window is below.
        right: And how far to the right.
        same_map: Whether it is on the map of the same channel alone.
    """

    top: int
    left: int
    rows: int
    columns: int
    down: int
    right: int
    same_map: bool

    def following(self, first: Reach) -> Reach:
        """The window of both, where ``self`` looks at what ``first`` has given."""
        return Reach(
            first.top + self.top * first.down,
            first.left + self.left * first.right,
            first.rows + (self.rows - 1) * first.down,
            first.columns + (self.columns - 1) * first.right,
            first.down * self.down,
            first.right * self.right,
            self.same_map and first.same_map,
        )


@dataclass(frozen=True)
class Column:
    """Layers that are drawn as one, and what the last of them gave.

    Attributes:
        layers: Their names.
        shape: (rows, columns, channels) or (units,).
        is_flat: Whether the last of the layers gives these values in a row, because it comes after Flatten.
        maps: The first of them, int8 (count, rows, columns), thinned out; of a vector (count, 1, 1).
        reach: Its windows on the column before; None where every value sees everything, or it is not known.
        sums: (count, maps of the column before) float64, what flows from there; None where it is not known.
        sizes: The same without signs.
    """

    layers: tuple[str, ...]
    shape: tuple[int, ...]
    is_flat: bool
    maps: np.ndarray
    reach: Reach | None = None
    sums: np.ndarray | None = None
    sizes: np.ndarray | None = None


@dataclass(frozen=True)
class Diagram:
    """A network and a picture.

    Attributes:
        pixels: (height, width, channels) uint8.
        columns: From the first layer after the normalisation to the last hidden one.
        output: The names of the layers that make the answer.
        units: How many the output has; one for two classes.
        classes: Those that are shown, the likeliest, in their order.
        probabilities: Of these, float64.
        sums: (classes shown, maps of the last column), what flows to their scores; None where it is not known.
        sizes: The same without signs.
    """

    pixels: np.ndarray
    columns: tuple[Column, ...]
    output: tuple[str, ...]
    units: int
    classes: tuple[int, ...]
    probabilities: np.ndarray
    sums: np.ndarray | None
    sizes: np.ndarray | None


@dataclass(frozen=True)
class _Step:
    """A layer, what came into it, and what it gave."""

    layer: Any
    before: np.ndarray
    result: LayerOutput

    @property
    def kind(self) -> str:
        """The layer's type."""
        return self.result.kind

    @property
    def keeps_channels(self) -> bool:
        """Whether each channel that goes out comes from that channel alone."""
        return self.kind in (*POINTWISE, *POOLS, *GLOBAL_POOLS)


def diagram_of(model: Any, pixels: np.ndarray, outputs: Sequence[LayerOutput]) -> Diagram:
    """The picture of a network.

    Args:
        model: A ``keras.Sequential``: raw pixels in, probabilities out.
        pixels: One picture, (height, width, channels) uint8.
        outputs: Of all layers, from ``activations``.
    """
    folds = fold([PlainLayer(one.name, one.kind, one.output.shape) for one in outputs])
    first = folds[0].numbers[0]
    came = outputs[first - 1].output if first else pixels.astype(np.float32)
    columns: list[Column] = []
    steps: list[_Step] = []
    for each in folds:
        steps = _steps(each, model, came, outputs)
        came = steps[-1].result.output
        if each is not folds[-1]:
            is_flat = outputs[each.numbers[-1]].output.shape != each.shape
            columns.append(_column(each, steps, columns[-1] if columns else None, is_flat=is_flat))
    answer = outputs[-1].output.astype(np.float64)
    probabilities = answer if len(answer) > 1 else np.concatenate([1 - answer, answer])
    likeliest = np.argsort(-probabilities, kind="stable")[:MOST_CLASSES]
    classes = tuple(sorted(int(i) for i in likeliest))
    units = classes if len(answer) > 1 else (0,)
    flow = _flow(steps, columns[-1] if columns else None, units)
    sums, sizes = (None, None) if flow is None else (flow.sums, flow.sizes)
    if len(answer) == 1 and sums is not None and sizes is not None:
        # One unit: what speaks for the second class speaks against the first.
        sums, sizes = np.concatenate([-sums, sums]), np.concatenate([sizes, sizes])
    names = tuple(one.name for one in folds[-1].layers)
    shown = probabilities[list(classes)]
    return Diagram(pixels, tuple(columns), names, len(answer), classes, shown, sums, sizes)


def _steps(folded: Fold, model: Any, came: np.ndarray, outputs: Sequence[LayerOutput]) -> list[_Step]:
    """The layers of a column, from what came into it; with maps where Flatten has written them in a row."""
    steps: list[_Step] = []
    for number, one in zip(folded.numbers, folded.layers, strict=True):
        result = replace(outputs[number], output=outputs[number].output.reshape(one.shape))
        steps.append(_Step(model.layers[number], came, result))
        came = result.output
    return steps


def _column(folded: Fold, steps: Sequence[_Step], before: Column | None, *, is_flat: bool) -> Column:
    values, count = steps[-1].result.output, folded.count
    maps = np.moveaxis(values, -1, 0)[:count] if values.ndim == 3 else values[:count, np.newaxis, np.newaxis]
    flow = _flow(steps, before, range(count))
    return Column(
        tuple(one.name for one in folded.layers),
        values.shape,
        is_flat,
        small(maps, values).maps,
        _reach(steps),
        None if flow is None else flow.sums,
        None if flow is None else flow.sizes,
    )


def _flow(group: Sequence[_Step], before: Column | None, outputs: Sequence[int]) -> Contributions | None:
    """What the maps that are shown before contribute; None where several layers mix them, or one that hides how."""
    first = group[0]
    if not all(step.kind in (*JOINS, *POOLS) for step in group[1:]):
        return None
    if before is None:
        shown = [list(range(first.before.shape[-1]))]  # the picture is one
    else:
        shown = [[channel] for channel in range(len(before.maps))]
    if not first.keeps_channels:
        return contributions(first.layer, first.before, shown, outputs)
    # Each map goes on alone, as in pooling.
    sums, sizes = np.zeros((2, len(outputs), len(shown)))
    for j, output in enumerate(outputs):
        for i, channels in enumerate(shown):
            if output in channels:
                values = first.result.output[..., output]
                sums[j, i], sizes[j, i] = values.sum(), np.abs(values).sum()
    return Contributions(sums, sizes)


def _reach(group: Sequence[_Step]) -> Reach | None:
    reach: Reach | None = None
    for step in group:
        one = _reach_of(step)
        if one is None:
            return None
        reach = one if reach is None else one.following(reach)
    return reach


def _reach_of(step: _Step) -> Reach | None:
    layer, kind = step.layer, step.kind
    if step.before.ndim != 3 or step.result.output.ndim != 3:
        return None
    if kind in (*POINTWISE, *ACROSS_CHANNELS):
        return Reach(0, 0, 1, 1, 1, 1, same_map=kind in POINTWISE)
    same_map = kind != "Conv2D"
    if kind in POOLS:
        size = layer.pool_size
    elif kind in ("Conv2D", "DepthwiseConv2D") and _is_plain(layer):
        size = layer.kernel_size
    else:
        return None
    shape = (step.before.shape[0], step.before.shape[1])
    first = window_at((0, 0), shape, tuple(size), tuple(layer.strides), layer.padding)
    down, right = layer.strides
    return Reach(first.top, first.left, first.height, first.width, down, right, same_map=same_map)


def _is_plain(convolution: Any) -> bool:
    """Whether its windows have no gaps, and are on all maps, or on the same one."""
    groups = getattr(convolution, "groups", 1) * getattr(convolution, "depth_multiplier", 1)
    return groups == 1 and tuple(convolution.dilation_rate) == (1, 1)
