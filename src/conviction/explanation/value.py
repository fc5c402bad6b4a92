"""The numbers behind one value of any layer, which must give what the layer computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import RequestError
from conviction.explanation.asked import Asked, activate, activation_name, to_numpy
from conviction.explanation.forward import check_pixels
from conviction.explanation.inside import Passed, find_layer, passed_through
from conviction.explanation.numbers import (
    MOST_TERMS,
    Convolution,
    Pooled,
    Softmax,
    Value,
    WeightedSum,
    number,
    products_text,
    sum_text,
)
from conviction.explanation.single import SINGLE
from conviction.explanation.window import Window, inside, patch, window_at

if TYPE_CHECKING:
    import keras


def explain_value(
    model: keras.Sequential,
    pixels: np.ndarray,
    layer: str,
    position: Sequence[int],
    passed: Passed | None = None,
) -> Value:
    """How one value of a layer's output is computed, number by number.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.
        layer: Name of the layer, as ``conviction summary`` shows it; inside a backbone ``backbone/layer``.
        position: (row, column, channel) of a layer that gives maps, (unit,) of one that gives a vector; from 0.
        passed: From ``passed_through``, where several values of one layer are wanted.

    Returns:
        ``Convolution``, ``WeightedSum`` (Dense), ``Softmax`` (the output layer of three classes or more), ``Pooled``,
        ``Normalised`` (batch and layer normalisation), ``Activated``, ``Rescaled`` (normalisation), ``Combined`` (Add
        and Multiply), ``Scaled`` (LayerScale), ``Padded`` (ZeroPadding2D) or ``Pointwise`` (Flatten, Reshape, Dropout).

    Raises:
        RequestError: There is no such layer or position, the picture does not fit the network, or the layer is of a
            kind that neither a specification nor a backbone has.
    """
    check_pixels(model, pixels)
    one = find_layer(model, layer)
    at = checked_position(layer, one.shape, position)
    if one.kind not in _KINDS:
        raise RequestError(
            f"{layer}: cannot explain a layer of type {one.kind}; expected {', '.join(_KINDS)}."
        )
    return _KINDS[one.kind](Asked(one, passed or passed_through(model, pixels, one), at))


def checked_position(layer: str, shape: tuple[int, ...], position: Sequence[int]) -> tuple[int, ...]:
    """The position as a tuple of integers within the shape of a layer's output.

    Raises:
        RequestError: It has another number of coordinates, or lies outside. Names the allowed ranges.
    """
    names = ("row", "column", "channel") if len(shape) == 3 else ("unit",)
    outside = len(position) != len(shape) or any(
        not 0 <= at < n for at, n in zip(position, shape, strict=True)
    )
    if outside:
        allowed = ", ".join(f"{name} 0 to {n - 1}" for name, n in zip(names, shape, strict=True))
        got = ",".join(map(str, position)) or "nothing"
        raise RequestError(f"{layer}: expected a position with {allowed}; got {got}.")
    return tuple(int(at) for at in position)


def _convolution(asked: Asked) -> Value:
    layer, channel = asked.layer, asked.position[2]
    kernel = to_numpy(layer.kernel)  # (rows, columns, channels that a filter sees, filters)
    # The filters of a group see the same channels, and no others.
    first = channel // (kernel.shape[3] // layer.groups) * kernel.shape[2]
    return _windowed(asked, kernel[..., channel], first)


def _depthwise_convolution(asked: Asked) -> Value:
    first, number = divmod(asked.position[2], asked.layer.depth_multiplier)
    kernel = to_numpy(asked.layer.kernel)  # (rows, columns, input channels, filters of each)
    return _windowed(asked, kernel[:, :, first : first + 1, number], first)


def _windowed(asked: Asked, weights: np.ndarray, first: int) -> Value:
    """A value of a convolution that sees as many channels as ``weights`` has, from number ``first`` on."""
    layer, (row, column, channel) = asked.layer, asked.position
    if tuple(layer.dilation_rate) != (1, 1):
        raise RequestError(f"{asked.one.name}: cannot explain a convolution with dilation.")
    window = window_at((row, column), asked.before.shape[:2], layer.kernel_size, layer.strides, layer.padding)
    inputs = patch(asked.before[..., first : first + weights.shape[2]], window)
    bias = float(to_numpy(layer.bias)[channel]) if layer.use_bias else None
    seen = patch(np.ones((*asked.before.shape[:2], 1), bool), window)[..., 0]
    weighted = _weighted(asked, inputs, weights, bias)
    return Convolution(window=window, padding=~seen, first_channel=first, **weighted)


def _dense(asked: Asked) -> Value:
    layer, (*where, unit) = asked.layer, asked.position
    weights = to_numpy(layer.kernel)[:, unit]
    bias = float(to_numpy(layer.bias)[unit]) if layer.use_bias else None
    if activation_name(layer.activation) == "softmax":
        return _softmax(asked)
    return WeightedSum(**_weighted(asked, asked.before[tuple(where)], weights, bias))


def _weighted(asked: Asked, inputs: np.ndarray, weights: np.ndarray, bias: float | None) -> dict[str, Any]:
    products = inputs.astype(np.float64) * weights
    total = float(products.sum())
    before = total + (bias or 0.0)
    name = activation_name(asked.layer.activation)
    value = before if name == "linear" else activate(asked.layer.activation, before)
    equation = f"{products_text(inputs, weights, bias)} = {number(before)}"
    if name != "linear":
        equation += f"; {name}({number(before)}) = {number(value)}"
    return {
        **asked.common(),
        "inputs": inputs,
        "weights": weights,
        "total": total,
        "bias": bias or 0.0,
        "pre_activation": before,
        "activation": name,
        "value": value,
        "magnitude": float(np.abs(products).sum()) + abs(bias or 0.0),
        "equation": equation,
    }


def _softmax(asked: Asked) -> Value:
    layer, (unit,) = asked.layer, asked.position
    inputs = asked.before.astype(np.float64)
    kernel = to_numpy(layer.kernel).astype(np.float64)
    biases = to_numpy(layer.bias).astype(np.float64) if layer.use_bias else np.zeros(kernel.shape[1])
    logits = inputs @ kernel + biases  # (features,) @ (features, classes) -> (classes,)
    # As every backend does it: the same shares, without an exponential that overflows.
    exponentials = np.exp(logits - logits.max())
    total = float(exponentials.sum())
    value = float(exponentials[unit]) / total
    bias = float(biases[unit]) if layer.use_bias else None
    return Softmax(
        **asked.common(),
        inputs=asked.before,
        weights=to_numpy(layer.kernel)[:, unit],
        total=float(logits[unit] - biases[unit]),
        bias=float(biases[unit]),
        pre_activation=float(logits[unit]),
        activation="softmax",
        logits=logits,
        exponentials=exponentials,
        value=value,
        # A share depends on every logit, so on the rounding of the largest sum.
        magnitude=float((np.abs(inputs) @ np.abs(kernel) + np.abs(biases)).max()),
        equation=(
            f"{products_text(asked.before, to_numpy(layer.kernel)[:, unit], bias)} = {number(logits[unit])}; "
            f"softmax: exp({number(logits[unit])} - {number(logits.max())}) = {number(exponentials[unit])}, "
            f"divided by the sum of all {len(logits)}: {number(exponentials[unit])} / {number(total)} = "
            f"{number(value)}"
        ),
    )


def _pooling(asked: Asked) -> Value:
    layer, (row, column, channel) = asked.layer, asked.position
    window = window_at((row, column), asked.before.shape[:2], layer.pool_size, layer.strides, layer.padding)
    rows, columns = inside(asked.before, window)
    values = asked.before[rows, columns, channel]
    # What lies outside is never the largest, and is not counted in a mean.
    covered = Window(rows.start, columns.start, *values.shape)
    if type(layer).__name__ == "AveragePooling2D":
        return _mean(asked, values, covered)
    down, right = np.unravel_index(values.argmax(), values.shape)
    winner = (rows.start + int(down), columns.start + int(right))
    largest = float(values.max())
    shown = np.sort(values, axis=None)[::-1][:MOST_TERMS] if values.size > MOST_TERMS else values.ravel()
    others = values.size - len(shown)
    listed = ", ".join(number(v) for v in shown) + (f", and {others:,} others" if others else "")
    equal = int((values == largest).sum())
    tie = f", the first of {equal} equal ones" if equal > 1 else ""
    return Pooled(
        **asked.common(),
        inputs=values,
        window=covered,
        winner=winner,
        value=largest,
        magnitude=abs(largest),
        equation=f"max({listed}) = {number(largest)}, from row {winner[0]}, column {winner[1]}{tie}",
    )


def _global_average(asked: Asked) -> Value:
    values = asked.before[..., asked.position[-1]]  # (h, w, c) -> (h, w)
    return _mean(asked, values, Window(0, 0, *values.shape))


def _mean(asked: Asked, values: np.ndarray, window: Window) -> Value:
    exact = values.astype(np.float64)
    value = float(exact.mean())
    return Pooled(
        **asked.common(),
        inputs=values,
        window=window,
        winner=None,
        value=value,
        magnitude=float(np.abs(exact).mean()),
        equation=f"({sum_text(values)}) / {values.size} = {number(value)}",
    )


_KINDS: dict[str, Callable[[Asked], Value]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise_convolution,
    "Dense": _dense,
    "MaxPooling2D": _pooling,
    "AveragePooling2D": _pooling,
    "GlobalAveragePooling2D": _global_average,
    **SINGLE,
}
