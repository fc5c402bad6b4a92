"""One picture through the network, layer by layer, with everything that the layers gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class LayerOutput:
    """What one layer gave for one picture.

    Attributes:
        name: Of the layer, as ``conviction summary`` shows it.
        kind: The layer's type, such as ``Conv2D``.
        output: float32 without the batch axis: (rows, columns, channels), or (units,).
    """

    name: str
    kind: str
    output: np.ndarray


def activations(model: keras.Sequential, pixels: np.ndarray) -> list[LayerOutput]:
    """The output of every layer, in inference mode and in one forward pass.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.

    Returns:
        One entry per layer, normalisation first and probabilities last.

    Raises:
        RequestError: The picture does not have the shape or type that the network takes.
    """
    return outputs(model, pixels, len(model.layers))


def outputs(model: keras.Sequential, pixels: np.ndarray, count: int) -> list[LayerOutput]:
    """The same for the first ``count`` layers only."""
    check_pixels(model, pixels)
    convert = import_keras().ops.convert_to_numpy
    value: Any = pixels[np.newaxis]  # (h, w, c) -> (1, h, w, c)
    layer_outputs = []
    for layer in model.layers[:count]:
        value = layer(value, training=False)
        # Without the batch axis, and float32 even where the layer computes in bfloat16.
        output = np.asarray(convert(value)[0], np.float32)
        layer_outputs.append(LayerOutput(layer.name, type(layer).__name__, output))
    return layer_outputs


def filters(model: keras.Sequential, layer: str | None = None) -> np.ndarray:
    """The learned kernels of a convolution.

    Args:
        model: As for ``activations``.
        layer: Name of a convolution; by default the first.

    Returns:
        (kernel rows, kernel columns, input channels, filters) float32.

    Raises:
        RequestError: There is no such layer, it is not a convolution, or the network has none.
    """
    every = convolutions(model)
    if layer is not None:
        chosen = model.layers[layer_number(model, layer)]
        if chosen not in every:
            raise RequestError(
                f"{layer}: expected a convolution; this is {type(chosen).__name__}. "
                f"Convolutions here: {', '.join(c.name for c in every) or 'none'}."
            )
    elif every:
        chosen = every[0]
    else:
        raise RequestError("the network has no convolution, so there are no filters to show.")
    return np.asarray(import_keras().ops.convert_to_numpy(chosen.kernel), np.float32)


def convolutions(model: keras.Sequential) -> list[Any]:
    """The convolutions of a network, in their order."""
    return [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]


def layer_number(model: keras.Sequential, name: str) -> int:
    """The index of a layer in ``model.layers``.

    Raises:
        RequestError: There is none of this name; the message lists those that exist.
    """
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise RequestError(
            f"{name}: the network has no such layer.{did_you_mean(name, names)} Its layers: {', '.join(names)}."
        )
    return names.index(name)


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
