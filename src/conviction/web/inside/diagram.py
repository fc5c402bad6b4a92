"""The network as one picture: columns of maps, and how much each contributes to the next; for the helper process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conviction.explanation import Contributions, LayerOutput, contributions
from conviction.explanation.inside import is_backbone
from conviction.explanation.window import window_at
from conviction.web.inside.small import SMALL, small

# Beyond these numbers of columns, pooling is drawn with the convolution before it, and then all layers of one size
# become one column; the picture fits a screen in any case.
MOST_COLUMNS = 6
MOST_FOLDED = 10
# Maps that a column shows, where there are few columns and where there are many.
MAPS_OF_FEW, MAPS_OF_MANY = 16, 8
MOST_CLASSES = 10

_MIXES = ("Conv2D", "DepthwiseConv2D", "Dense")
_POOLS = ("MaxPooling2D", "AveragePooling2D")
_COLLECTS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
_FLATTENS = ("Flatten", "Reshape")


@dataclass(frozen=True)
class Reach:
    """Where the window of a value lies on the maps of the column before: that of (0, 0) begins at (top, left).

    Attributes:
        top: The first row; below 0 with padding.
        left: The first column.
        rows: How many rows.
        columns: How many columns.
        down: How far the next value's window is below.
        right: And how far to the right.
        own: Whether it is on the map of the same channel alone.
    """

    top: int
    left: int
    rows: int
    columns: int
    down: int
    right: int
    own: bool

    def after(self, first: Reach) -> Reach:
        """The window of both, where ``self`` looks at what ``first`` has given."""
        return Reach(
            first.top + self.top * first.down,
            first.left + self.left * first.right,
            first.rows + (self.rows - 1) * first.down,
            first.columns + (self.columns - 1) * first.right,
            first.down * self.down,
            first.right * self.right,
            self.own and first.own,
        )


@dataclass(frozen=True)
class Column:
    """Layers that are drawn as one, and what the last of them gave.

    Attributes:
        layers: Their names.
        kinds: Their types.
        shape: (rows, columns, channels) or (units,).
        maps: The first of them, int8 (count, rows, columns); of a vector (count, 1, 1). Thinned out by ``step``.
        step: Every how many rows and columns a map shows one.
        reach: Its windows on the column before; None where every value sees everything, or it is not known.
        sums: (count, maps of the column before) float64, what flows from there; None where it is not known.
        sizes: The same without signs.
    """

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    maps: np.ndarray
    step: int
    reach: Reach | None = None
    sums: np.ndarray | None = None
    sizes: np.ndarray | None = None


@dataclass(frozen=True)
class Diagram:
    """A network and a picture.

    Attributes:
        pixels: (height, width, channels) uint8.
        columns: From the first layer behind the normalisation to the last hidden one.
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
    given: LayerOutput

    @property
    def kind(self) -> str:
        return self.given.kind

    @property
    def is_linear(self) -> bool:
        """Whether what flows into it can be told apart by channels."""
        return self.kind in _MIXES

    @property
    def changes_nothing_else(self) -> bool:
        """Whether each channel that goes out comes from that channel alone."""
        return self.kind not in _MIXES and not is_backbone(self.layer)


def diagram_of(model: Any, pixels: np.ndarray, outputs: Sequence[LayerOutput]) -> Diagram:
    """The picture of a network.

    Args:
        model: A ``keras.Sequential``: raw pixels in, probabilities out.
        pixels: One picture, (height, width, channels) uint8.
        outputs: Of all layers, from ``activations``.
    """
    steps = _steps(model, pixels, outputs)
    *hidden, last = _groups(steps)
    count = MAPS_OF_FEW if len(hidden) <= MOST_COLUMNS else MAPS_OF_MANY
    columns: list[Column] = []
    for group in hidden:
        columns.append(_column(group, columns[-1] if columns else None, count))
    answer = outputs[-1].output.astype(np.float64)
    probabilities = answer if len(answer) > 1 else np.concatenate([1 - answer, answer])
    likeliest = np.argsort(-probabilities, kind="stable")[:MOST_CLASSES]
    classes = tuple(sorted(int(i) for i in likeliest))
    units = classes if len(answer) > 1 else (0,)
    flow = _flow(last, columns[-1] if columns else None, units)
    sums, sizes = (None, None) if flow is None else (flow.sums, flow.sizes)
    if len(answer) == 1 and sums is not None and sizes is not None:
        # One unit: what speaks for the second class speaks against the first.
        sums, sizes = np.concatenate([-sums, sums]), np.concatenate([sizes, sizes])
    names = tuple(step.given.name for step in last)
    return Diagram(
        pixels, tuple(columns), names, len(answer), classes, probabilities[list(classes)], sums, sizes
    )


def _steps(model: Any, pixels: np.ndarray, outputs: Sequence[LayerOutput]) -> list[_Step]:
    """Without what comes before the first layer that does more than scale; Flatten is left to the next layer."""
    steps, before = [], pixels.astype(np.float32)
    for layer, given in zip(model.layers, outputs, strict=True):
        if given.kind in _FLATTENS:
            continue
        same = given.kind not in _MIXES and given.output.size == before.size
        output = given.output.reshape(before.shape) if same else given.output
        steps.append(_Step(layer, before, replace(given, output=output)))
        before = output
    first = next((i for i, step in enumerate(steps) if step.kind != "Rescaling"), len(steps))
    return steps[first:]


def _groups(steps: Sequence[_Step]) -> list[list[_Step]]:
    """Layers that are drawn as one column; the last are the output."""
    groups = _grouped(steps, (*_MIXES, *_POOLS, *_COLLECTS))
    if len(groups) - 1 > MOST_COLUMNS:
        groups = _grouped(steps, (*_MIXES, *_COLLECTS))
    if len(groups) - 1 > MOST_FOLDED:
        *hidden, last = groups
        by_size: list[list[_Step]] = []
        for group in hidden:
            shape = group[-1].given.output.shape[:-1]
            if by_size and by_size[-1][-1].given.output.shape[:-1] == shape:
                by_size[-1].extend(group)
            else:
                by_size.append(list(group))
        groups = [*by_size, last]
    return groups


def _grouped(steps: Sequence[_Step], beginning: Sequence[str]) -> list[list[_Step]]:
    """Each group begins with a layer of these kinds, or with a backbone."""
    groups: list[list[_Step]] = []
    for step in steps:
        if not groups or step.kind in beginning or is_backbone(step.layer):
            groups.append([])
        groups[-1].append(step)
    return groups


def _column(group: Sequence[_Step], before: Column | None, count: int) -> Column:
    given = group[-1].given.output
    shown = min(count, given.shape[-1])
    maps = np.moveaxis(given, -1, 0)[:shown] if given.ndim == 3 else given[:shown, np.newaxis, np.newaxis]
    flow = _flow(group, before, range(shown))
    return Column(
        tuple(step.given.name for step in group),
        tuple(step.kind for step in group),
        given.shape,
        small(maps, given).maps,
        -(-max(maps.shape[1:]) // SMALL),
        _reach(group),
        None if flow is None else flow.sums,
        None if flow is None else flow.sizes,
    )


def _flow(group: Sequence[_Step], before: Column | None, outputs: Sequence[int]) -> Contributions | None:
    """What the maps that are shown before contribute; None where several layers mix them, or one that hides how."""
    first = group[0]
    if not all(step.changes_nothing_else for step in group[1:]):
        return None
    if before is None:
        shown = [list(range(first.before.shape[-1]))]  # the picture is one
    else:
        shown = [[channel] for channel in range(len(before.maps))]
    if first.is_linear:
        return contributions(first.layer, first.before, shown, outputs)
    if is_backbone(first.layer):
        return None
    # Each map goes on alone, as in pooling.
    sizes = np.zeros((len(outputs), len(shown)))
    for j, output in enumerate(outputs):
        for i, channels in enumerate(shown):
            if output in channels:
                sizes[j, i] = np.abs(first.given.output[..., output]).sum()
    return Contributions(sizes, sizes)


def _reach(group: Sequence[_Step]) -> Reach | None:
    reach: Reach | None = None
    for step in group:
        one = _reach_of(step)
        if one is None:
            return None
        reach = one if reach is None else one.after(reach)
    return reach


def _reach_of(step: _Step) -> Reach | None:
    layer, kind = step.layer, step.kind
    if step.before.ndim != 3 or step.given.output.ndim != 3 or is_backbone(layer):
        return None
    if kind in ("Conv2D", "DepthwiseConv2D"):
        size, dilation = layer.kernel_size, layer.dilation_rate
        if tuple(dilation) != (1, 1):
            return None
    elif kind in _POOLS:
        size = layer.pool_size
    elif step.before.shape == step.given.output.shape:
        return Reach(0, 0, 1, 1, 1, 1, own=True)
    else:
        return None
    shape = (step.before.shape[0], step.before.shape[1])
    first = window_at((0, 0), shape, tuple(size), tuple(layer.strides), layer.padding)
    down, right = layer.strides
    return Reach(first.top, first.left, first.height, first.width, down, right, own=kind != "Conv2D")
