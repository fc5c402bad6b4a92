"""The lab's questions about the network, asked of any list of layers instead of the lab's shorthand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from conviction.config.model import (
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

Layers = tuple[Layer, ...]
Change = Callable[[Layers], Layers]
MOST_UNITS = 65_536


def _each(kind: type[Layer] | tuple[type[Layer], ...], change: Callable[[Any], Layer]) -> Change:
    return lambda layers: tuple(change(x) if isinstance(x, kind) else x for x in layers)


def _times(kind: type[Layer], field: str, factor: float) -> Change:
    def change(layer: Any) -> Layer:
        many = max(1, min(MOST_UNITS, round(getattr(layer, field) * factor)))
        changed: Layer = layer.model_copy(update={field: many})
        return changed

    return _each(kind, change)


def _with(kind: type[Layer] | tuple[type[Layer], ...], **fields: Any) -> Change:
    return _each(kind, lambda layer: layer.model_copy(update=fields))


def _average(layer: MaxPooling2D) -> Layer:
    return AveragePooling2D(pool_size=layer.pool_size, padding=layer.padding)


def _head(layers: Layers) -> int:
    """Where feature maps end: the index of the first layer that turns them into a vector."""
    ends = (i for i, x in enumerate(layers) if isinstance(x, Flatten | GlobalAveragePooling2D))
    return next(ends, len(layers))


def _blocks(layers: Layers) -> list[int]:
    """Where blocks begin: at each convolution, unless only norm and activation separate it from the one before."""
    starts, fresh = [], True
    for i, layer in enumerate(layers[: _head(layers)]):
        if isinstance(layer, Conv2D) and fresh:
            starts.append(i)
        fresh = not isinstance(layer, Conv2D | BatchNormalization | ActivationLayer)
    return starts


def _block_fewer(layers: Layers) -> Layers:
    starts = _blocks(layers)
    return (*layers[: starts[-1]], *layers[_head(layers) :]) if len(starts) > 1 else layers


def _block_more(layers: Layers) -> Layers:
    starts, head = _blocks(layers), _head(layers)
    if not starts:
        return layers
    return (*layers[:head], *_times(Conv2D, "filters", 2)(layers[starts[-1] : head]), *layers[head:])


def _two_a_block(layers: Layers) -> Layers:
    """Doubles each convolution with the norm and activation that follow it, padded so that both fit."""

    def repeated() -> Iterator[Layer]:
        i = 0
        while i < len(layers):
            end = i + 1
            if isinstance(layers[i], Conv2D):
                while end < len(layers) and isinstance(layers[end], BatchNormalization | ActivationLayer):
                    end += 1
                first = _with(Conv2D, padding="same")(layers[i:end])
                yield from first
                yield from _with(Conv2D, strides=(1, 1))(first)
            else:
                yield layers[i]
            i = end

    return tuple(repeated())


def _without_dense(layers: Layers) -> Layers:
    return tuple(x for x in layers if not isinstance(x, Dense)) or layers


def _dense_more(layers: Layers) -> Layers:
    places = [i for i, x in enumerate(layers) if isinstance(x, Dense)]
    if not places:
        return (*layers, Dense(units=128, activation="relu"))
    return (*layers[: places[-1] + 1], layers[places[-1]], *layers[places[-1] + 1 :])


# Changes of the layers with their labels, by question. A change without effect is the base itself, and is not tried.
CHANGES: dict[str, tuple[tuple[str, Change], ...]] = {
    "filters": (
        ("half the filters", _times(Conv2D, "filters", 0.5)),
        ("twice the filters", _times(Conv2D, "filters", 2)),
    ),
    "kernel": (
        ("5x5 kernels", _with(Conv2D, kernel_size=(5, 5))),
        ("2x2 kernels", _with(Conv2D, kernel_size=(2, 2))),
    ),
    "pooling": (
        ("3x3 pooling", _with((MaxPooling2D, AveragePooling2D), pool_size=(3, 3))),
        ("average pooling", _each(MaxPooling2D, _average)),
    ),
    "depth": (
        ("one block fewer", _block_fewer),
        ("one block more, of twice the filters", _block_more),
        ("every convolution twice", _two_a_block),
    ),
    "dense": (
        ("no dense layer", _without_dense),
        ("one dense layer more", _dense_more),
        ("four times the units", _times(Dense, "units", 4)),
    ),
}
