"""The specification to an ordinary, compiled ``keras.Sequential``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.config import ModelSpec
from conviction.config.model import Backbone, Conv2D, Whitening
from conviction.errors import RequestError
from conviction.model import bfloat16
from conviction.model.backbones import build_backbone
from conviction.model.shapes import scaling_of, walk

if TYPE_CHECKING:
    import keras


def build(
    spec: ModelSpec,
    input_shape: tuple[int, int, int],
    classes: int,
    seed: int,
    precision: str = "float32",
) -> keras.Sequential:
    """Builds the network for raw pixels.

    Args:
        spec: The hidden layers.
        input_shape: (height, width, channels).
        classes: At least 2.
        seed: Decides the initial weights and the dropout masks, layer by layer; Keras's global random
            state is neither used nor changed.
        precision: "float32" or "bfloat16", in which the hidden layers compute. Weights and the output are always
            float32, so that ``set_weights`` carries them from one to the other.

    Returns:
        A model from (n, height, width, channels) uint8 to probabilities: (n, classes) from a softmax, or
        (n, 1) from one sigmoid unit for two classes, the probability of the second.

    Raises:
        RequestError: A layer does not fit; see ``walk``. Or it is a network that a user has built.
        WeightsError: The weights of a backbone were not found, or are not the published ones.
    """
    if spec.own is not None:
        raise RequestError(
            "the network was built by its user, and keys do not build it again. Give it to conviction.fit as model."
        )
    rows = walk(spec, input_shape, classes)
    keras = import_keras()
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    quicker = precision == "bfloat16" and keras.backend.backend() == "tensorflow"
    model = keras.Sequential(name="cnn")
    model.add(keras.Input(input_shape, dtype="uint8", name="pixels"))
    scaling = scaling_of(spec)
    model.add(keras.layers.Rescaling(scaling.scale, scaling.offset, name=rows[0].name, dtype=policy))
    for index, (layer, row) in enumerate(zip(spec.layers, rows[1:-1], strict=True)):
        if isinstance(layer, Backbone):
            model.add(build_backbone(layer, input_shape, policy))
            continue
        if isinstance(layer, Whitening):
            # Its kernels are fitted to training images by ``whiten``.
            fixed = {"trainable": False, "kernel_initializer": "zeros", "name": row.name, "dtype": policy}
            model.add(keras.layers.Conv2D(row.output[-1], layer.kernel_size, **fixed))
            continue
        options: dict[str, Any] = {k: v for k, v in layer.model_dump().items() if k != "type"}
        if layer.type in ("Conv2D", "Dense"):
            options["kernel_initializer"] = _glorot(seed, index)
        if layer.type == "Dropout":
            options["seed"] = layer_seed(seed, index)
        kind = getattr(keras.layers, layer.type)
        if quicker:
            kind = bfloat16.layer_type(layer.type)
            if "activation" in options:
                options["activation"] = bfloat16.activation(options["activation"])
        model.add(kind(**options, name=row.name, dtype=policy))
        if isinstance(layer, Conv2D) and layer.kernel_initializer == "dirac":
            begin_with_identity(model.layers[-1])
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    initial = _glorot(seed, len(spec.layers))
    model.add(
        keras.layers.Dense(
            units, activation=activation, kernel_initializer=initial, name="output", dtype="float32"
        )
    )
    return model


def begin_with_identity(convolution: Any) -> None:
    """Lets the first filters of a convolution pass on one channel each (Zagoruyko and Komodakis, 2017, "DiracNets").

    There are as many of them as channels, or as filters if those are fewer; the others keep their weights. An
    initializer of ours instead would have to be there wherever the saved network is loaded.
    """
    kernel, *rest = convolution.get_weights()  # (h, w, c, filters)
    height, width, channels, filters = kernel.shape
    first = np.arange(min(channels, filters))
    kernel[..., first] = 0
    kernel[height // 2, width // 2, first, first] = 1
    convolution.set_weights([kernel, *rest])


def layer_seed(seed: int, index: int) -> int:
    """A seed for the layer at ``index``: equal layers of one network must not start with equal weights."""
    return (seed * 1_000_003 + index) % 2**31


def _glorot(seed: int, index: int) -> Any:
    # Keras's default initializer, with a seed.
    return import_keras().initializers.GlorotUniform(seed=layer_seed(seed, index))
