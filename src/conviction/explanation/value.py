"""The numbers behind one value of any layer, which must give what the layer computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.forward import check_pixels, layer_number, outputs
from conviction.explanation.numbers import (
    MOST_TERMS,
    Activated,
    Convolution,
    Normalised,
    Pointwise,
    Pooled,
    Rescaled,
    Softmax,
    Value,
    WeightedSum,
    number,
    position_text,
    products_text,
    sum_text,
)
from conviction.explanation.window import Window, inside, patch, window_at

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class _Asked:
    """A layer, what came into it (without the batch axis), and the value that is asked about."""

    layer: Any
    before: np.ndarray
    position: tuple[int, ...]
    computed: float

    def common(self) -> dict[str, Any]:
        return {
            "layer": self.layer.name,
            "kind": type(self.layer).__name__,
            "position": self.position,
            "computed": self.computed,
        }


def explain_value(model: keras.Sequential, pixels: np.ndarray, layer: str, position: Sequence[int]) -> Value:
    """How one value of a layer's output is computed, number by number.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.
        layer: Name of the layer, as ``conviction summary`` shows it.
        position: (row, column, channel) of a layer that gives maps, (unit,) of one that gives a vector; from 0.

    Returns:
        ``Convolution``, ``WeightedSum`` (Dense), ``Softmax`` (the output layer of three classes or more), ``Pooled``,
        ``Normalised`` (batch normalisation), ``Activated``, ``Rescaled`` (normalisation) or ``Pointwise`` (Flatten and
        Dropout).

    Raises:
        RequestError: There is no such layer or position, the picture does not fit the network, or the layer is of a
            kind that a specification cannot name.
    """
    check_pixels(model, pixels)
    index = layer_number(model, layer)
    chosen = model.layers[index]
    at = checked_position(layer, tuple(chosen.output.shape[1:]), position)
    kind = type(chosen).__name__
    if kind not in _KINDS:
        raise RequestError(f"{layer}: cannot explain a layer of type {kind}; expected {', '.join(_KINDS)}.")
    layer_outputs = outputs(model, pixels, index + 1)
    before = layer_outputs[index - 1].output if index else pixels
    return _KINDS[kind](_Asked(chosen, before, at, float(layer_outputs[index].output[at])))


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


def _convolution(asked: _Asked) -> Value:
    layer = asked.layer
    if tuple(layer.dilation_rate) != (1, 1) or layer.groups != 1:
        raise RequestError(f"{layer.name}: cannot explain a convolution with dilation or groups.")
    row, column, channel = asked.position
    window = window_at((row, column), asked.before.shape[:2], layer.kernel_size, layer.strides, layer.padding)
    inputs = patch(asked.before, window)
    weights = _numpy(layer.kernel)[..., channel]
    bias = float(_numpy(layer.bias)[channel]) if layer.use_bias else None
    seen = patch(np.ones((*asked.before.shape[:2], 1), bool), window)[..., 0]
    return Convolution(window=window, padding=~seen, **_weighted(asked, inputs, weights, bias))


def _dense(asked: _Asked) -> Value:
    layer, (unit,) = asked.layer, asked.position
    weights = _numpy(layer.kernel)[:, unit]
    bias = float(_numpy(layer.bias)[unit]) if layer.use_bias else None
    if _name(layer.activation) == "softmax":
        return _softmax(asked)
    return WeightedSum(**_weighted(asked, asked.before, weights, bias))


def _weighted(asked: _Asked, inputs: np.ndarray, weights: np.ndarray, bias: float | None) -> dict[str, Any]:
    products = inputs.astype(np.float64) * weights
    total = float(products.sum())
    before = total + (bias or 0.0)
    name = _name(asked.layer.activation)
    value = before if name == "linear" else _activate(asked.layer.activation, before)
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


def _softmax(asked: _Asked) -> Value:
    layer, (unit,) = asked.layer, asked.position
    inputs = asked.before.astype(np.float64)
    kernel = _numpy(layer.kernel).astype(np.float64)
    biases = _numpy(layer.bias).astype(np.float64) if layer.use_bias else np.zeros(kernel.shape[1])
    logits = inputs @ kernel + biases  # (features,) @ (features, classes) -> (classes,)
    # As every backend does it: the same shares, without an exponential that overflows.
    exponentials = np.exp(logits - logits.max())
    total = float(exponentials.sum())
    value = float(exponentials[unit]) / total
    bias = float(biases[unit]) if layer.use_bias else None
    return Softmax(
        **asked.common(),
        inputs=asked.before,
        weights=_numpy(layer.kernel)[:, unit],
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
            f"{products_text(asked.before, _numpy(layer.kernel)[:, unit], bias)} = {number(logits[unit])}; "
            f"softmax: exp({number(logits[unit])} - {number(logits.max())}) = {number(exponentials[unit])}, "
            f"divided by the sum of all {len(logits)}: {number(exponentials[unit])} / {number(total)} = "
            f"{number(value)}"
        ),
    )


def _pooling(asked: _Asked) -> Value:
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


def _global_average(asked: _Asked) -> Value:
    values = asked.before[..., asked.position[0]]  # (h, w, c) -> (h, w)
    return _mean(asked, values, Window(0, 0, *values.shape))


def _mean(asked: _Asked, values: np.ndarray, window: Window) -> Value:
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


def _batch_normalization(asked: _Asked) -> Value:
    layer, channel = asked.layer, asked.position[-1]
    x = float(asked.before[asked.position])
    mean, variance, gamma, beta = (
        float(_numpy(v)[channel]) for v in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    )
    deviation = float(np.sqrt(variance + layer.epsilon))
    value = (x - mean) / deviation * gamma + beta
    return Normalised(
        **asked.common(),
        x=x,
        mean=mean,
        variance=variance,
        epsilon=layer.epsilon,
        gamma=gamma,
        beta=beta,
        value=value,
        magnitude=(abs(x) + abs(mean)) / deviation * abs(gamma) + abs(beta),
        equation=(
            f"({number(x)} - mean {number(mean)}) / sqrt(variance {number(variance)} + {layer.epsilon:g}) * "
            f"gamma {number(gamma)} + beta {number(beta)} = {number(value)}"
        ),
    )


def _activation(asked: _Asked) -> Value:
    x = float(asked.before[asked.position])
    value = _activate(asked.layer.activation, x)
    name = _name(asked.layer.activation)
    equation = f"{name}({number(x)}) = {number(value)}"
    return Activated(**_pointwise(asked, asked.position, value, equation), activation=name)


def _rescaling(asked: _Asked) -> Value:
    x, scale, offset = float(asked.before[asked.position]), asked.layer.scale, asked.layer.offset
    value, divisor = x * scale + offset, 1 / scale
    moved = f" + {number(offset)}" if offset else ""
    equation = f"{x:g} / {divisor:g}{moved} = {number(value)}"
    return Rescaled(**_pointwise(asked, asked.position, value, equation), divisor=divisor, offset=offset)


def _dropout(asked: _Asked) -> Value:
    value = float(asked.before[asked.position])
    equation = f"{number(value)}, as it came: dropout acts in training only"
    return Pointwise(**_pointwise(asked, asked.position, value, equation))


def _flatten(asked: _Asked) -> Value:
    source = tuple(int(i) for i in np.unravel_index(asked.position[0], asked.before.shape))
    value = float(asked.before[source])
    equation = f"{number(value)}, which was {position_text(source)}"
    return Pointwise(**_pointwise(asked, source, value, equation))


def _pointwise(asked: _Asked, source: tuple[int, ...], value: float, equation: str) -> dict[str, Any]:
    return {
        **asked.common(),
        "x": float(asked.before[source]),
        "source": source,
        "value": value,
        "magnitude": abs(value),
        "equation": equation,
    }


def _activate(activation: Callable[[Any], Any], x: float) -> float:
    ops = import_keras().ops
    return float(ops.convert_to_numpy(activation(ops.convert_to_tensor([x], dtype="float32")))[0])


def _name(activation: Callable[[Any], Any]) -> str:
    return activation.__name__


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(import_keras().ops.convert_to_numpy(variable), np.float32)


_KINDS: dict[str, Callable[[_Asked], Value]] = {
    "Conv2D": _convolution,
    "Dense": _dense,
    "MaxPooling2D": _pooling,
    "AveragePooling2D": _pooling,
    "GlobalAveragePooling2D": _global_average,
    "BatchNormalization": _batch_normalization,
    "Activation": _activation,
    "Rescaling": _rescaling,
    "Dropout": _dropout,
    "Flatten": _flatten,
}
