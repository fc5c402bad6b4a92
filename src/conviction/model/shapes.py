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
    Backbone,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    ModelSpec,
    Whitening,
)
from conviction.errors import MisfitError
from conviction.model.backbones.kinds import KINDS, SIZE, STRIDE, Scaling

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
        inner: Values of layers inside it that are kept for the gradient of one image, besides its output.
    """

    name: str
    kind: str
    setting: str
    output: Shape
    params: int
    trainable: int
    multiply_adds: int
    receptive_field: tuple[int, int] | None
    inner: int = 0


# What networks take that learn from the beginning.
UNIT = Scaling(1.0 / 255.0, 0.0, "x / 255")


def scaling_of(spec: ModelSpec) -> Scaling:
    """How pixels are scaled for a network: a backbone's own way, what a user's network takes, or to between 0 and 1."""
    if spec.own is not None:
        low, high = spec.own.input_range
        factor = "x" if high - low == 255 else f"x / {255 / (high - low):g}"
        words = f"{factor} {'-' if low < 0 else '+'} {abs(low):g}" if low else factor
        return Scaling((high - low) / 255, low, words)
    return KINDS[spec.backbone.name].scaling if spec.backbone else UNIT


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
    if spec.own is not None:  # which has been built, and fits
        return [LayerRow(**layer.model_dump(), receptive_field=None) for layer in spec.own.layers]
    try:
        return _walk(spec, input_shape, classes)
    except _DoesNotFit as misfit:
        remedy = misfit.remedy or _advice(spec, input_shape, classes, misfit.index)
        raise MisfitError(
            f"model.layers.{misfit.index} ({spec.layers[misfit.index].type}): {misfit.reason}. "
            f"Shapes: {' -> '.join(misfit.chain)}. {remedy}",
            misfit.index,
            misfit.reason,
            tuple(misfit.chain),
        ) from None


def _walk(spec: ModelSpec, input_shape: Shape, classes: int) -> list[LayerRow]:
    layers: Sequence[Layer] = spec.layers
    names: dict[str, int] = {}
    shape, field, jump = input_shape, (1, 1), (1, 1)
    rows = [LayerRow("normalise", "Rescaling", scaling_of(spec).words, shape, 0, 0, 0, field)]
    chain = [_text(shape)]
    for index, layer in enumerate(layers):
        window, strides = _window(layer)
        before = shape
        try:
            shape = _output(layer, shape, first=index == 0)
        except _DoesNotFit as misfit:
            misfit.index, misfit.chain = index, chain
            raise
        if isinstance(layer, Backbone):
            # Each value depends on all of the picture: that of 224x224 is smaller than any backbone's field.
            field, jump = (before[0], before[1]), (STRIDE, STRIDE)
        if window is not None:
            field = (field[0] + (window[0] - 1) * jump[0], field[1] + (window[1] - 1) * jump[1])
            jump = (jump[0] * strides[0], jump[1] * strides[1])
        chain.append(f"{layer.type} {_text(shape)}")
        params, trainable, macs = _cost(layer, before, shape)
        visible = field if len(shape) == 3 else None
        name, inner = _name(layer, names), _inner(layer, before)
        rows.append(
            LayerRow(name, layer.type, setting(layer), shape, params, trainable, macs, visible, inner)
        )
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
    if isinstance(layer, Whitening):
        return layer.kernel_size, (1, 1)
    if isinstance(layer, MaxPooling2D | AveragePooling2D):
        return layer.pool_size, layer.pool_size
    return None, (1, 1)


_NEEDS_FLATTEN = "Put a Flatten or GlobalAveragePooling2D layer before it."
_ADD_FLATTEN = "Put a Flatten or GlobalAveragePooling2D layer after it."


def _output(layer: Layer, shape: Shape, *, first: bool) -> Shape:
    if isinstance(layer, Backbone):
        return _backbone_output(layer, shape, first=first)
    if isinstance(layer, Whitening) and not first:
        raise _DoesNotFit("it whitens pixels", "Put it first.")
    spatial = isinstance(layer, Whitening | Conv2D | MaxPooling2D | AveragePooling2D | GlobalAveragePooling2D)
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
    if window is None:
        return shape
    padding = getattr(layer, "padding", "valid")
    if padding == "valid" and (shape[0] < window[0] or shape[1] < window[1]):
        raise _DoesNotFit(f"its window of {window[0]}x{window[1]} is larger than its input of {_text(shape)}")
    height, width = (
        -(-n // s) if padding == "same" else (n - k) // s + 1
        for n, k, s in zip(shape[:2], window, strides, strict=True)
    )
    return (height, width, _channels(layer, shape[2]))


def _channels(layer: Layer, before: int) -> int:
    if isinstance(layer, Whitening):
        return 2 * math.prod(layer.kernel_size) * before
    return layer.filters if isinstance(layer, Conv2D) else before


def _backbone_output(layer: Backbone, shape: Shape, *, first: bool) -> Shape:
    if not first:
        raise _DoesNotFit("a backbone takes pixels", "Put it first.")
    if shape[2] != 3:
        raise _DoesNotFit(f"it needs 3 channels but gets {shape[2]}", "Use data.color_mode=rgb.")
    if shape[0] % STRIDE or shape[1] % STRIDE:
        size = [max(1, round(n / STRIDE)) * STRIDE for n in shape[:2]]
        near = str(size[0]) if size[0] == size[1] else f"[{size[0]},{size[1]}]"
        raise _DoesNotFit(
            f"it needs a height and width that are multiples of {STRIDE} but gets {shape[0]}x{shape[1]}",
            f"Use data.image_size={near}; it learned on {SIZE}.",
        )
    blocks = len(KINDS[layer.name].sizes.last)
    if isinstance(layer.trainable, int) and layer.trainable > blocks:
        raise _DoesNotFit(
            f"it has {blocks} blocks, and {layer.trainable} are to learn", "Use model.trainable=all."
        )
    return (shape[0] // STRIDE, shape[1] // STRIDE, KINDS[layer.name].sizes.features)


def _backbone_cost(layer: Backbone, before: Shape) -> tuple[int, int, int]:
    sizes = KINDS[layer.name].sizes
    learned = (
        0
        if layer.trainable == "head"
        else sizes.all
        if layer.trainable == "all"
        else sizes.last[layer.trainable - 1]
    )
    return sizes.params, learned, round(sizes.multiply_adds * before[0] * before[1] / SIZE**2)


def _inner(layer: Layer, before: Shape) -> int:
    if not isinstance(layer, Backbone) or layer.trainable == "head":
        return 0
    sizes = KINDS[layer.name].sizes
    values = sizes.outputs if layer.trainable == "all" else sizes.last_outputs[layer.trainable - 1]
    return round(values * before[0] * before[1] / SIZE**2)


def _cost(layer: Layer, before: Shape, after: Shape) -> tuple[int, int, int]:
    """(parameters, trainable ones, multiply-adds for one image)."""
    if isinstance(layer, Backbone):
        return _backbone_cost(layer, before)
    if isinstance(layer, Whitening):
        weights = math.prod(layer.kernel_size) * before[2] * after[2]
        return weights + after[2], 0, weights * after[0] * after[1]
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
    if isinstance(layer, Backbone):
        return layer.name
    stem = {
        "Whitening": "whitening",
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
    if isinstance(layer, Backbone):
        words = [KINDS[layer.name].title, trained_words(layer)]
    elif isinstance(layer, Whitening):
        words = [f"patches of {_times(layer.kernel_size)}, fixed"]
    elif isinstance(layer, Conv2D):
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


def trained_words(layer: Backbone) -> str:
    """How much of a backbone learns, in words."""
    if layer.trainable == "head":
        return "frozen"
    if layer.trainable == "all":
        return "all of it learns"
    return f"its last {layer.trainable} blocks learn" if layer.trainable > 1 else "its last block learns"


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _fits(spec: ModelSpec, input_shape: Shape, classes: int) -> bool:
    try:
        _walk(spec, input_shape, classes)
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
