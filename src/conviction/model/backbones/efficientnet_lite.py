"""EfficientNet-Lite0 (Tan and Le, 2019; Liu, 2020): EfficientNet-B0 without squeeze-and-excitation, with ReLU6.

Its layers are those of TensorFlow's own implementation, from which its published weights were converted: "same"
padding, batch normalisation with an epsilon of 0.001.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras

if TYPE_CHECKING:
    import keras

NAME = "efficientnet_lite0"
STEM, FEATURES, EPSILON = 32, 1280, 1e-3


# Inverted residual blocks of one kind: (repeats, kernel, strides of the first, expansion, filters).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def build(shape: tuple[int, int, int], dtype: Any = None) -> keras.Model:
    """The network up to its last maps, with initial weights that are to be replaced.

    Args:
        shape: (height, width, 3); what comes in is (x - 127) / 128.
        dtype: The policy of every layer.

    Returns:
        A functional model from (n, h, w, 3) to (n, ceil(h / 32), ceil(w / 32), 1280).
    """
    return efficientnet_lite0(import_keras(), shape, dtype)


# Programs that are exported hold the source of this function, so it uses nothing but its arguments and the constants.
def efficientnet_lite0(keras: Any, shape: tuple[int, int, int], dtype: Any = None) -> Any:
    """EfficientNet-Lite0 without its last layers, from (n, h, w, 3), (x - 127) / 128, to (n, h / 32, w / 32, 1280)."""
    layers = keras.layers

    def normalised(x: Any, name: str, *, active: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm", dtype=dtype)(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu", dtype=dtype)(x) if active else x

    def convolved(x: Any, filters: int, kernel: int, strides: int, name: str, *, active: bool = True) -> Any:
        options = {"strides": strides, "padding": "same", "use_bias": False, "dtype": dtype}
        x = layers.Conv2D(filters, kernel, name=name, **options)(x)
        return normalised(x, name, active=active)

    pixels = keras.Input(shape, name="scaled")
    x = convolved(pixels, STEM, 3, 2, "stem")
    number = 0
    for repeats, kernel, first, expansion, filters in STAGES:
        for repeat in range(repeats):
            number += 1
            name, before = f"block{number}", x
            strides = first if repeat == 0 else 1
            if expansion > 1:
                x = convolved(x, expansion * x.shape[-1], 1, 1, f"{name}_expand")
            options = {"strides": strides, "padding": "same", "use_bias": False, "dtype": dtype}
            x = layers.DepthwiseConv2D(kernel, name=f"{name}_depthwise", **options)(x)
            x = normalised(x, f"{name}_depthwise")
            x = convolved(x, filters, 1, 1, f"{name}_project", active=False)
            if strides == 1 and before.shape[-1] == filters:
                x = layers.Add(name=f"{name}_add", dtype=dtype)([before, x])
    x = convolved(x, FEATURES, 1, 1, "top")
    return keras.Model(pixels, x, name=NAME)


def set_weights(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Puts the published weights into the network.

    Args:
        model: From ``build``.
        tensors: By the names of the PyTorch port.

    Raises:
        KeyError, ValueError: They are those of another network.
    """
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_weights_of(layer.name, tensors))


def _weights_of(name: str, tensors: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Of one layer, in the order and with the axes that Keras has."""
    part, *rest = name.split("_")
    prefix = f"_blocks.{int(part[5:]) - 1}." if part.startswith("block") else ""
    kind = rest[0] if prefix else part
    if name.endswith("_norm"):
        norm = prefix + _NORMS[kind]
        return [tensors[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]
    kernel = tensors[f"{prefix}{_KERNELS[kind]}.weight"]
    # (out, in, h, w) -> (h, w, in, out); of depthwise ones (channels, 1, h, w) -> (h, w, channels, 1)
    return [kernel.transpose((2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0))]


_KERNELS = {
    "stem": "_conv_stem",
    "expand": "_expand_conv",
    "depthwise": "_depthwise_conv",
    "project": "_project_conv",
    "top": "_conv_head",
}
_NORMS = {"stem": "_bn0", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2", "top": "_bn1"}
