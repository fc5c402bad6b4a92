"""Networks that have learned on other pictures: building them, finding their weights, and how much of them learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.config.model import Backbone, WeightsRecord
from conviction.model.backbones.kinds import KINDS, SIZE, STRIDE, Kind, learned_from
from conviction.model.backbones.weights import find_weights, load_weights, missing_weights, record_of

if TYPE_CHECKING:
    import keras

__all__ = [
    "KINDS",
    "SIZE",
    "STRIDE",
    "Kind",
    "build_backbone",
    "learned_from",
    "missing_weights",
    "weights_record",
]


def build_backbone(spec: Backbone, shape: tuple[int, int, int], dtype: str | None = None) -> keras.Model:
    """The pretrained network up to its last maps, of which as much learns as the specification says.

    Args:
        spec: Its name, and what learns.
        shape: (height, width, 3), multiples of 32.
        dtype: The policy of its layers; None for float32.

    Returns:
        A functional model from (n, h, w, 3), scaled as the kind says, to (n, h / 32, w / 32, features).

    Raises:
        WeightsError: The weights were not found, or are not the published ones.
    """
    kind = KINDS[spec.name]
    model = kind.build(shape, dtype)
    load_weights(model, kind, find_weights(kind))
    freeze(model, kind, spec)
    return model


def weights_record(spec: Backbone) -> WeightsRecord:
    """Which file the weights of a backbone are from.

    Raises:
        WeightsError: It was not found, or is not the published one.
    """
    kind = KINDS[spec.name]
    return record_of(kind, find_weights(kind))


def freeze(model: keras.Model, kind: Kind, spec: Backbone) -> None:
    """Makes exactly those layers trainable that the specification names; batch normalisation never is."""
    model.trainable = True
    starts = kind.blocks(model)
    first = {"head": len(model.layers), "all": 0}.get(str(spec.trainable))
    if first is None:
        first = starts[-int(spec.trainable)]
    for index, layer in enumerate(model.layers):
        learns = index >= first
        for part in _parts(layer):
            part.trainable = learns and type(part).__name__ != "BatchNormalization"


def _parts(layer: keras.Layer) -> list[keras.Layer]:
    """A layer, or the layers that it is made of."""
    return [part for inner in layer.layers for part in _parts(inner)] if hasattr(layer, "layers") else [layer]
