"""What a layer passes back to one of the values that came into it: the chain rule, one output at a time.

The gradient of the loss with respect to a value is a sum over every output of the next layers that the value takes part
in: the upstream gradient, that of the loss with respect to the output, times the local derivative, that of the output
with respect to the value (Rumelhart, Hinton and Williams, 1986, "Learning representations by back-propagating errors").
All in inference mode, as the network answers: in training, batch normalisation also passes back through the mean and
variance of the batch, and dropout through what it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.asked import activation_name, to_numpy
from conviction.explanation.differentiate import differentiate
from conviction.explanation.inside import NamedLayer, Passed
from conviction.explanation.window import inside, window_at


@dataclass(frozen=True)
class Following:
    """A layer that a value goes into.

    Attributes:
        one: The layer.
        number: Which of its inputs the value is in.
        passed: What passed through it.
        upstream: The gradient of the loss with respect to its output, float32; of the output layer, to its logits.
        is_output: Whether it gives the probabilities.
    """

    one: NamedLayer
    number: int
    passed: Passed
    upstream: np.ndarray
    is_output: bool = False

    @property
    def layer(self) -> Any:
        """The Keras layer, or operation."""
        return self.one.layer

    @property
    def before(self) -> np.ndarray:
        """What came into it, of the input that the value is in."""
        return self.passed.inputs[self.number]


@dataclass(frozen=True)
class Flow:
    """What one layer passes back to a value: ``upstream * slopes * factors``, output by output.

    Attributes:
        layer: Its name.
        kind: Its type.
        activation: The name of its activation; empty without one.
        positions: Of its outputs that the value takes part in, int (n, 1) or (n, 3).
        upstream: The gradient of the loss with respect to each, float64 (n,); of the output layer to its logits, p - y.
        slopes: The derivative of its activation where each of them is, float64 (n,); 1 without one.
        factors: What the value is multiplied by on its way into each, float64 (n,).
        is_output: Whether the layer gives the probabilities.
    """

    layer: str
    kind: str
    activation: str
    positions: np.ndarray
    upstream: np.ndarray
    slopes: np.ndarray
    factors: np.ndarray
    is_output: bool = False

    @property
    def contributions(self) -> np.ndarray:
        """What each output adds to the gradient, float64 (n,)."""
        return self.upstream * self.slopes * self.factors


def flow_back(following: Following, position: tuple[int, ...]) -> Flow:
    """What a layer passes back to the value at a position of what came into it.

    Raises:
        RequestError: The layer is of a kind that is not explained.
    """
    kind = following.one.kind
    if kind not in _RULES:
        raise RequestError(
            f"{following.one.name}: cannot explain what a layer of type {kind} passes back; expected "
            f"{', '.join(_RULES)}."
        )
    positions, factors, sums = _RULES[kind](following, position)
    where = np.array(positions, int).reshape(len(positions), following.passed.output.ndim)
    upstream = following.upstream[tuple(where.T)].astype(np.float64)
    activation, slopes = "", np.ones(len(where))
    # The upstream gradient of the output layer is that of its logits, so its activation is behind it already.
    if sums is not None and not following.is_output:
        name = activation_name(following.layer.activation)
        activation = "" if name == "linear" else name
        slopes = slopes_at(following.one.name, following.layer.activation, sums)
    weights = np.broadcast_to(np.asarray(factors, np.float64), len(where))
    return Flow(following.one.name, kind, activation, where, upstream, slopes, weights, following.is_output)


def slopes_at(layer: str, activation: Callable[[Any], Any], sums: Any) -> np.ndarray:
    """The derivative of an activation function at numbers, as the framework has it; float64, of their shape.

    Raises:
        RequestError: Each of its outputs depends on all of these numbers, as those of softmax do.
    """
    if activation_name(activation) in ("softmax", "log_softmax"):
        raise RequestError(
            f"{layer}: cannot explain {activation_name(activation)} within a network. Put it into an Activation layer."
        )
    ops = import_keras().ops
    points = np.asarray(sums, np.float32)
    (slopes,) = differentiate(lambda x: ops.sum(activation(x)), [points])
    return slopes.astype(np.float64)


def refuse_dilation(one: NamedLayer) -> None:
    """Windows with gaps are not explained.

    Raises:
        RequestError: A convolution has them.
    """
    if tuple(one.layer.dilation_rate) != (1, 1):
        raise RequestError(f"{one.name}: cannot explain a convolution with dilation.")


def windows(maps: np.ndarray, layer: Any, size: tuple[int, int]) -> np.ndarray:
    """Every window of a convolution or pooling over its input: (h, w, c) -> (rows, columns, c, *size), float64.

    Rows and columns are those of its output; what lies outside the map is 0.
    """
    rows, columns = layer.output.shape[1:3]
    shape = (maps.shape[0], maps.shape[1])
    first = window_at((0, 0), shape, size, layer.strides, layer.padding)
    last = window_at((rows - 1, columns - 1), shape, size, layer.strides, layer.padding)
    around = (
        (-first.top, max(0, last.top + size[0] - shape[0])),
        (-first.left, max(0, last.left + size[1] - shape[1])),
        (0, 0),
    )
    padded = np.pad(maps.astype(np.float64), around)
    every = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(0, 1))
    down, right = layer.strides
    return every[::down, ::right][:rows, :columns]


# A rule returns the outputs that a value takes part in, what it is multiplied by on its way into each, and what each
# has before its activation; None where there is no activation.
_Rule = Callable[[Following, tuple[int, ...]], tuple[Sequence[tuple[int, ...]], Any, Any]]


def _convolution(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    layer, channel = f.layer, position[2]
    kernel = to_numpy(layer.kernel).astype(
        np.float64
    )  # (rows, columns, channels that a filter sees, filters)
    seen = kernel.shape[2]
    group, within = divmod(channel, seen)
    each = kernel.shape[3] // layer.groups
    filters = range(group * each, (group + 1) * each)
    return _through(f, position, kernel[..., filters], (group * seen, within), filters)


def _depthwise_convolution(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    channel, multiplier = position[2], f.layer.depth_multiplier
    kernel = to_numpy(f.layer.kernel).astype(np.float64)  # (rows, columns, input channels, filters of each)
    filters = range(channel * multiplier, (channel + 1) * multiplier)
    return _through(f, position, kernel[:, :, channel : channel + 1], (channel, 0), filters)


def _through(
    f: Following, position: tuple[int, ...], kernel: np.ndarray, seen: tuple[int, int], filters: Sequence[int]
) -> tuple[Any, Any, Any]:
    """Through filters that see the channels from ``seen[0]`` on; the value is in number ``seen[1]`` of these."""
    layer, (row, column, _) = f.layer, position
    refuse_dilation(f.one)
    size = (kernel.shape[0], kernel.shape[1])
    first, within = seen
    bias = to_numpy(layer.bias).astype(np.float64)[list(filters)] if layer.use_bias else 0.0
    every = windows(f.before[..., first : first + kernel.shape[2]], layer, size)
    positions: list[tuple[int, ...]] = []
    factors, sums = [], []
    for at, (down, right) in _covering(f, (row, column), size):
        positions += [(*at, k) for k in filters]
        factors.append(kernel[down, right, within])
        # (channels, rows, columns) with (rows, columns, channels, filters) -> (filters,)
        sums.append(np.einsum("crk,rkcf->f", every[at], kernel) + bias)
    none = np.zeros(0)
    return positions, np.concatenate([*factors, none]), np.concatenate([*sums, none])


def _covering(
    f: Following, at: tuple[int, int], size: tuple[int, int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The outputs whose window covers a position of the input, and where in the window it is."""
    shape = (f.before.shape[0], f.before.shape[1])
    rows, columns = f.passed.output.shape[:2]
    start = window_at((0, 0), shape, size, f.layer.strides, f.layer.padding)
    axes = []
    for index, offset, k, stride, count in zip(
        at, (start.top, start.left), size, f.layer.strides, (rows, columns), strict=True
    ):
        distance = index - offset
        lowest = max(0, -(-(distance - k + 1) // stride))
        axes.append(
            [(n, distance - n * stride) for n in range(lowest, min(count - 1, distance // stride) + 1)]
        )
    return [((r, c), (down, right)) for r, down in axes[0] for c, right in axes[1]]


def _dense(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    *where, channel = position
    kernel = to_numpy(f.layer.kernel).astype(np.float64)  # (features, units)
    bias = to_numpy(f.layer.bias).astype(np.float64) if f.layer.use_bias else 0.0
    sums = f.before[tuple(where)].astype(np.float64) @ kernel + bias
    return [(*where, unit) for unit in range(kernel.shape[1])], kernel[channel], sums


def _max_pooling(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Only the outputs that this value has won, the first of equal ones."""
    row, column, channel = position
    size, shape = f.layer.pool_size, (f.before.shape[0], f.before.shape[1])
    won = []
    for at, _ in _covering(f, (row, column), size):
        rows, columns = inside(f.before, window_at(at, shape, size, f.layer.strides, f.layer.padding))
        values = f.before[rows, columns, channel]
        down, right = np.unravel_index(values.argmax(), values.shape)
        if (rows.start + down, columns.start + right) == (row, column):
            won.append((*at, channel))
    return won, 1.0, None


def _average_pooling(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    row, column, channel = position
    size, shape = f.layer.pool_size, (f.before.shape[0], f.before.shape[1])
    positions, shares = [], []
    for at, _ in _covering(f, (row, column), size):
        rows, columns = inside(f.before, window_at(at, shape, size, f.layer.strides, f.layer.padding))
        positions.append((*at, channel))
        shares.append(1.0 / ((rows.stop - rows.start) * (columns.stop - columns.start)))
    return positions, shares, None


def _global_average(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    where = (position[-1],) if f.passed.output.ndim == 1 else (0, 0, position[-1])
    return [where], 1.0 / (f.before.shape[0] * f.before.shape[1]), None


def _batch_normalization(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    variance = float(to_numpy(f.layer.moving_variance)[position[-1]])
    gamma = 1.0 if f.layer.gamma is None else float(to_numpy(f.layer.gamma)[position[-1]])
    return [position], gamma / np.sqrt(variance + f.layer.epsilon), None


def _layer_normalization(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Every channel at the same row and column depends on the value, also through their mean and variance."""
    *where, channel = position
    x = f.before[tuple(where)].astype(np.float64)
    deviation = float(np.sqrt(x.var() + f.layer.epsilon))
    normal = (x - x.mean()) / deviation
    gamma = 1.0 if f.layer.gamma is None else to_numpy(f.layer.gamma).astype(np.float64)
    own = np.eye(len(x))[channel]
    factors = gamma / deviation * (own - 1.0 / len(x) - normal * normal[channel] / len(x))
    return [(*where, k) for k in range(len(x))], factors, None


def _activation(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    if activation_name(f.layer.activation) == "softmax":
        return _softmax(f, position)
    return [position], 1.0, f.before[position][np.newaxis]


def _softmax(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Every share depends on every number, except that the output layer's gradient is that of its logits."""
    if f.is_output:
        return [position], 1.0, None
    *where, channel = position
    p = f.passed.output[tuple(where)].astype(np.float64)
    return [(*where, k) for k in range(len(p))], p * (np.eye(len(p))[channel] - p[channel]), None


def _relu(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    if f.layer.negative_slope or f.layer.threshold:
        raise RequestError(f"{f.one.name}: cannot explain a ReLU with a slope or a threshold.")
    most = f.layer.max_value
    x = f.before[position]
    return [position], float(x > 0 and (most is None or x < most)), None


def _combined(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Of Add and Multiply: maps of one row and column take part everywhere."""
    shape = f.passed.output.shape
    ranges = [
        range(n) if size == 1 else (at,) for at, size, n in zip(position, f.before.shape, shape, strict=True)
    ]
    positions = (
        [(a, b, c) for a in ranges[0] for b in ranges[1] for c in ranges[2]]
        if len(shape) == 3
        else [position]
    )
    if f.one.kind == "Add":
        return positions, 1.0, None
    others = [np.broadcast_to(x, shape) for i, x in enumerate(f.passed.inputs) if i != f.number]
    product = np.prod(others, axis=0) if others else _constant(f)
    return positions, [float(product[at]) for at in positions], None


def _constant(f: Following) -> np.ndarray:
    """What an operation such as ``x * 3`` multiplies by, at every position: what it makes of 1."""
    assert f.one.inner is not None
    (tensor,) = f.one.inner.tensors
    alone = import_keras().Model(tensor, f.one.inner.output)
    ones = np.ones((1, *tensor.shape[1:]), np.float32)
    return np.asarray(import_keras().ops.convert_to_numpy(alone(ones, training=False)))[0]


def _scaled(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    return [position], float(to_numpy(f.layer.gamma)[position[-1]]), None


def _rescaling(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    scale = np.broadcast_to(np.asarray(f.layer.scale, np.float64), f.before.shape[-1:])
    return [position], float(scale[position[-1]]), None


def _zero_padding(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    (top, _), (left, _) = f.layer.padding
    row, column, channel = position
    return [(row + top, column + left, channel)], 1.0, None


def _unchanged(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    return [position], 1.0, None


def _reshaped(f: Following, position: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Of Flatten and Reshape, which keep the order of the values."""
    number = np.ravel_multi_index(position, f.before.shape)
    return [tuple(int(i) for i in np.unravel_index(number, f.passed.output.shape))], 1.0, None


_RULES: dict[str, _Rule] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise_convolution,
    "Dense": _dense,
    "MaxPooling2D": _max_pooling,
    "AveragePooling2D": _average_pooling,
    "GlobalAveragePooling2D": _global_average,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Activation": _activation,
    "ReLU": _relu,
    "Softmax": _softmax,
    "Rescaling": _rescaling,
    "Dropout": _unchanged,
    "StochasticDepth": _unchanged,
    "Flatten": _reshaped,
    "Reshape": _reshaped,
    "Add": _combined,
    "Multiply": _combined,
    "LayerScale": _scaled,
    "ZeroPadding2D": _zero_padding,
}
