"""Networks with known or random weights, and specifications drawn at random."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from conviction.backend import import_keras
from conviction.config import ModelSpec
from conviction.config.model import Activation
from conviction.errors import RequestError
from conviction.model import build, walk


def spec(*layers: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate({"layers": list(layers)})


def picture(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def network(layers: ModelSpec, shape: tuple[int, int, int], classes: int, seed: int = 0) -> Any:
    """Every weight random, also those that start at 0 or 1, so that each of them matters."""
    model = build(layers, shape, classes, seed)
    randomise(model, seed)
    return model


def randomise(model: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        values = rng.normal(0.0, 1.0, variable.shape) / np.sqrt(fan_in)
        if "variance" in variable.name or "gamma" in variable.name:
            values = rng.uniform(0.5, 2.0, variable.shape)
        variable.assign(values.astype(np.float32))


def by_keras(model: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer by a functional model of Keras's own."""
    keras = import_keras()
    probe = keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers})
    found = probe([pixels[np.newaxis]], training=False)
    return {name: keras.ops.convert_to_numpy(output)[0] for name, output in found.items()}


ACTIVATIONS = get_args(Activation)
_pair = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(list)
_padding = st.sampled_from(["valid", "same"])
_conv = st.fixed_dictionaries(
    {
        "type": st.just("Conv2D"),
        "filters": st.integers(1, 4),
        "kernel_size": _pair,
        "strides": _pair,
        "padding": _padding,
        "activation": st.sampled_from([None, *ACTIVATIONS]),
        "use_bias": st.booleans(),
    }
)
_pool = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["MaxPooling2D", "AveragePooling2D"]),
        "pool_size": _pair,
        "padding": _padding,
    }
)
_dense = st.fixed_dictionaries(
    {
        "type": st.just("Dense"),
        "units": st.integers(1, 12),
        "activation": st.sampled_from([None, *ACTIVATIONS]),
        "use_bias": st.booleans(),
    }
)
_anywhere = st.one_of(
    st.just({"type": "BatchNormalization"}),
    st.just({"type": "Dropout", "rate": 0.5}),
    st.sampled_from(ACTIVATIONS).map(lambda name: {"type": "Activation", "activation": name}),
)
_head = st.sampled_from([{"type": "Flatten"}, {"type": "GlobalAveragePooling2D"}])


@st.composite
def drawn(draw: st.DrawFn) -> tuple[ModelSpec, tuple[int, int, int], int]:
    """(hidden layers, shape of the picture, number of classes), of those that fit."""
    shape = (draw(st.integers(4, 10)), draw(st.integers(4, 10)), draw(st.sampled_from([1, 3])))
    classes = draw(st.integers(2, 4))
    before = draw(st.lists(st.one_of(_conv, _pool, _anywhere), min_size=1, max_size=4))
    after = draw(st.lists(st.one_of(_dense, _anywhere), max_size=2))
    layers = spec(*before, draw(_head), *after)
    try:
        walk(layers, shape, classes)
    except RequestError:
        reject()
    return layers, shape, classes
