"""The shape walk: what every layer turns its input into, and what that costs, without Keras.

Sizes follow Keras: with ``valid`` padding floor((n - k) / s) + 1, with ``same`` ceil(n / s).
The receptive field of a layer is that of Dumoulin and Visin (2016, "A guide to convolution arithmetic for
deep learning"): it grows by (k - 1) times the product of all strides before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from conviction.config.layer_edits import remove, with_settings
from conviction.config.model import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    ModelSpec,
)
from conviction.errors import MisfitError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """One line of the summary.

    Attributes:
        name: As in the Keras model.
        kind: The layer's type.
        setting: Its settings in words, such as ``32 filters 3x3, relu``.
        output: Shape of its output without the batch axis.
        params: All its parameters, of which ``trainable`` are learned.
        multiply_adds: Multiply-accumulate operations for one image (of convolutions and dense layers).
        receptive_field: (rows, columns) of input pixels that one output value can see; None after Flatten.
    """

    name: str
    kind: str
    setting: str
    output: Shape
    params: int
    trainable: int
    multiply_adds: int
    receptive_field: tuple[int, int] | None


class _DoesNotFit(Exception):
    """A layer cannot take its input; ``_walk`` adds where that is and what led to it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy
        self.index = 0
        self.chain: list[str] = []


def walk(spec: ModelSpec, input_shape: Shape, classes: int) -> list[LayerRow]:
    """Follows one image through the network.

    Args:
        spec: The hidden layers.
        input_shape: (height, width, channels) in pixels.
        classes: At least 2; two classes get one sigmoid unit, more get a softmax over all.

    Returns:
        One row per layer, normalisation first and output last.

    Raises:
        MisfitError: A layer does not fit. The message names the chain of shapes, the layer, and a change that fits.
    """
    try:
        return _walk(spec.layers, input_shape, classes)
    except _DoesNotFit as misfit:
        remedy = misfit.remedy or _advice(spec, input_shape, classes, misfit.index)
        raise MisfitError(
            f"model.layers.{misfit.index} ({spec.layers[misfit.index].type}): {misfit.reason}. "
            f"Shapes: {' -> '.join(misfit.chain)}. {remedy}",
            misfit.index,
            misfit.reason,
            tuple(misfit.chain),
        ) from None


def _walk(layers: Sequence[Layer], input_shape: Shape, classes: int) -> list[LayerRow]:
    names: dict[str, int] = {}
    shape, field, jump = input_shape, (1, 1), (1, 1)
    rows = [LayerRow("normalise", "Rescaling", "x / 255", shape, 0, 0, 0, field)]
    chain = [_text(shape)]
    for index, layer in enumerate(layers):
        window, strides = _window(layer)
        before = shape
        try:
            shape = _output(layer, shape)
        except _DoesNotFit as misfit:
            misfit.index, misfit.chain = index, chain
            raise
        if window is not None:
            field = (field[0] + (window[0] - 1) * jump[0], field[1] + (window[1] - 1) * jump[1])
            jump = (jump[0] * strides[0], jump[1] * strides[1])
        chain.append(f"{layer.type} {_text(shape)}")
        params, trainable, macs = _cost(layer, before, shape)
        visible = field if len(shape) == 3 else None
        name = _name(layer, names)
        rows.append(LayerRow(name, layer.type, setting(layer), shape, params, trainable, macs, visible))
    if len(shape) != 1:
        unfinished = _DoesNotFit("the last hidden layer must give one vector per image", _ADD_FLATTEN)
        unfinished.index, unfinished.chain = len(layers) - 1, chain
        raise unfinished
    units = 1 if classes == 2 else classes
    params = shape[0] * units + units
    last = f"{units} unit{'s' if units > 1 else ''}, {'sigmoid' if units == 1 else 'softmax'}"
    rows.append(LayerRow("output", "Dense", last, (units,), params, params, shape[0] * units, None))
    return rows


def _window(layer: Layer) -> tuple[tuple[int, int] | None, tuple[int, int]]:
    if isinstance(layer, Conv2D):
        return layer.kernel_size, layer.strides
    if isinstance(layer, MaxPooling2D | AveragePooling2D):
        return layer.pool_size, layer.pool_size
    return None, (1, 1)


_NEEDS_FLATTEN = "Put a Flatten or GlobalAveragePooling2D layer before it."
_ADD_FLATTEN = "Put a Flatten or GlobalAveragePooling2D layer after it."


def _output(layer: Layer, shape: Shape) -> Shape:
    spatial = isinstance(layer, Conv2D | MaxPooling2D | AveragePooling2D | GlobalAveragePooling2D)
    if spatial and len(shape) != 3:
        raise _DoesNotFit(
            f"it needs maps (height, width, channels) but gets a vector of {shape[0]} values",
            "Move it before the Flatten or GlobalAveragePooling2D layer.",
        )
    if isinstance(layer, Dense) and len(shape) != 1:
        raise _DoesNotFit(f"it needs a vector but gets maps of {_text(shape)}", _NEEDS_FLATTEN)
    if isinstance(layer, Flatten):
        return (math.prod(shape),)
    if isinstance(layer, GlobalAveragePooling2D):
        return (shape[2],)
    if isinstance(layer, Dense):
        return (layer.units,)
    window, strides = _window(layer)
    if window is None or not isinstance(layer, Conv2D | MaxPooling2D | AveragePooling2D):
        return shape
    if layer.padding == "valid" and (shape[0] < window[0] or shape[1] < window[1]):
        raise _DoesNotFit(f"its window of {window[0]}x{window[1]} is larger than its input of {_text(shape)}")
    height, width = (
        -(-n // s) if layer.padding == "same" else (n - k) // s + 1
        for n, k, s in zip(shape[:2], window, strides, strict=True)
    )
    return (height, width, layer.filters if isinstance(layer, Conv2D) else shape[2])


def _cost(layer: Layer, before: Shape, after: Shape) -> tuple[int, int, int]:
    """(parameters, trainable ones, multiply-adds for one image)."""
    if isinstance(layer, Conv2D):
        weights = layer.kernel_size[0] * layer.kernel_size[1] * before[2] * layer.filters
        params = weights + (layer.filters if layer.use_bias else 0)
        return params, params, weights * after[0] * after[1]
    if isinstance(layer, Dense):
        weights = before[0] * layer.units
        params = weights + (layer.units if layer.use_bias else 0)
        return params, params, weights
    if isinstance(layer, BatchNormalization):
        # Scale and shift are learned; the moving mean and variance are not.
        return 4 * before[-1], 2 * before[-1], 0
    return 0, 0, 0


def _name(layer: Layer, used: dict[str, int]) -> str:
    stem = {
        "Conv2D": "conv",
        "BatchNormalization": "batch_norm",
        "Activation": "activation",
        "MaxPooling2D": "max_pool",
        "AveragePooling2D": "average_pool",
        "GlobalAveragePooling2D": "global_average",
        "Flatten": "flatten",
        "Dropout": "dropout",
        "Dense": "dense",
    }[layer.type]
    used[stem] = used.get(stem, 0) + 1
    return f"{stem}_{used[stem]}"


def setting(layer: Layer) -> str:
    """A layer's settings in words, such as ``32 filters 3x3, relu``; empty where it has none."""
    words: list[str] = []
    if isinstance(layer, Conv2D):
        words = [f"{layer.filters} filters {_times(layer.kernel_size)}"]
        if layer.strides != (1, 1):
            words.append(f"strides {_times(layer.strides)}")
    elif isinstance(layer, MaxPooling2D | AveragePooling2D):
        words = [_times(layer.pool_size)]
    elif isinstance(layer, Dense):
        words = [f"{layer.units} units"]
    elif layer.type == "Dropout":
        words = [f"rate {layer.rate:g}"]
    if getattr(layer, "padding", "valid") == "same":
        words.append("same padding")
    if getattr(layer, "activation", None):
        words.append(str(layer.activation))  # type: ignore[union-attr]
    return ", ".join(words)


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _fits(spec: ModelSpec, input_shape: Shape, classes: int) -> bool:
    try:
        _walk(spec.layers, input_shape, classes)
    except _DoesNotFit:
        return False
    return True


def _advice(spec: ModelSpec, input_shape: Shape, classes: int, misfit: int) -> str:
    """The smallest changes that are known to fit, for a window larger than its input."""
    options = []
    height, width, channels = input_shape
    for grow in range(1, 512):
        if _fits(spec, (height + grow, width + grow, channels), classes):
            size = height + grow if height == width else f"[{height + grow},{width + grow}]"
            options.append(f"data.image_size={size}")
            break
    same = ModelSpec(layers=with_settings(spec.layers, Conv2D, padding="same"))
    if _fits(same, input_shape, classes):
        options.append("model.padding=same")
    if _fits(ModelSpec(layers=remove(spec.layers, misfit)), input_shape, classes):
        options.append("leaving that layer out")
    return f"It fits with {' or '.join(options)}." if options else "Use fewer or smaller layers."
