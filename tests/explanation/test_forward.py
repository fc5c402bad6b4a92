"""Activations are those of the network; filters are its kernels."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.errors import RequestError
from conviction.explanation import activations, filters
from conviction.model import build
from tests.explanation import networks
from tests.explanation.test_value import EVERYTHING, SHAPE


@pytest.mark.parametrize("classes", [2, 3])
def test_activations_are_what_the_network_computes(classes: int) -> None:
    model = networks.network(EVERYTHING, SHAPE, classes)
    pixels = networks.picture(SHAPE)
    found = activations(model, pixels)
    truth = networks.by_keras(model, pixels)
    assert [f.name for f in found] == [layer.name for layer in model.layers]
    assert found[1].kind == "Conv2D"
    for f in found:
        assert f.output.dtype == np.float32
        assert np.allclose(f.output, truth[f.name], rtol=1e-5, atol=1e-6)
    assert np.allclose(found[-1].output, np.asarray(model.predict_on_batch(pixels[np.newaxis]))[0], atol=1e-6)


def test_a_network_that_computes_in_bfloat16_is_shown_too() -> None:
    model = build(EVERYTHING, SHAPE, 3, 0, precision="bfloat16")
    assert {f.output.dtype for f in activations(model, networks.picture(SHAPE))} == {np.dtype("float32")}


def test_filters_are_the_kernels() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    assert filters(model).shape == (3, 2, 2, 3)
    assert np.array_equal(filters(model, "conv_2"), model.get_layer("conv_2").get_weights()[0])
    with pytest.raises(RequestError, match=r"expected a convolution; this is MaxPooling2D.*conv_1, conv_2"):
        filters(model, "max_pool_1")
    flat = networks.network(networks.spec({"type": "Flatten"}), (4, 4, 1), 2)
    with pytest.raises(RequestError, match="no convolution"):
        filters(flat)


def test_explaining_leaves_the_network_and_the_random_state_as_they_were() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    before = [w.copy() for w in model.get_weights()]
    state = np.random.get_state()[1].copy()
    activations(model, networks.picture(SHAPE))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(np.random.get_state()[1], state)
