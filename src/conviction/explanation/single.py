"""The numbers of values that come from one value of the layer's input, or from one of each of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.asked import Asked, activate, activation_name, to_numpy
from conviction.explanation.inside import NamedLayer
from conviction.explanation.numbers import (
    Activated,
    Combined,
    Normalised,
    Padded,
    Pointwise,
    Rescaled,
    Scaled,
    Value,
    number,
    position_text,
)


def _batch_normalization(asked: Asked) -> Value:
    layer, channel = asked.layer, asked.position[-1]
    mean, variance = (float(to_numpy(v)[channel]) for v in (layer.moving_mean, layer.moving_variance))
    return _normalised(asked, mean, variance)


def _layer_normalization(asked: Asked) -> Value:
    values = asked.before[asked.position[:-1]].astype(np.float64)  # the channels at one row and column
    # float32 rounds the mean itself, on which every value depends.
    return _normalised(asked, float(values.mean()), float(values.var()), float(np.abs(values).mean()))


def _normalised(asked: Asked, mean: float, variance: float, summed: float = 0.0) -> Value:
    """By a mean and a variance; ``summed`` is the size of what they were calculated from, if that was done here."""
    layer, channel = asked.layer, asked.position[-1]
    x = float(asked.before[asked.position])
    gamma, beta = (
        default if v is None else float(to_numpy(v)[channel])
        for v, default in ((layer.gamma, 1.0), (layer.beta, 0.0))
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
        magnitude=(abs(x) + max(abs(mean), summed)) / deviation * abs(gamma) + abs(beta),
        equation=(
            f"({number(x)} - mean {number(mean)}) / sqrt(variance {number(variance)} + {layer.epsilon:g}) * "
            f"gamma {number(gamma)} + beta {number(beta)} = {number(value)}"
        ),
    )


def _activation(asked: Asked) -> Value:
    x = float(asked.before[asked.position])
    value = activate(asked.layer.activation, x)
    name = activation_name(asked.layer.activation)
    equation = f"{name}({number(x)}) = {number(value)}"
    return Activated(**_pointwise(asked, asked.position, value, equation), activation=name)


def _relu(asked: Asked) -> Value:
    layer, x = asked.layer, float(asked.before[asked.position])
    if layer.negative_slope or layer.threshold:
        raise RequestError(f"{asked.one.name}: cannot explain a ReLU with a slope or a threshold.")
    most = None if layer.max_value is None else float(layer.max_value)
    value = max(x, 0.0) if most is None else min(max(x, 0.0), most)
    inner = f"max({number(x)}, 0)"
    equation = f"{inner if most is None else f'min({inner}, {most:g})'} = {number(value)}"
    name = "relu" if most is None else f"relu up to {most:g}"
    return Activated(**_pointwise(asked, asked.position, value, equation), activation=name, most=most)


def _combined(asked: Asked) -> Value:
    """Of Add and Multiply; of maps of one row and column, that one takes part everywhere."""
    sources = tuple(
        tuple(0 if n == 1 else at for n, at in zip(values.shape, asked.position, strict=True))
        for values in asked.passed.inputs
    )
    inputs = tuple(float(values[at]) for values, at in zip(asked.passed.inputs, sources, strict=True))
    constant = _constant(asked.one) if len(inputs) == 1 else None
    every = [*inputs, *(() if constant is None else (constant,))]
    added = asked.one.kind == "Add"
    value = float(sum(every)) if added else float(np.prod(every))
    sign = " + " if added else " * "
    terms = [f"({number(x)})" if x < 0 else number(x) for x in every]
    return Combined(
        **asked.common(),
        inputs=inputs,
        sources=sources,
        layers=asked.one.parents,
        constant=constant,
        value=value,
        magnitude=float(np.abs(every).sum()) if added else abs(value),
        equation=f"{sign.join(terms)} = {number(value)}",
    )


def _constant(one: NamedLayer) -> float:
    """The number in an operation such as ``x + 3``: what it makes of what changes nothing."""
    assert one.inner is not None
    (tensor,) = one.inner.tensors
    alone = import_keras().Model(tensor, one.inner.output)
    neutral = np.full((1, *tensor.shape[1:]), 0.0 if one.kind == "Add" else 1.0, np.float32)
    return float(np.asarray(import_keras().ops.convert_to_numpy(alone(neutral, training=False))).ravel()[0])


def _scaled(asked: Asked) -> Value:
    x, factor = float(asked.before[asked.position]), float(to_numpy(asked.layer.gamma)[asked.position[-1]])
    equation = f"{number(x)} * {number(factor)} = {number(x * factor)}"
    return Scaled(**_pointwise(asked, asked.position, x * factor, equation), factor=factor)


def _zero_padding(asked: Asked) -> Value:
    (top, _), (left, _) = asked.layer.padding
    row, column, channel = asked.position
    source = (row - top, column - left, channel)
    inside = all(0 <= at < n for at, n in zip(source, asked.before.shape, strict=True))
    value = float(asked.before[source]) if inside else 0.0
    why = f"which was {position_text(source)}" if inside else "because it lies outside: padding"
    return Padded(
        **asked.common(),
        x=value,
        source=source if inside else (),
        outside=not inside,
        value=value,
        magnitude=abs(value),
        equation=f"{number(value)}, {why}",
    )


def _rescaling(asked: Asked) -> Value:
    channel, x = asked.position[-1], float(asked.before[asked.position])
    # One number for all channels, or one for each.
    scale, offset = (
        float(np.broadcast_to(v, asked.before.shape[-1:])[channel])
        for v in (asked.layer.scale, asked.layer.offset)
    )
    value, divisor = x * scale + offset, 1 / scale
    moved = f" {'-' if offset < 0 else '+'} {number(abs(offset))}" if offset else ""
    equation = f"{number(x)} / {number(divisor)}{moved} = {number(value)}"
    # What is subtracted may leave little of what was there.
    magnitude = abs(x * scale) + abs(offset)
    pointwise = {**_pointwise(asked, asked.position, value, equation), "magnitude": magnitude}
    return Rescaled(**pointwise, divisor=divisor, offset=offset)


def _dropout(asked: Asked) -> Value:
    value = float(asked.before[asked.position])
    equation = f"{number(value)}, as it came: dropout acts in training only"
    return Pointwise(**_pointwise(asked, asked.position, value, equation))


def _reshaped(asked: Asked) -> Value:
    """Of Flatten and Reshape, which keep the order of the values."""
    number_of_it = np.ravel_multi_index(asked.position, asked.one.shape)
    source = tuple(int(i) for i in np.unravel_index(number_of_it, asked.before.shape))
    value = float(asked.before[source])
    equation = f"{number(value)}, which was {position_text(source)}"
    return Pointwise(**_pointwise(asked, source, value, equation))


def _pointwise(asked: Asked, source: tuple[int, ...], value: float, equation: str) -> dict[str, Any]:
    return {
        **asked.common(),
        "x": float(asked.before[source]),
        "source": source,
        "value": value,
        "magnitude": abs(value),
        "equation": equation,
    }


SINGLE: dict[str, Callable[[Asked], Value]] = {
    "BatchNormalization": _batch_normalization,
    "Activation": _activation,
    "Rescaling": _rescaling,
    "Dropout": _dropout,
    "Flatten": _reshaped,
    "Add": _combined,
    "LayerNormalization": _layer_normalization,
    "LayerScale": _scaled,
    "Multiply": _combined,
    "ReLU": _relu,
    "Reshape": _reshaped,
    "StochasticDepth": _dropout,
    "ZeroPadding2D": _zero_padding,
}
