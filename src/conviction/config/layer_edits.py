"""Edits of a network: from one list of layers to another. An edit that has nothing to change returns the same list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conviction.config.model import (
    MOMENTUM,
    MOST_LAYERS,
    MOST_UNITS,
    ActivationLayer,
    AveragePooling2D,
    Backbone,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Whitening,
)

Layers = tuple[Layer, ...]
Kinds = type[Layer] | tuple[type[Layer], ...]

POOLINGS: tuple[type[Layer], ...] = (MaxPooling2D, AveragePooling2D)
# Layers that follow a convolution and belong to it.
_OF_A_CONVOLUTION = (BatchNormalization, ActivationLayer)


def head(layers: Layers) -> int:
    """Where feature maps end: the index of the first layer that turns them into a vector, or the number of layers."""
    heads = (i for i, x in enumerate(layers) if isinstance(x, Flatten | GlobalAveragePooling2D))
    return next(heads, len(layers))


def backbone(layers: Layers) -> Backbone | None:
    """The backbone that the network begins with; None if it has none."""
    first = layers[0] if layers else None
    return first if isinstance(first, Backbone) else None


def beginning(layers: Layers) -> int:
    """Where the first layer can be that an edit adds, moves or removes: nothing comes before a backbone."""
    return 1 if backbone(layers) else 0


def insert(layers: Layers, at: int, layer: Layer) -> Layers:
    """With this layer at number ``at``, or right after what the network begins with: a backbone, or a whitening."""
    whitened = bool(layers) and isinstance(layers[0], Whitening)
    at = 0 if isinstance(layer, Whitening) else max(at, beginning(layers), int(whitened))
    return (*layers[:at], layer, *layers[at:])


def remove(layers: Layers, at: int) -> Layers:
    """Without the layer at number ``at``; the last one stays, because a network needs one, and so does a backbone."""
    if at < beginning(layers):
        return layers
    return (*layers[:at], *layers[at + 1 :]) or layers


def move(layers: Layers, at: int, by: int) -> Layers:
    """With the layer at number ``at`` moved by ``by`` positions, as far as the ends and a backbone allow."""
    if at < beginning(layers):
        return layers
    rest = (*layers[:at], *layers[at + 1 :])
    return insert(rest, max(0, min(len(rest), at + by)), layers[at])


def each(layers: Layers, kinds: Kinds, change: Callable[[Any], Layer]) -> Layers:
    """With every layer of these kinds changed."""
    return tuple(change(x) if isinstance(x, kinds) else x for x in layers)


def with_settings(layers: Layers, kinds: Kinds, **settings: Any) -> Layers:
    """With these settings, which must be valid, in every layer of these kinds."""
    return each(layers, kinds, lambda x: x.model_copy(update=settings))


def enlarged(layers: Layers, kinds: Kinds, field: str, by: int) -> Layers:
    """With a size, such as ``kernel_size``, larger by ``by`` rows and columns in every layer of these kinds."""
    return each(
        layers, kinds, lambda x: x.model_copy(update={field: tuple(n + by for n in getattr(x, field))})
    )


def multiplied(layers: Layers, kinds: Kinds, field: str, factor: float) -> Layers:
    """With ``filters`` or ``units`` times a factor, within what a layer may have."""

    def change(layer: Any) -> Layer:
        count = max(1, min(MOST_UNITS, round(getattr(layer, field) * factor)))
        changed: Layer = layer.model_copy(update={field: count})
        return changed

    return each(layers, kinds, change)


def blocks(layers: Layers) -> list[int]:
    """Where blocks of convolutions begin; the last ends at ``head``.

    At a convolution that follows anything but a convolution with its normalisation and activation, or that is pooled
    before these, as with ``model.pool_first``.
    """
    maps = layers[: head(layers)]
    starts, fresh = [], True
    for i, layer in enumerate(maps):
        if isinstance(layer, Conv2D) and (fresh or _pooled_first(maps[i + 1 : i + 3])):
            starts.append(i)
        fresh = not isinstance(layer, (Conv2D, *_OF_A_CONVOLUTION))
    return starts


def _pooled_first(following: Layers) -> bool:
    return (
        len(following) == 2
        and isinstance(following[0], POOLINGS)
        and isinstance(following[1], _OF_A_CONVOLUTION)
    )


def another_block(layers: Layers, times: float = 1) -> Layers:
    """With the last block repeated, with ``times`` as many filters."""
    starts, end = blocks(layers), head(layers)
    block = layers[starts[-1] : end] if starts else ()
    return _allowed((*layers[:end], *multiplied(block, Conv2D, "filters", times), *layers[end:]), layers)


def without_last_block(layers: Layers) -> Layers:
    """Without the last block, if it is not the only one."""
    starts = blocks(layers)
    return (*layers[: starts[-1]], *layers[head(layers) :]) if len(starts) > 1 else layers


def convolutions_twice(layers: Layers) -> Layers:
    """With each convolution twice, with the norm and activation that follow it, padded so that both fit."""
    out: list[Layer] = []
    i = 0
    while i < len(layers):
        end = i + 1
        if isinstance(layers[i], Conv2D):
            while end < len(layers) and isinstance(layers[end], _OF_A_CONVOLUTION):
                end += 1
            first = with_settings(layers[i:end], Conv2D, padding="same")
            out += [*first, *with_settings(first, Conv2D, strides=(1, 1))]
        else:
            out.append(layers[i])
        i = end
    return _allowed(tuple(out), layers)


def another_dense(layers: Layers) -> Layers:
    """With the last dense layer twice; with one of 128 units at the end where there is none."""
    dense = [i for i, x in enumerate(layers) if isinstance(x, Dense)]
    at = dense[-1] + 1 if dense else len(layers)
    added = layers[dense[-1]] if dense else Dense(units=128, activation="relu")
    return _allowed(insert(layers, at, added), layers)


def without_dense(layers: Layers) -> Layers:
    """Without dense layers, unless there is nothing else."""
    return tuple(x for x in layers if not isinstance(x, Dense)) or layers


def normalised(layers: Layers, *, before: bool = True) -> Layers:
    """With batch normalisation of every convolution, before its activation and in the place of its bias, or after it.

    Changes nothing where there is some already.
    """
    if any(isinstance(x, BatchNormalization) for x in layers):
        return layers
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
    return _allowed(tuple(out), layers)


def dropped_out(layers: Layers, pooled: float, dense: float) -> Layers:
    """With dropout of these rates after pooling and after hidden dense layers, and without any other dropout."""
    out: list[Layer] = []
    for x in layers:
        if isinstance(x, Dropout):
            continue
        out.append(x)
        rate = pooled if isinstance(x, POOLINGS) else dense if isinstance(x, Dense) else 0.0
        if rate:
            out.append(Dropout(rate=rate))
    return _allowed(tuple(out), layers)


def _allowed(after: Layers, before: Layers) -> Layers:
    return after if len(after) <= MOST_LAYERS else before
