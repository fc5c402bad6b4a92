"""Grad-CAM and the gradient of the input: against plain TensorFlow, a closed form, and with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import conviction
from conviction.data.decode import decode_array
from conviction.errors import RequestError
from conviction.explanation import activations, grad_cam, input_gradient
from tests.explanation import networks, reference

CONV = {"type": "Conv2D", "filters": 5}
FLATTEN = {"type": "Flatten"}
SPECS = {
    "lab": [
        {**CONV, "activation": "relu"},
        {"type": "MaxPooling2D"},
        {**CONV, "filters": 7, "activation": "relu"},
        {"type": "MaxPooling2D"},
        FLATTEN,
        {"type": "Dense", "units": 9, "activation": "relu"},
    ],
    "normalised": [
        {**CONV, "use_bias": False},
        {"type": "MaxPooling2D", "padding": "same"},
        {"type": "BatchNormalization"},
        {"type": "Activation", "activation": "silu"},
        {**CONV, "padding": "same", "strides": [2, 1]},
        {"type": "BatchNormalization"},
        {"type": "Activation", "activation": "gelu"},
        {"type": "Dropout", "rate": 0.5},
        {"type": "GlobalAveragePooling2D"},
    ],
    "averaged": [
        {**CONV, "kernel_size": [5, 2], "activation": "tanh"},
        {"type": "AveragePooling2D", "pool_size": [2, 3], "padding": "same"},
        {**CONV, "activation": "selu"},
        FLATTEN,
        {"type": "Dense", "units": 6, "activation": "elu"},
        {"type": "BatchNormalization"},
    ],
    "rest": [
        {**CONV, "activation": "leaky_relu"},
        {**CONV, "activation": "sigmoid", "use_bias": False},
        FLATTEN,
    ],
}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", SPECS)
def test_it_agrees_with_plain_tensorflow(name: str, classes: int) -> None:
    layers = networks.spec(*SPECS[name])
    model = networks.network(layers, (13, 11, 3), classes, seed=classes)
    pixels = networks.picture((13, 11, 3))
    last = [layer.name for layer in model.layers if layer.name.startswith("conv")][-1]
    for class_index in range(classes):
        at_pixels, at_layers = reference.gradients(layers, model, pixels, class_index)
        found = grad_cam(model, pixels, class_index)
        assert found.layer == last
        expected = reference.grad_cam(*at_layers[last])
        assert found.coarse.shape == expected.shape
        assert np.abs(found.coarse - expected).max() <= 1e-4
        assert found.coarse.max() == (1.0 if expected.any() else 0.0)
        first = grad_cam(model, pixels, class_index, layer="conv_1")
        assert np.abs(first.coarse - reference.grad_cam(*at_layers["conv_1"])).max() <= 1e-4
        strongest = np.abs(at_pixels).max(axis=2)
        given = input_gradient(model, pixels, class_index)
        assert np.abs(given - strongest).max() <= 1e-4 * strongest.max()


def test_the_enlarged_map_is_what_tensorflow_enlarges() -> None:
    import tensorflow as tf

    layers = networks.spec(*SPECS["lab"])
    pixels = networks.picture((28, 20, 1))
    found = grad_cam(networks.network(layers, (28, 20, 1), 3), pixels, 1)
    expected = tf.image.resize(found.coarse[..., np.newaxis], (28, 20), method="bilinear")[..., 0]
    assert found.fine.shape == (28, 20)
    assert np.allclose(found.fine, expected, atol=1e-5)


def test_before_global_average_pooling_it_is_cam() -> None:
    """Zhou et al. (2016): with one linear layer on averaged maps, its weights are those of the maps."""
    layers = networks.spec(CONV, {"type": "GlobalAveragePooling2D"})
    model = networks.network(layers, (9, 12, 1), 3)
    pixels = networks.picture((9, 12, 1))
    maps = networks.by_keras(model, pixels)["conv_1"]
    kernel = np.asarray(model.layers[-1].get_weights()[0])
    positive = 0
    for class_index in range(3):
        cam = np.maximum(np.tensordot(maps, kernel[:, class_index], axes=1), 0.0)
        expected = cam / cam.max() if cam.any() else cam
        assert np.abs(grad_cam(model, pixels, class_index).coarse - expected).max() <= 1e-4
        positive += bool(cam.any())
    assert positive


def test_the_map_lies_where_the_evidence_was_planted() -> None:
    layers = networks.spec(CONV, {"type": "GlobalAveragePooling2D"})
    model = networks.network(layers, (20, 20, 1), 3)
    kernel = np.zeros((3, 3, 1, 5), np.float32)
    kernel[1, 1] = 1.0
    model.get_layer("conv_1").set_weights([kernel, np.zeros(5, np.float32)])
    model.get_layer("output").set_weights([np.tile(np.float32([1, -1, 0]), (5, 1)), np.zeros(3, np.float32)])
    pixels = np.zeros((20, 20, 1), np.uint8)
    pixels[2:6, 13:18] = 255
    found = grad_cam(model, pixels)
    assert found.class_index == 0  # what the network predicts
    assert np.array_equal(found.coarse > 0, pixels[1:-1, 1:-1, 0] > 0)
    # Nothing speaks for the second class; dividing by the largest value would make it out of nothing.
    assert not grad_cam(model, pixels, 1).coarse.any()


def test_the_score_is_the_logit_even_where_the_probability_is_saturated() -> None:
    layers = networks.spec(CONV, FLATTEN)
    model = networks.network(layers, (8, 8, 1), 3)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.float32([1000, 0, 0])])
    pixels = networks.picture((8, 8, 1))
    assert activations(model, pixels)[-1].output.tolist() == [1, 0, 0]
    assert grad_cam(model, pixels, 0).coarse.max() == 1.0
    assert input_gradient(model, pixels, 0).max() > 0


INNER = np.s_[7:-7, 7:-7]


def maps_of_scans(run: conviction.Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Grad-CAM and the gradient of the input, for the true classes of some scans."""
    digits = load_digits()
    found = []
    for scan, label in zip(digits.images[:12], digits.target[:12], strict=True):
        pixels = decode_array(np.rint(scan * 255 / 16).astype(np.uint8)[..., np.newaxis], run.rule)
        maps = grad_cam(run.model, pixels, label).fine, input_gradient(run.model, pixels, label)
        # Fewer windows cover a pixel near the border, so there gradients fade in every network, trained or random.
        found.append((maps[0][INNER], maps[1][INNER]))
    return found


def mean_correlations(trained: Path, change: str) -> tuple[float, float]:
    """Spearman's, between maps of the trained network and of a changed copy: (Grad-CAM, gradient)."""
    copy = conviction.load_run(trained)
    rng = np.random.default_rng(0)
    if change == "slightly":
        copy.model.set_weights([w * (1 + 1e-3 * rng.normal(size=w.shape)) for w in copy.model.get_weights()])
    elif change == "output":
        kernel, bias = copy.model.layers[-1].get_weights()
        copy.model.layers[-1].set_weights([rng.permuted(kernel), bias])
    else:
        networks.randomise(copy.model, 0)
    pairs = [
        # A map without any evidence is constant and correlates with nothing.
        [float(spearmanr(a, b, axis=None).statistic) if b.any() else 0.0 for a, b in zip(x, y, strict=True)]
        for x, y in zip(maps_of_scans(conviction.load_run(trained)), maps_of_scans(copy), strict=True)
    ]
    cam, gradient = np.mean(pairs, axis=0)
    return float(cam), float(gradient)


def test_maps_change_when_weights_are_randomised(trained: Path) -> None:
    """The sanity check of Adebayo et al. (2018): a map that survives random weights explains the picture only."""
    assert min(mean_correlations(trained, "slightly")) > 0.95
    assert max(mean_correlations(trained, "output")) < 0.4
    assert max(mean_correlations(trained, "everything")) < 0.2


def test_what_cannot_be_explained_is_said() -> None:
    flat = networks.network(networks.spec(FLATTEN, {"type": "Dense", "units": 4}), (8, 8, 1), 3)
    pixels = networks.picture((8, 8, 1))
    with pytest.raises(RequestError, match=r"no convolution.*input_gradient"):
        grad_cam(flat, pixels)
    assert input_gradient(flat, pixels).shape == (8, 8)
    model = networks.network(networks.spec(CONV, FLATTEN), (8, 8, 1), 3)
    with pytest.raises(RequestError, match="this one gives a vector of 180 values"):
        grad_cam(model, pixels, layer="flatten_1")
    with pytest.raises(RequestError, match="Did you mean 'conv_1'"):
        grad_cam(model, pixels, layer="conv1")
    with pytest.raises(RequestError, match="expected 0 to 2; got 3"):
        grad_cam(model, pixels, 3)
    with pytest.raises(RequestError, match=r"\(8, 8, 1\) of type uint8.*float64"):
        grad_cam(model, pixels / 255.0)
    with pytest.raises(RequestError, match=r"got shape \(8, 8\)"):
        input_gradient(model, pixels[..., 0])
