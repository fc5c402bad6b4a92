"""The calculation on paper is right: against numerical gradients and Keras."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.lesson import read_topic, recorded_facts
from conviction.lesson.by_hand import by_hand, forward


def test_every_gradient_is_the_numerical_one() -> None:
    hand = by_hand()
    at = {"picture": hand.picture, "kernel": hand.kernel, "weights": hand.weights}
    for name, values in at.items():
        numerical = np.zeros(values.shape)
        for place in np.ndindex(*values.shape):
            step = np.zeros(values.shape)
            step[place] = 1e-6
            up, down = (forward(**{**at, name: values + sign * step}).loss for sign in (1, -1))
            numerical[place] = (up - down) / 2e-6
        assert np.allclose(getattr(hand.backward, name), numerical, atol=1e-6), name


def test_the_step_is_that_of_keras() -> None:
    keras = import_keras()
    hand = by_hand()
    network = keras.Sequential(
        [
            keras.Input((3, 3, 1)),
            keras.layers.Conv2D(1, 2, activation="relu", use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid", use_bias=False),
        ]
    )
    network.set_weights([hand.kernel[:, :, None, None], hand.weights.reshape(4, 1)])
    network.compile(keras.optimizers.SGD(hand.rate), "binary_crossentropy")
    assert network.train_on_batch(hand.picture[None, :, :, None], np.ones((1, 1))) == pytest.approx(
        hand.forward.loss
    )
    kernel, weights = network.get_weights()
    assert np.allclose(kernel[:, :, 0, 0], hand.new_kernel)
    assert np.allclose(weights.reshape(2, 2), hand.new_weights)
    after = float(np.asarray(network(hand.picture[None, :, :, None]))[0, 0])
    assert after == pytest.approx(hand.after.p, rel=1e-4)


def test_the_example_shows_what_the_text_says_of_it() -> None:
    hand = by_hand()
    assert hand.forward.p == 0.5
    assert hand.forward.sums[0, 0] < 0
    assert (hand.forward.sums.ravel()[1:] > 0).all()
    assert hand.after.loss < hand.forward.loss
    text = read_topic("backpropagation", recorded_facts())
    assert "    -1   1\n     2   3" in text
    assert "1 - 0.1 · 0.5 = 0.95" in text
