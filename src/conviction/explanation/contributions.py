"""What each map that comes into a layer contributes to each map that goes out of it, summed over all places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.backend import import_keras
from conviction.explanation.asked import to_numpy


@dataclass(frozen=True)
class Contributions:
    """What each group of input channels contributes to each output channel.

    Attributes:
        sums: (outputs, groups) float64. What a group adds to an output channel before bias and activation, summed over
            all positions.
        sizes: (outputs, groups) float64, at least 0. The same sum over magnitudes, so that positive and negative
            values do not cancel.
    """

    sums: np.ndarray
    sizes: np.ndarray


def contributions(
    layer: Any, before: np.ndarray, groups: Sequence[Sequence[int]], outputs: Sequence[int]
) -> Contributions | None:
    """What groups of channels contribute to the outputs of one layer, in inference mode.

    A convolution and a dense layer are linear before their bias and activation, so each output is the sum of what the
    channels contribute. The size of a contribution to a dense unit is the magnitude of its sum.

    Args:
        layer: A Keras layer.
        before: What came into it, (rows, columns, channels) or (units,); into a dense layer after Flatten, the maps
            before that.
        groups: Input channels, or units, that belong together, such as the three colours.
        outputs: Output channels, or units.

    Returns:
        None for layers of other kinds, for convolutions with dilation, and for dense layers along one axis of maps.

    >>> import keras
    >>> layer = keras.layers.Dense(2, kernel_initializer="ones")
    >>> _ = layer.build((None, 3))
    >>> contributions(layer, np.array([1.0, 2.0, -5.0], np.float32), [[0, 1], [2]], [1]).sums.tolist()
    [[3.0, -5.0]]
    """
    kind = type(layer).__name__
    if kind == "Dense" and layer.kernel.shape[0] == before.size:
        return _dense(layer, before, groups, outputs)
    if kind in ("Conv2D", "DepthwiseConv2D") and tuple(layer.dilation_rate) == (1, 1) and before.ndim == 3:
        return _convolution(layer, before, groups, outputs)
    return None


def _dense(
    layer: Any, before: np.ndarray, groups: Sequence[Sequence[int]], outputs: Sequence[int]
) -> Contributions:
    kernel = to_numpy(layer.kernel)[:, list(outputs)].astype(np.float64)
    channels = before.shape[-1]
    # Flatten keeps the order: rows, columns, channels.
    values = before.reshape(-1, channels).astype(np.float64)  # (places, channels)
    by_channel = np.einsum("pc,pcj->jc", values, kernel.reshape(len(values), channels, len(outputs)))
    sums = np.stack([by_channel[:, list(group)].sum(axis=1) for group in groups], axis=1)
    return Contributions(sums, np.abs(sums))


def _convolution(
    layer: Any, before: np.ndarray, groups: Sequence[Sequence[int]], outputs: Sequence[int]
) -> Contributions:
    ops = import_keras().ops
    sums, sizes = np.zeros((2, len(outputs), len(groups)))
    kernels = _kernels_of(layer, outputs, before.shape[-1])  # (height, width, channels, outputs)
    for g, group in enumerate(groups):
        channels = list(group)
        # (1, rows, columns, channels) with (height, width, channels, outputs) -> (rows, columns, outputs)
        parts = ops.conv(
            before[np.newaxis, ..., channels].astype(np.float32),
            kernels[..., channels, :],
            strides=tuple(layer.strides),
            padding=layer.padding,
            data_format="channels_last",
        )
        part = np.asarray(ops.convert_to_numpy(parts)[0], np.float64)
        sums[:, g], sizes[:, g] = part.sum(axis=(0, 1)), np.abs(part).sum(axis=(0, 1))
    return Contributions(sums, sizes)


def _kernels_of(layer: Any, outputs: Sequence[int], channels: int) -> np.ndarray:
    """The kernels of some output channels over all input channels, with zeros for those that they do not see."""
    kernel = to_numpy(layer.kernel)
    whole = np.zeros((*kernel.shape[:2], channels, len(outputs)), np.float32)
    for j, output in enumerate(outputs):
        if type(layer).__name__ == "DepthwiseConv2D":
            channel, within = divmod(output, layer.depth_multiplier)
            whole[..., channel, j] = kernel[..., channel, within]
        else:
            seen = kernel.shape[2]
            first = output // (kernel.shape[3] // layer.groups) * seen
            whole[..., first : first + seen, j] = kernel[..., output]
    return whole
