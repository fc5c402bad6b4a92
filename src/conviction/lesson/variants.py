"""How a change of one hyperparameter affects the arithmetic of a network, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conviction.config import ModelSpec
from conviction.config.layer_edits import (
    POOLINGS,
    Layers,
    another_block,
    another_dense,
    enlarged,
    multiplied,
    normalised,
)
from conviction.config.model import Conv2D
from conviction.errors import RequestError
from conviction.model import LayerRow, walk
from conviction.model.shapes import Shape


@dataclass(frozen=True)
class Variant:
    """A network with one thing changed.

    Attributes:
        change: The change in words.
        rows: As ``model.walk`` gives them; empty if the changed network does not fit the images.
    """

    change: str
    rows: tuple[LayerRow, ...]

    @property
    def fits(self) -> bool:
        """Whether such a network can be built for these images."""
        return bool(self.rows)

    @property
    def params(self) -> int:
        """All its parameters."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.multiply_adds for row in self.rows)


def variant(name: str, spec: ModelSpec, shape: Shape, classes: int) -> Variant:
    """The network after the change of this name, one of ``CHANGES``."""
    words, change = CHANGES[name]
    try:
        rows = walk(ModelSpec(layers=change(spec.layers)), shape, classes)
    except RequestError:
        rows = []
    return Variant(words, tuple(rows))


CHANGES: dict[str, tuple[str, Callable[[Layers], Layers]]] = {
    "filters": ("twice the filters", lambda layers: multiplied(layers, Conv2D, "filters", 2)),
    "fewer filters": ("half the filters", lambda layers: multiplied(layers, Conv2D, "filters", 0.5)),
    "kernel": ("kernels two pixels larger", lambda layers: enlarged(layers, Conv2D, "kernel_size", 2)),
    "pooling": (
        "pooling windows one position larger",
        lambda layers: enlarged(layers, POOLINGS, "pool_size", 1),
    ),
    "block": ("one more block", another_block),
    "dense": ("one more dense layer", another_dense),
    "batch_norm": ("batch normalisation", normalised),
}
