"""One picture through the network, layer by layer, with everything that the layers gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.inside import NamedLayer, find_layer, is_backbone, named_layers, plain

if TYPE_CHECKING:
    import keras

# A sentence with more names than this is not read.
MOST_NAMED = 20


@dataclass(frozen=True)
class LayerOutput:
    """What one layer gave for one picture.

    Attributes:
        name: Of the layer, as ``conviction summary`` shows it.
        kind: The layer's type, such as ``Conv2D``.
        output: float32 without the batch axis: (rows, columns, channels), or (units,).
        inside: The names of the layers that a backbone is made of; empty for other layers.
    """

    name: str
    kind: str
    output: np.ndarray
    inside: tuple[str, ...] = ()


def activations(model: keras.Sequential, pixels: np.ndarray) -> list[LayerOutput]:
    """The output of every layer, in inference mode and in one forward pass.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.

    Returns:
        One entry per layer, normalisation first and probabilities last; of a backbone its last maps.

    Raises:
        RequestError: The picture does not have the shape or type that the network takes.
    """
    return outputs(model, pixels, len(model.layers))


def outputs(model: keras.Sequential, pixels: np.ndarray, count: int) -> list[LayerOutput]:
    """The same for the first ``count`` layers only."""
    check_pixels(model, pixels)
    value: Any = pixels[np.newaxis]  # (h, w, c) -> (1, h, w, c)
    layer_outputs = []
    for number, layer in enumerate(model.layers[:count]):
        value = layer(value, training=False)
        kind = type(layer).__name__
        inside: tuple[str, ...] = ()
        if is_backbone(layer):
            every = named_layers(model)
            kind = "Backbone"
            inside = tuple(name for name, one in every.items() if one.number == number and name != layer.name)
        layer_outputs.append(LayerOutput(layer.name, kind, plain(value), inside))
    return layer_outputs


def filters(model: keras.Sequential, layer: str | None = None) -> np.ndarray:
    """The learned kernels of a convolution.

    Args:
        model: As for ``activations``.
        layer: Name of a convolution; by default the first, also if that is inside a backbone.

    Returns:
        (kernel rows, kernel columns, input channels, filters) float32.

    Raises:
        RequestError: There is no such layer, it is not a convolution, or the network has none.
    """
    every = convolutions(model)
    if layer is not None:
        chosen = find_layer(model, layer)
        if chosen.kind != "Conv2D":
            few = ", ".join(c.name for c in every[:MOST_NAMED]) or "none"
            more = f", and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
            raise RequestError(
                f"{layer}: expected a convolution; this is {chosen.kind}. Convolutions here: {few}{more}."
            )
    elif every:
        chosen = every[0]
    else:
        raise RequestError("the network has no convolution, so there are no filters to show.")
    return np.asarray(import_keras().ops.convert_to_numpy(chosen.layer.kernel), np.float32)


def convolutions(model: keras.Sequential) -> list[NamedLayer]:
    """The convolutions of a network, those inside a backbone too, in their order."""
    return [one for one in named_layers(model).values() if one.kind == "Conv2D"]


def check_pixels(model: keras.Sequential, pixels: np.ndarray) -> None:
    """Refuses pixels that the network would misread.

    Raises:
        RequestError: Not uint8, or not of the network's input shape.
    """
    expected = tuple(model.input_shape[1:])
    if pixels.dtype != np.uint8 or pixels.shape != expected:
        raise RequestError(
            f"pixels: expected one picture (height, width, channels) = {expected} of type uint8, 0 to 255; "
            f"got shape {pixels.shape} of type {pixels.dtype}. run.rule says how pictures are decoded for it."
        )
