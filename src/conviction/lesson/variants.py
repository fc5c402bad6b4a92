"""How a change of one hyperparameter affects the arithmetic of a network, without training anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conviction.config import ModelSpec
from conviction.config.model import (
    MOMENTUM,
    ActivationLayer,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
)
from conviction.errors import RequestError
from conviction.model import LayerRow, walk
from conviction.model.shapes import Shape

Layers = Sequence[Layer]


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
        rows = walk(ModelSpec(layers=tuple(change(spec.layers))), shape, classes)
    except RequestError:
        rows = []
    return Variant(words, tuple(rows))


def _scaled(layers: Layers, factor: float) -> list[Layer]:
    return [
        x.model_copy(update={"filters": max(1, int(x.filters * factor))}) if isinstance(x, Conv2D) else x
        for x in layers
    ]


def _kernels(layers: Layers) -> list[Layer]:
    return [
        x.model_copy(update={"kernel_size": (x.kernel_size[0] + 2, x.kernel_size[1] + 2)})
        if isinstance(x, Conv2D)
        else x
        for x in layers
    ]


def _pools(layers: Layers) -> list[Layer]:
    return [
        x.model_copy(update={"pool_size": (x.pool_size[0] + 1, x.pool_size[1] + 1)})
        if isinstance(x, MaxPooling2D | AveragePooling2D)
        else x
        for x in layers
    ]


def _head(layers: Layers) -> int:
    """Where the maps end."""
    heads = (i for i, x in enumerate(layers) if isinstance(x, Flatten | GlobalAveragePooling2D))
    return next(heads, len(layers))


def _another_block(layers: Layers) -> list[Layer]:
    """Everything from the last pooling's own block once more; the last convolution alone where nothing is pooled."""
    end = _head(layers)
    pools = [i for i in range(end) if isinstance(layers[i], MaxPooling2D | AveragePooling2D)]
    begin = pools[-2] + 1 if len(pools) > 1 else 0
    return [*layers[:end], *layers[begin:end], *layers[end:]]


def _another_dense(layers: Layers) -> list[Layer]:
    dense = [i for i, x in enumerate(layers) if isinstance(x, Dense)]
    at = dense[0] if dense else _head(layers)
    added = layers[at] if dense else Dense(units=128, activation="relu")
    return [*layers[: at + 1], added, *layers[at + 1 :]]


def normalised(layers: Layers, *, before: bool = True) -> list[Layer]:
    """Batch normalisation of every convolution, before its activation and in the place of its bias, or after it.

    Changes nothing where there is some already.
    """
    if any(isinstance(x, BatchNormalization) for x in layers):
        return list(layers)
    norm = BatchNormalization(momentum=MOMENTUM)
    out: list[Layer] = []
    for x in layers:
        if not isinstance(x, Conv2D):
            out.append(x)
        elif before:
            out += [x.model_copy(update={"use_bias": False, "activation": None}), norm]
            out += [ActivationLayer(activation=x.activation)] if x.activation else []
        else:
            out += [x, norm]
    return out


CHANGES: dict[str, tuple[str, Callable[[Layers], list[Layer]]]] = {
    "filters": ("twice the filters", lambda layers: _scaled(layers, 2)),
    "fewer filters": ("half the filters", lambda layers: _scaled(layers, 0.5)),
    "kernel": ("kernels two pixels larger", _kernels),
    "pooling": ("pooling windows one larger", _pools),
    "block": ("one more block", _another_block),
    "dense": ("one more dense layer", _another_dense),
    "batch_norm": ("batch normalisation", normalised),
}
