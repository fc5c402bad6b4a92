"""What one value adds to the gradients of the weights that it is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.explanation.asked import to_numpy
from conviction.explanation.flows import refuse_dilation, slopes_at, windows
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
    """The gradient of the loss with respect to the weights that one value is made with.

    Attributes:
        name: ``kernel``, ``bias``, ``gamma`` or ``beta``.
        weights: The weights themselves, float32: of a convolution (rows, columns, channels), of a dense layer
            (features,), of one number ().
        first_channel: Of a convolution: which input channel the first of these is for.
        padding: Of a convolution: where its window lies outside the map, bool (rows, columns).
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
    first_channel: int = 0
    padding: np.ndarray | None = None

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

    The gradient with respect to a weight is the sum, over all values that it makes, of what it was multiplied by times
    the gradient before the activation. Of a convolution that is a sum over all positions of its output.

    Args:
        one: The layer.
        passed: What passed through it.
        upstream: The gradient of the loss with respect to every value of the same channel, float64: (rows, columns), or
            () of a layer that gives a vector. Of the output layer, to its logits.
        position: Of the value.
        computed: By name, the gradient with respect to each weight, as the framework has it.
        is_output: Whether the layer gives the probabilities.

    Returns:
        1 and nothing for a layer without weights.
    """
    if one.kind not in WEIGHTS:
        return 1.0, ()
    layer, channel, where = one.layer, position[-1], position[:-1]
    factors = _factors(one, passed.inputs[0], channel)
    slopes = np.ones(upstream.shape)
    if "kernel" in WEIGHTS[one.kind] and not is_output:
        kernel = to_numpy(layer.kernel).astype(np.float64)[factors.at]
        bias = float(to_numpy(layer.bias)[channel]) if layer.use_bias else 0.0
        slopes = slopes_at(one.name, layer.activation, factors.sums(kernel) + bias)
    before = np.asarray(upstream * slopes)
    weights = []
    for name, gradient in computed.items():
        variable, added = getattr(layer, name), name in ("bias", "beta")
        used = _Factors(np.ones(upstream.shape), (channel,)) if added else factors
        inputs = np.asarray(used.values[where])
        weights.append(
            WeightGradient(
                name=name,
                weights=to_numpy(variable)[used.at],
                inputs=inputs.astype(np.float32),
                local=np.asarray(before[where] * inputs),
                gradient=used.weighted(before),
                computed=gradient[used.at],
                magnitude=used.weighted(np.abs(before), absolute=True),
                trained=bool(variable.trainable and layer.trainable),
                first_channel=used.first_channel,
                padding=None if used.outside is None else used.outside[where],
            )
        )
    return float(slopes[where]), tuple(weights)


@dataclass(frozen=True)
class _Factors:
    """What a weight, or a kernel, is multiplied by for every value of a channel.

    Attributes:
        values: float64; the axes of the channel's values, then those of the weights.
        at: Where in the layer's variable these weights are.
        first_channel: See ``WeightGradient``.
        outside: Where each window lies outside the map, bool; None if there are no windows.
    """

    values: np.ndarray
    at: tuple[Any, ...]
    first_channel: int = 0
    outside: np.ndarray | None = None

    def sums(self, kernel: np.ndarray) -> np.ndarray:
        """What the kernel makes of each, of the shape of the channel's values."""
        letters = "abc"[: kernel.ndim]
        return np.einsum(f"...{letters},{letters}->...", self.values, kernel)

    def weighted(self, before: np.ndarray, *, absolute: bool = False) -> np.ndarray:
        """The sum over all values of the channel, each times a number; in the shape of the weights."""
        letters = "hw"[: before.ndim]
        values = np.abs(self.values) if absolute else self.values
        return np.asarray(np.einsum(f"{letters},{letters}...->...", before, values))


def _factors(one: NamedLayer, before: np.ndarray, channel: int) -> _Factors:
    layer, x = one.layer, before.astype(np.float64)
    if one.kind == "Dense":
        return _Factors(x, (slice(None), channel))
    if one.kind in ("Conv2D", "DepthwiseConv2D"):
        return _patches(one, x, channel)
    if one.kind == "BatchNormalization":
        mean, variance = (to_numpy(v).astype(np.float64) for v in (layer.moving_mean, layer.moving_variance))
        x = (x - mean) / np.sqrt(variance + layer.epsilon)
    if one.kind == "LayerNormalization":
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        x = (x - mean) / np.sqrt(variance + layer.epsilon)
    return _Factors(np.asarray(x[..., channel]), (channel,))


def _patches(one: NamedLayer, before: np.ndarray, channel: int) -> _Factors:
    """What the window of a filter shows at every position, of the channels that it sees."""
    refuse_dilation(one)
    kernel = one.layer.kernel.shape  # (rows, columns, channels that a filter sees, filters)
    at: tuple[Any, ...] = (..., channel)
    seen, size = kernel[2], (kernel[0], kernel[1])
    if one.kind == "DepthwiseConv2D":
        first, number = divmod(channel, one.layer.depth_multiplier)
        seen, at = 1, (slice(None), slice(None), slice(first, first + 1), number)
    else:
        first = channel // (kernel[3] // one.layer.groups) * seen
    every = windows(before[..., first : first + seen], one.layer, size)
    covered = windows(np.ones((*before.shape[:2], 1)), one.layer, size)[:, :, 0]
    # (h, w, c, rows, columns) -> (h, w, rows, columns, c); a view, without a copy for every window
    return _Factors(np.moveaxis(every, 2, 4), at, first, covered == 0)
