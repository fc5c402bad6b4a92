"""The solutions are right: against Keras, SciPy and numerical gradients, none of which they use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax as scipy_softmax

from conviction.backend import import_keras
from conviction.data.idx import read_idx
from conviction.exercises.tasks import load_idx
from conviction.exercises.tasks.accuracy_interval import accuracy_interval
from conviction.exercises.tasks.adam_step import adam_step
from conviction.exercises.tasks.batch_norm import batch_norm
from conviction.exercises.tasks.conv2d import conv2d
from conviction.exercises.tasks.conv2d_gradients import conv2d_gradients
from conviction.exercises.tasks.cross_entropy import cross_entropy
from conviction.exercises.tasks.dense_gradient import dense_gradient
from conviction.exercises.tasks.dropout import dropout
from conviction.exercises.tasks.grad_cam import grad_cam
from conviction.exercises.tasks.max_pool import max_pool
from conviction.exercises.tasks.max_pool_gradient import max_pool_gradient
from conviction.exercises.tasks.one_hot import one_hot
from conviction.exercises.tasks.output_shapes import output_shapes
from conviction.exercises.tasks.parameter_counts import parameter_counts
from conviction.exercises.tasks.relu_gradient import relu_gradient
from conviction.exercises.tasks.sgd_step import sgd_step
from conviction.exercises.tasks.softmax import softmax
from conviction.explanation.gradients import grad_cam as explain_class

CHANCE = np.random.default_rng(0)


def numerical(loss: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """The gradient by central differences."""
    gradient = np.zeros(at.shape)
    for place in np.ndindex(*at.shape):
        step = np.zeros(at.shape)
        step[place] = 1e-5
        gradient[place] = (loss(at + step) - loss(at - step)) / 2e-5
    return gradient


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 2), (5, 5)])
def test_conv2d_is_that_of_keras(padding: str, strides: int, rows: int, columns: int) -> None:
    keras = import_keras()
    image = CHANCE.normal(size=(7, 6, 3)).astype(np.float32)
    kernel, bias = CHANCE.normal(size=(rows, columns, 3, 4)), CHANCE.normal(size=4)
    layer = keras.layers.Conv2D(4, (rows, columns), strides=strides, padding=padding)
    layer.build((None, 7, 6, 3))
    layer.set_weights([kernel, bias])
    assert np.allclose(
        conv2d(image, kernel, bias, strides, padding), np.asarray(layer(image[None]))[0], atol=1e-4
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_max_pool_is_that_of_keras(size: int) -> None:
    image = CHANCE.normal(size=(7, 8, 3)).astype(np.float32)
    layer = import_keras().layers.MaxPooling2D(size)
    assert np.array_equal(max_pool(image, size), np.asarray(layer(image[None]))[0])


def test_softmax_and_cross_entropy() -> None:
    logits = CHANCE.normal(0, 300, (9, 5))
    assert np.allclose(softmax(logits), scipy_softmax(logits, axis=1))
    targets = np.eye(5)[CHANCE.integers(0, 5, 9)]
    keras = import_keras()
    expected = keras.losses.CategoricalCrossentropy()(targets, softmax(logits))
    assert cross_entropy(targets, softmax(logits)) == pytest.approx(float(expected), rel=1e-4)


def test_steps_are_those_of_keras() -> None:
    """Several in a row, so that what is kept between them counts."""
    keras = import_keras()
    gradients = CHANCE.normal(size=(4, 3)).astype(np.float32)
    start = CHANCE.normal(size=3).astype(np.float32)
    kept = keras.Variable(start)
    adam = keras.optimizers.Adam(0.05)
    weights, means = start, (np.zeros(3), np.zeros(3))
    for step, gradient in enumerate(gradients, 1):
        adam.apply([keras.ops.convert_to_tensor(gradient)], [kept])
        weights, means = adam_step(weights, gradient, means, step, 0.05)
        assert np.allclose(weights, kept.numpy(), atol=1e-5)
    kept, weights, velocity = keras.Variable(start), start, np.zeros(3)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    for gradient in gradients:
        sgd.apply([keras.ops.convert_to_tensor(gradient)], [kept])
        weights, velocity = sgd_step(weights, gradient, velocity, 0.05, 0.9)
        assert np.allclose(weights, kept.numpy(), atol=1e-5)


def test_batch_norm_is_that_of_keras_in_training_and_after_it() -> None:
    layer = import_keras().layers.BatchNormalization(center=False, scale=False)
    batch = CHANCE.normal(2, 3, (5, 4, 3, 2)).astype(np.float32)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(3):
        out, mean, variance = batch_norm(batch, mean, variance, training=True)
        assert np.allclose(out, np.asarray(layer(batch, training=True)), atol=1e-4)
    assert np.allclose(mean, layer.moving_mean.numpy(), atol=1e-5)
    assert np.allclose(variance, layer.moving_variance.numpy(), atol=1e-4)
    out, *after = batch_norm(batch, mean, variance, training=False)
    assert np.allclose(out, np.asarray(layer(batch, training=False)), atol=1e-4)
    assert all(np.array_equal(one, other) for one, other in zip(after, (mean, variance), strict=True))


LAYERS: list[dict[str, Any]] = [
    {"type": "Conv2D", "filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
    {"type": "Conv2D", "filters": 6, "kernel_size": 5, "strides": 1, "padding": "valid"},
    {"type": "BatchNormalization"},
    {"type": "MaxPooling2D", "pool_size": 2},
    {"type": "Flatten"},
    {"type": "Dense", "units": 7},
]


def test_shapes_and_counts_are_those_of_keras() -> None:
    keras = import_keras()
    made = [
        getattr(keras.layers, layer["type"])(**{k: v for k, v in layer.items() if k != "type"})
        for layer in LAYERS
    ]
    network = keras.Sequential([keras.Input((29, 33, 3)), *made])
    shapes = [tuple(layer.output.shape[1:]) for layer in network.layers]
    without = [layer for layer in LAYERS if layer["type"] != "BatchNormalization"]
    assert output_shapes((29, 33, 3), without) == [
        s for s, x in zip(shapes, LAYERS, strict=True) if x in without
    ]
    counted = [{**x, "values": shapes[i][0]} if x["type"] == "Flatten" else x for i, x in enumerate(LAYERS)]
    assert parameter_counts(counted, 3) == [layer.count_params() for layer in network.layers]


def test_gradients_are_the_numerical_ones() -> None:
    image, kernel, above = CHANCE.normal(size=(5, 6)), CHANCE.normal(size=(3, 2)), CHANCE.normal(size=(3, 5))

    def loss(image: np.ndarray, kernel: np.ndarray, bias: float) -> float:
        return float(
            (
                conv2d(image[:, :, None], kernel[:, :, None, None], np.array([bias]), 1, "valid")[:, :, 0]
                * above
            ).sum()
        )

    for_image, for_kernel, for_bias = conv2d_gradients(image, kernel, above)
    assert np.allclose(for_image, numerical(lambda x: loss(x, kernel, 0.5), image), atol=1e-6)
    assert np.allclose(for_kernel, numerical(lambda k: loss(image, k, 0.5), kernel), atol=1e-6)
    assert for_bias == pytest.approx(
        float(numerical(lambda b: loss(image, kernel, float(b[0])), np.zeros(1))[0])
    )
    values = CHANCE.permutation(42).reshape(7, 6).astype(float)
    from_above = CHANCE.normal(size=(3, 3))
    expected = numerical(lambda x: float((max_pool(x[:, :, None], 2)[:, :, 0] * from_above).sum()), values)
    assert np.allclose(max_pool_gradient(values, from_above, 2), expected, atol=1e-6)
    inputs, gate = CHANCE.normal(size=(4, 3)), CHANCE.normal(size=(4, 3))
    expected = numerical(lambda x: float((np.maximum(x, 0) * gate).sum()), inputs)
    assert np.allclose(relu_gradient(inputs, gate), expected, atol=1e-6)


def test_the_gradient_of_the_last_layer_is_the_numerical_one() -> None:
    inputs, kernel, bias = CHANCE.normal(size=(6, 4)), CHANCE.normal(size=(4, 3)), CHANCE.normal(size=3)
    targets = np.eye(3)[CHANCE.integers(0, 3, 6)]

    def loss(kernel: np.ndarray, bias: np.ndarray) -> float:
        return cross_entropy(targets, softmax(inputs @ kernel + bias))

    for_kernel, for_bias = dense_gradient(inputs, softmax(inputs @ kernel + bias), targets)
    assert np.allclose(for_kernel, numerical(lambda k: loss(k, bias), kernel), atol=1e-6)
    assert np.allclose(for_bias, numerical(lambda b: loss(kernel, b), bias), atol=1e-6)


def test_the_interval_is_wilsons() -> None:
    labels = CHANCE.integers(0, 4, 60)
    probabilities = CHANCE.random((60, 4)) + np.eye(4)[labels]
    accuracy, low, high = accuracy_interval(probabilities, labels)
    expected = stats.binomtest(round(accuracy * 60), 60).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_one_hot_is_that_of_keras_and_dropout_keeps_the_mean() -> None:
    labels = CHANCE.integers(0, 7, 30)
    assert np.array_equal(one_hot(labels, 9), import_keras().utils.to_categorical(labels, 9))
    values = np.full(20_000, 3.0)
    left = dropout(values, 0.3, CHANCE.random(20_000), training=True)
    assert left.mean() == pytest.approx(3.0, abs=0.05)
    assert (left == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_idx_files_are_read_as_the_product_reads_them(tmp_path: Path) -> None:
    for (content,) in load_idx.EXERCISE.cases():
        (tmp_path / "file").write_bytes(content)
        assert np.array_equal(load_idx.load_idx(content), read_idx(tmp_path / "file"))


def test_grad_cam_is_that_of_explain() -> None:
    """The gradient is known: the score is a weighted mean of the maps."""
    keras = import_keras()
    network = keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 3, activation="relu", name="last"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    pixels = CHANCE.integers(0, 256, (9, 8, 3), np.uint8)
    product = explain_class(network, pixels, class_index=2)
    maps = np.asarray(
        keras.Model(network.inputs[0], network.get_layer("last").output)(pixels[None].astype(np.float32))
    )[0]
    gradient = np.broadcast_to(network.layers[-1].get_weights()[0][:, 2] / maps[:, :, 0].size, maps.shape)
    assert np.allclose(grad_cam(maps, gradient), product.coarse, atol=1e-4)
