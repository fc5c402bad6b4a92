"""Building and compiling: seeds, the layers around the specification, losses."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.evaluation import cross_entropies
from conviction.model import build, compile_model
from conviction.model.probabilities import predict_probabilities

SPEC = load_recipe(["model.filters=[4]", "model.dense=[6,6]"]).model
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 1), dtype=np.uint8)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, same, other = (build(SPEC, (12, 12, 1), 3, seed) for seed in (1, 1, 2))
    for a, b, c in zip(one.get_weights(), same.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)  # biases start at zero


def test_layers_of_equal_shape_start_differently() -> None:
    spec = load_recipe(["model.filters=[4]", "model.dense=[6,6,6]"]).model
    model = build(spec, (12, 12, 1), 3, seed=0)
    second, third = (model.get_layer(n).get_weights()[0] for n in ("dense_2", "dense_3"))
    assert second.shape == third.shape
    assert not np.array_equal(second, third)


def test_building_leaves_the_global_random_state_alone() -> None:
    keras = import_keras()
    keras.utils.set_random_seed(5)
    expected = np.random.random(), np.asarray(keras.random.normal((2,)))
    keras.utils.set_random_seed(5)
    build(load_recipe(["model.dropout=0.5"]).model, (28, 28, 1), 3, seed=0)
    assert np.random.random() == expected[0]
    assert np.array_equal(np.asarray(keras.random.normal((2,))), expected[1])


def test_raw_pixels_go_in_and_normalisation_is_inside() -> None:
    model = build(SPEC, (12, 12, 1), 3, seed=0)
    assert model.input_shape == (None, 12, 12, 1)
    assert model.inputs[0].dtype == "uint8"
    normalised = np.asarray(model.layers[0](PIXELS))
    assert np.allclose(normalised, PIXELS / 255.0, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_have_a_column_per_class_and_sum_to_one(classes: int) -> None:
    model = build(SPEC, (12, 12, 1), classes, seed=0)
    assert model.output_shape == (None, 1 if classes == 2 else 3)
    p = predict_probabilities(model, PIXELS)
    assert p.shape == (7, classes)
    assert np.allclose(p.sum(axis=1), 1.0, atol=1e-6)
    if classes == 2:
        assert np.allclose(p[:, 1], np.asarray(model.predict_on_batch(PIXELS))[:, 0])


@pytest.mark.parametrize("classes", [2, 3])
def test_keras_and_our_metrics_agree_on_loss_and_accuracy(classes: int) -> None:
    labels = np.array([0, 1, 1, 0, 1, 0, 0]) if classes == 2 else np.array([0, 1, 2, 0, 1, 2, 2])
    model = build(SPEC, (12, 12, 1), classes, seed=3)
    compile_model(model, TrainingSpec(), classes, steps=1)
    loss, accuracy = model.evaluate(PIXELS, encode_labels(labels, classes), verbose=0)
    p = predict_probabilities(model, PIXELS)
    assert loss == pytest.approx(cross_entropies(p, labels).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_gets_its_rate(name: str) -> None:
    model = build(SPEC, (12, 12, 1), 3, seed=0)
    compile_model(model, TrainingSpec(optimizer=name, learning_rate=0.02), 3, steps=1)  # type: ignore[arg-type]
    assert type(model.optimizer).__name__.lower() == name
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
