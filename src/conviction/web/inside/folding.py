"""Which layers of a network are drawn as one column, so that any network fits a screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Beyond these numbers of columns, pooling is drawn with the convolution before it, and then all layers of one size
# become one column; the picture fits a screen in any case.
MOST_COLUMNS = 6
MOST_FOLDED = 10
# Maps that a column shows, where there are few columns and where there are many.
MAPS_OF_FEW, MAPS_OF_MANY = 16, 8

POOLS = ("MaxPooling2D", "AveragePooling2D")
FLATTENS = ("Flatten", "Reshape")
GLOBAL_POOLS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
# Each value that goes out comes from the value at the same place, of the same channel.
POINTWISE = (
    *(
        "Rescaling",
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "Identity",
        "BatchNormalization",
        "LayerScale",
    ),
    *("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise", "StochasticDepth"),
)
# From all channels at the same place.
ACROSS_CHANNELS = ("LayerNormalization", "UnitNormalization", "Softmax")
# These are drawn with the layer before them.
JOINS = (*POINTWISE, *ACROSS_CHANNELS, "GroupNormalization", "ZeroPadding2D")


@dataclass(frozen=True)
class PlainLayer:
    """What folding needs to know of a layer.

    Attributes:
        name: Its name.
        kind: Its type.
        shape: Of its output, without the batch axis.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Fold:
    """Layers that are drawn as one.

    Attributes:
        layers: In their order.
        numbers: Their indices in the network.
        count: How many maps, or units, are shown.
    """

    layers: tuple[PlainLayer, ...]
    numbers: tuple[int, ...]
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what they give: (rows, columns, channels), or (units,)."""
        return self.layers[-1].shape


def fold(layers: Sequence[PlainLayer]) -> list[Fold]:
    """The columns of a network; the last one is the answer.

    Rescaling counts as part of the picture. Flatten only changes the shape, so it has no column.

    >>> shapes = [(28, 28, 1), (26, 26, 8), (26, 26, 8), (5408,), (10,)]
    >>> kinds = ["Rescaling", "Conv2D", "Activation", "Flatten", "Dense"]
    >>> names = ["normalise", "conv_1", "activation_1", "flatten_1", "output"]
    >>> [[one.name for one in each.layers] for each in fold(list(map(PlainLayer, names, kinds, shapes)))]
    [['conv_1', 'activation_1'], ['output']]
    """
    kept = _without_reshaping(layers)
    groups = _grouped(kept, JOINS)
    if len(groups) - 1 > MOST_COLUMNS:
        groups = _grouped(kept, (*JOINS, *POOLS))
    if len(groups) - 1 > MOST_FOLDED:
        *hidden, last = groups
        by_size: list[list[tuple[int, PlainLayer]]] = []
        for group in hidden:
            if by_size and by_size[-1][-1][1].shape[:-1] == group[-1][1].shape[:-1]:
                by_size[-1].extend(group)
            else:
                by_size.append(list(group))
        groups = [*by_size, last]
    most = MAPS_OF_FEW if len(groups) - 1 <= MOST_COLUMNS else MAPS_OF_MANY
    return [
        Fold(tuple(one for _, one in group), tuple(n for n, _ in group), min(most, group[-1][1].shape[-1]))
        for group in groups
    ]


def _without_reshaping(layers: Sequence[PlainLayer]) -> list[tuple[int, PlainLayer]]:
    """(index, layer); those after Flatten that keep its values get the shape from before it."""
    kept: list[tuple[int, PlainLayer]] = []
    for number, one in enumerate(layers):
        if one.kind in FLATTENS or (not kept and one.kind == "Rescaling"):
            continue
        before = kept[-1][1].shape if kept else one.shape
        same = one.kind in JOINS and math.prod(one.shape) == math.prod(before)
        kept.append((number, PlainLayer(one.name, one.kind, before if same else one.shape)))
    return kept


def _grouped(
    layers: Sequence[tuple[int, PlainLayer]], joining: Sequence[str]
) -> list[list[tuple[int, PlainLayer]]]:
    """Layers of these kinds join the group of the layer before them."""
    groups: list[list[tuple[int, PlainLayer]]] = []
    for number, one in layers:
        if not groups or one.kind not in joining:
            groups.append([])
        groups[-1].append((number, one))
    return groups
