"""Formulas and figures of the texts, held against Keras and against numbers."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import DataSpec
from conviction.data import load_source
from conviction.lesson import read_topic, recorded_facts
from tests.lesson.invented import invented


@pytest.fixture(scope="module")
def keras() -> Any:
    return import_keras()


def adam_steps(gradients: list[float], *, inside: bool) -> float:
    """A weight after some steps of Adam; with ``inside``, epsilon stands after v's correction, as in PyTorch."""
    w = m = v = 0.0
    rate, one, two, epsilon = 0.001, 0.9, 0.999, 1e-7
    for t, g in enumerate(gradients, 1):
        m, v = one * m + (1 - one) * g, two * v + (1 - two) * g * g
        if inside:
            w -= rate * (m / (1 - one**t)) / (math.sqrt(v / (1 - two**t)) + epsilon)
        else:
            w -= rate * math.sqrt(1 - two**t) / (1 - one**t) * m / (math.sqrt(v) + epsilon)
    return w


@pytest.mark.parametrize("size", [1.0, 1e-5, 3e-7])
def test_adam_is_that_of_keras(keras: Any, size: float) -> None:
    gradients = [size, -0.3 * size, 2 * size]
    weight = keras.Variable(np.zeros(1, "float32"))
    optimizer = keras.optimizers.Adam()
    optimizer.build([weight])
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.array([g], "float32"))])
    assert float(weight.numpy()[0]) == pytest.approx(adam_steps(gradients, inside=False), rel=1e-4)
    # Where gradients are tiny, the other form would be another optimizer.
    differs = abs(adam_steps(gradients, inside=True) / adam_steps(gradients, inside=False) - 1)
    assert (differs > 0.1) == (size < 1e-4)
    assert "√(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)" in read_topic("compiling", recorded_facts(), "deep")


def test_the_loss_of_equal_probabilities_and_of_knowing_the_shares() -> None:
    facts = recorded_facts()
    assert facts.base_rate_loss == pytest.approx(
        facts.guess, abs=1e-3
    )  # the lab's classes are equally common
    rng = np.random.default_rng(0)
    one = invented(3)
    counts = tuple(int(c) for c in rng.integers(1, 50, one.classes))
    unequal = type(one)(**{**one.__dict__, "class_counts": counts})
    shares = np.array(counts) / sum(counts)
    assert unequal.base_rate_loss == pytest.approx(float(-(shares * np.log(shares)).sum()))
    assert unequal.base_rate_loss < unequal.guess
    # Equal probabilities have ln K whatever the labels are; no constant answer is better than the shares.
    for other in rng.dirichlet(np.ones(one.classes), 200):
        assert -(shares * np.log(other)).sum() >= unequal.base_rate_loss
    assert "not equally common" in read_topic("compiling", unequal, "quick")
    assert "not equally common" not in read_topic("compiling", facts, "quick")


def test_accuracy_is_proper_but_not_strictly() -> None:
    truth = np.array([0.6, 0.4])
    answers = np.random.default_rng(0).dirichlet(np.ones(2), 500)
    accuracy = truth[answers.argmax(axis=1)]
    assert (accuracy <= truth[truth.argmax()]).all()
    assert (accuracy == truth.max()).sum() > 100  # many answers other than the truth do as well
    loss = -(truth * np.log(answers)).sum(axis=1)
    assert (loss > -(truth * np.log(truth)).sum()).all()


def test_max_pooling_is_not_linear_and_convolutions_are(keras: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1, 6, 6, 1)).astype("float32") for _ in range(2))
    pool, conv = keras.layers.MaxPooling2D(), keras.layers.Conv2D(3, 3, use_bias=False)

    def linear(layer: Any) -> bool:
        return bool(np.allclose(layer(a + b), np.asarray(layer(a)) + np.asarray(layer(b)), atol=1e-5))

    assert linear(conv)
    assert not linear(pool)


def test_batch_normalisation_of_maps_is_over_batch_height_and_width(keras: Any) -> None:
    x = np.random.default_rng(0).normal(3, 2, (5, 4, 3, 2)).astype("float32")
    out = np.asarray(keras.layers.BatchNormalization()(x, training=True))
    wanted = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-3)
    assert np.allclose(out, wanted, atol=1e-4)


def test_fit_works_without_an_input_shape_and_the_summary_does_not(keras: Any) -> None:
    # Another test of this process may have asked for determinism, which random weights then need a seed for.
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
    lines: list[str] = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "unbuilt" in "".join(lines)
    with pytest.raises(ValueError, match="build"):
        model.count_params()
    model.compile("adam", "categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.zeros((4, 3, 3, 1), "float32"), np.eye(2)[[0, 1, 0, 1]], verbose=0)
    assert model.count_params() == 9 * 2 + 2


def test_digits_are_fractions_of_their_range() -> None:
    """The text divides 0 to 16 by 16; the program brings them to 0 to 255 and divides by 255."""
    from sklearn.datasets import load_digits

    images = load_source("digits", DataSpec(image_size=(8, 8)))
    ours = np.sort(np.unique(images.pixels[:] / 255.0))
    theirs = np.unique(load_digits().images / 16.0)
    assert np.allclose(ours, theirs, atol=0.5 / 255)


def test_a_single_loss_is_bounded_by_the_clipping(keras: Any) -> None:
    loss = keras.losses.categorical_crossentropy(np.array([[1.0, 0.0]]), np.array([[1e-30, 1.0]]))
    assert float(np.asarray(loss)[0]) == pytest.approx(-math.log(1e-7), abs=1e-3)


def test_two_logits_move_twice_as_far_as_one() -> None:
    """One step of gradient descent on z = a - b, against one of a sigmoid's logit, from the same probabilities."""
    p, target, rate = 0.3, 1.0, 0.1
    one = -rate * (p - target)
    two = -rate * (p - target) - -rate * ((1 - p) - (1 - target))
    assert two == pytest.approx(2 * one)
