"""The first layer that decorrelates patches, and convolutions that begin by passing on their channels."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.config import load_recipe
from conviction.errors import MisfitError
from conviction.model import build, walk
from conviction.model.whitening import whiten, whitening_weights

KEYS = ["model.whitening=true", "model.filters=[6]", "model.dense=[]"]


def pictures(channels: int) -> np.ndarray:
    """(40, 9, 11, channels) uint8 whose neighbours, and channels, are alike."""
    rng = np.random.default_rng(channels)
    rough = rng.integers(0, 200, (40, 9, 11, 1)) + rng.integers(0, 56, (40, 9, 11, channels))
    return ((rough + np.roll(rough, 1, axis=2)) // 2).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_its_outputs_are_white_over_the_training_images_and_no_others_count(channels: int) -> None:
    pixels = pictures(channels)
    indices = np.arange(0, 40, 2)
    pixels[1::2] = 255  # what is not trained on
    kernels, biases = whitening_weights(pixels, indices, (2, 2))
    assert kernels.shape == (2, 2, channels, 8 * channels)
    patches = np.lib.stride_tricks.sliding_window_view(pixels[indices] / 255.0, (2, 2), axis=(1, 2))
    patches = np.moveaxis(patches, 3, -1).reshape(-1, 4 * channels)  # (n, y, x, rows, columns, c)
    outputs = patches @ kernels.reshape(-1, 8 * channels).astype(np.float64) + biases
    half = outputs[:, : 4 * channels]
    assert np.allclose(outputs.mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(half.T @ half / len(half), np.eye(4 * channels), atol=0.05)
    assert np.allclose(outputs[:, 4 * channels :], -half, atol=1e-5)


def test_pictures_without_contrast_have_finite_weights() -> None:
    for weights in whitening_weights(np.full((3, 5, 5, 3), 128, np.uint8), np.arange(3), (2, 2)):
        assert np.isfinite(weights).all()


def test_the_network_begins_with_what_was_fitted_which_is_not_learned() -> None:
    spec = load_recipe(KEYS).model
    pixels = pictures(3)
    model = build(spec, pixels.shape[1:], 3, seed=0)
    whiten(model, spec, pixels, np.arange(40))
    layer, row = model.layers[1], walk(spec, pixels.shape[1:], 3)[1]
    expected = whitening_weights(pixels, np.arange(40), (2, 2))
    assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), expected, strict=True))
    assert not layer.trainable_variables
    assert (row.output, row.params, row.trainable) == ((8, 10, 24), layer.count_params(), 0)


def test_it_comes_first() -> None:
    layers = [{"type": "Conv2D", "filters": 2}, {"type": "Whitening"}, {"type": "Flatten"}]
    with pytest.raises(
        MisfitError, match=r"model\.layers\.1 \(Whitening\): it whitens pixels.*Put it first\."
    ):
        walk(load_recipe({"model.layers": layers}).model, (8, 8, 1), 3)


@pytest.mark.parametrize(("channels", "filters"), [(2, 5), (5, 2), (3, 3)])
def test_dirac_passes_on_as_many_channels_as_it_can(channels: int, filters: int) -> None:
    layers = [
        {"type": "Conv2D", "filters": channels, "kernel_size": 1},
        {"type": "Conv2D", "filters": filters, "padding": "same", "kernel_initializer": "dirac"},
        {"type": "Flatten"},
    ]
    random = [*layers[:1], {**layers[1], "kernel_initializer": "glorot_uniform"}, *layers[2:]]
    model, other = (
        build(load_recipe({"model.layers": some}).model, (6, 6, 1), 3, seed=0) for some in (layers, random)
    )
    x = np.random.default_rng(0).normal(size=(2, 6, 6, channels)).astype(np.float32)
    same = min(channels, filters)
    assert np.allclose(np.asarray(model.layers[2](x))[..., :same], x[..., :same], atol=1e-6)
    assert np.allclose(np.asarray(model.layers[2](x))[..., same:], np.asarray(other.layers[2](x))[..., same:])
