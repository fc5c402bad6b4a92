"""What one value adds to the gradients of the weights that it is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.explanation.asked import to_numpy
from conviction.explanation.flows import slopes_at, windows
from conviction.explanation.inside import NamedLayer, Passed
from conviction.explanation.numbers import TOLERANCE

# The weights that one value of a layer is made with, by kind.
WEIGHTS = {
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta"),
    "LayerNormalization": ("gamma", "beta"),
    "LayerScale": ("gamma",),
}


@dataclass(frozen=True, kw_only=True)
class WeightGradient:
    """The gradient of the loss with regard to the weights that one value is made with.

    Attributes:
        name: ``kernel``, ``bias``, ``gamma`` or ``beta``.
        weights: The weights themselves, float32: of a convolution (rows, columns, channels), of a dense layer
            (features,), of one number ().
        inputs: What each was multiplied by for this value, float32, in the same shape; 1 for what is only added.
        local: What this value adds: ``inputs`` times the gradient before the activation; float64.
        gradient: The sum over all values that the same weights make, calculated here in float64.
        computed: The same as the framework has it, float32.
        magnitude: The sum of the absolute terms of each, on which the rounding of a sum depends.
        trained: Whether training changes these weights.
    """

    name: str
    weights: np.ndarray
    inputs: np.ndarray
    local: np.ndarray
    gradient: np.ndarray
    computed: np.ndarray
    magnitude: np.ndarray
    trained: bool

    @property
    def agrees(self) -> bool:
        """Whether the sums give what the framework gives, within 1e-5 of their magnitude."""
        return bool((np.abs(self.gradient - self.computed) <= TOLERANCE * self.magnitude.max()).all())


def weight_gradients(
    one: NamedLayer,
    passed: Passed,
    upstream: np.ndarray,
    position: tuple[int, ...],
    computed: dict[str, np.ndarray],
    *,
    is_output: bool,
) -> tuple[float, tuple[WeightGradient, ...]]:
    """The slope of the layer's activation at a value, and what the value adds to the gradients of its weights.

    The gradient with regard to a weight is the sum, over all values that it makes, of what it was multiplied by times
    the gradient before the activation. Of a convolution that is a sum over all positions of its output.

    Args:
        one: The layer.
        passed: What passed through it.
        upstream: The gradient of the loss with regard to every value of the same channel, float64: (rows, columns), or
            () of a layer that gives a vector. Of the output layer, to its logits.
        position: Of the value.
        computed: By name, the gradient with regard to each weight, as the framework has it.
        is_output: Whether the layer gives the probabilities.

    Returns:
        1 and nothing for a layer without weights.
    """
    if one.kind not in WEIGHTS:
        return 1.0, ()
    layer, channel, where = one.layer, position[-1], position[:-1]
    factors, at = _factors(one, passed.inputs[0], channel)
    slopes = np.ones(upstream.shape)
    if "kernel" in WEIGHTS[one.kind] and not is_output:
        kernel = to_numpy(layer.kernel).astype(np.float64)[at]
        bias = float(to_numpy(layer.bias)[channel]) if layer.use_bias else 0.0
        # The last axes of the factors are those of the kernel: one sum for each value of the channel.
        slopes = slopes_at(layer.activation, np.tensordot(factors, kernel, kernel.ndim) + bias)
    before = np.asarray(upstream * slopes)
    weights = []
    for name, gradient in computed.items():
        added = name in ("bias", "beta")
        inputs, index = (np.ones(upstream.shape), (channel,)) if added else (factors, at)
        terms = before.reshape(before.shape + (1,) * (inputs.ndim - before.ndim)) * inputs
        values = tuple(range(before.ndim))
        variable = getattr(layer, name)
        weights.append(
            WeightGradient(
                name=name,
                weights=to_numpy(variable)[index],
                inputs=np.asarray(inputs[where], np.float32),
                local=np.asarray(terms[where]),
                gradient=terms.sum(axis=values),
                computed=gradient[index],
                magnitude=np.abs(terms).sum(axis=values),
                trained=bool(variable.trainable and layer.trainable),
            )
        )
    return float(slopes[where]), tuple(weights)


def _factors(one: NamedLayer, before: np.ndarray, channel: int) -> tuple[np.ndarray, tuple[Any, ...]]:
    """What the kernel, or gamma, is multiplied by for every value of a channel, and where in the variable it is.

    float64: of a convolution (rows, columns, *kernel), of a dense layer (..., features), of a normalisation (...).
    """
    layer, x = one.layer, before.astype(np.float64)
    if one.kind == "Dense":
        return x, (slice(None), channel)
    if one.kind in ("Conv2D", "DepthwiseConv2D"):
        return _patches(one, x, channel)
    if one.kind == "BatchNormalization":
        mean, variance = (to_numpy(v).astype(np.float64) for v in (layer.moving_mean, layer.moving_variance))
        x = (x - mean) / np.sqrt(variance + layer.epsilon)
    if one.kind == "LayerNormalization":
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        x = (x - mean) / np.sqrt(variance + layer.epsilon)
    return np.asarray(x[..., channel]), (channel,)


def _patches(one: NamedLayer, before: np.ndarray, channel: int) -> tuple[np.ndarray, tuple[Any, ...]]:
    """What the window of a filter shows at every position, of the channels that it sees."""
    kernel = one.layer.kernel.shape  # (rows, columns, channels that a filter sees, filters)
    at: tuple[Any, ...] = (..., channel)
    seen = kernel[2]
    if one.kind == "DepthwiseConv2D":
        first, number = divmod(channel, one.layer.depth_multiplier)
        seen, at = 1, (slice(None), slice(None), slice(first, first + 1), number)
    else:
        first = channel // (kernel[3] // one.layer.groups) * seen
    every = windows(before[..., first : first + seen], one.layer, (kernel[0], kernel[1]))
    return np.moveaxis(every, 2, 4), at  # (h, w, c, rows, columns) -> (h, w, rows, columns, c)
