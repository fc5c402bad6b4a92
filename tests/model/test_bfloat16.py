"""What trains faster in bfloat16 is the same function, up to the rounding of bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import load_recipe
from conviction.model import build

KEYS = ["model.activation=silu", "model.filters=[6]", "model.batch_norm=true", "model.dense=[]"]


def tensorflow_alone() -> None:
    if import_keras().backend.backend() != "tensorflow":
        pytest.skip("the operation is TensorFlow's")


def test_batch_normalisation_has_the_outputs_gradients_and_averages_are_those_of_the_formula() -> None:
    """Against NumPy in float64."""
    tensorflow_alone()
    import tensorflow as tf

    from conviction.model.bfloat16 import layer_type

    rng = np.random.default_rng(0)
    layer = layer_type("BatchNormalization")(momentum=0.8, dtype="mixed_bfloat16")
    layer.build((None, 5, 7, 3))
    gamma, beta = rng.normal(size=3).astype(np.float32), rng.normal(size=3).astype(np.float32)
    layer.set_weights([gamma, beta, np.zeros(3), np.ones(3)])
    x = tf.constant(3 + 2 * rng.normal(size=(11, 5, 7, 3)), tf.bfloat16)
    weights = rng.normal(size=x.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * weights)
    got = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    v = x.numpy().astype(np.float64)
    axes, n = (0, 1, 2), x.shape[0] * 5 * 7
    mean, variance = v.mean(axis=axes), v.var(axis=axes)
    deviation = np.sqrt(variance + layer.epsilon)
    unit = (v - mean) / deviation
    inner = weights * gamma
    through = inner - inner.sum(axis=axes) / n - unit * (inner * unit).sum(axis=axes) / n
    assert y.dtype == tf.bfloat16
    assert np.allclose(y.numpy().astype(np.float64), unit * gamma + beta, atol=0.03)
    assert np.allclose(got[0].numpy().astype(np.float64), through / deviation, atol=0.02)
    assert np.allclose(got[1], (weights * unit).sum(axis=axes), rtol=0.02, atol=0.5)
    assert np.allclose(got[2], weights.sum(axis=axes), rtol=0.02, atol=0.5)
    _, _, moving_mean, moving_variance = layer.get_weights()
    assert np.allclose(moving_mean, 0.2 * mean, rtol=1e-4)
    assert np.allclose(moving_variance, 0.8 + 0.2 * variance, rtol=1e-4)  # not n / (n - 1) of it


def silu(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes."""
    sigmoid = 1 / (1 + np.exp(-v))
    return v * sigmoid, sigmoid * (1 + v * (1 - sigmoid))


def gelu(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes."""
    from scipy.stats import norm

    return v * norm.cdf(v), norm.cdf(v) + v * norm.pdf(v)


@pytest.mark.parametrize("formula", [silu, gelu], ids=["silu", "gelu"])
def test_an_activation_has_the_values_and_gradients_of_its_formula(formula: Any) -> None:
    tensorflow_alone()
    import tensorflow as tf

    from conviction.model.bfloat16 import activation

    x = tf.constant(np.linspace(-20, 20, 401), tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation(formula.__name__)(x)
    values, slopes = formula(x.numpy().astype(np.float64))
    assert y.dtype == tf.bfloat16
    assert np.allclose(y.numpy().astype(np.float64), values, rtol=2**-8, atol=1e-6)
    assert np.allclose(tape.gradient(y, x).numpy().astype(np.float64), slopes, rtol=2**-8, atol=1e-6)


def test_what_is_learned_goes_into_ordinary_layers() -> None:
    keras = import_keras()
    spec = load_recipe(KEYS).model
    trained = build(spec, (12, 12, 1), 3, seed=0, precision="bfloat16")
    ordinary = build(spec, (12, 12, 1), 3, seed=1)
    ordinary.set_weights(trained.get_weights())
    assert {type(layer).__module__.split(".")[0] for layer in ordinary.layers} == {"keras"}
    pixels = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 1), dtype=np.uint8)
    one, other = (np.asarray(model(pixels, training=False)) for model in (trained, ordinary))
    assert np.allclose(one, other, atol=0.02)
    assert any(type(layer) is keras.layers.BatchNormalization for layer in ordinary.layers)
