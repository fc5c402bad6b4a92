"""Answers averaged over a picture, its mirror image, and both shifted."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.model.probabilities import predict_probabilities
from conviction.model.views import average_views, stack_views, views_of


def reference(pixels: np.ndarray, views: int, down: int, across: int) -> list[np.ndarray]:
    """The versions by slices of a reflected picture; up and to the left first."""
    if views == 1:
        return [pixels]
    h, w = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (down, down), (across, across), (0, 0)), mode="reflect")
    corners = [(down, across), (2 * down, 2 * across), (0, 0)][: 1 if views == 2 else 3]
    shifted = [padded[:, r : r + h, c : c + w] for r, c in corners]
    return [one for version in shifted for one in (version, version[:, :, ::-1])]


@pytest.mark.parametrize("views", [1, 2, 6])
@pytest.mark.parametrize(("h", "w", "down", "across"), [(8, 8, 1, 1), (28, 28, 1, 1), (64, 160, 2, 5)])
def test_they_are_the_picture_mirrored_and_shifted(
    views: int, h: int, w: int, down: int, across: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, h, w, 2), dtype=np.uint8)
    versions = [view.of(pixels) for view in views_of(views, h, w)]
    assert len(versions) == views
    for ours, theirs in zip(versions, reference(pixels, views, down, across), strict=True):
        assert np.array_equal(ours, theirs)


def network(classes: int) -> object:
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            import_keras().Input((9, 40, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid"),
        ]
    )


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("views", [2, 6])
def test_what_is_exported_answers_as_what_is_tested(views: int, classes: int) -> None:
    model = network(classes)
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 40, 3), dtype=np.uint8)
    expected = np.mean([predict_probabilities(model, v) for v in reference(pixels, views, 1, 1)], axis=0)
    assert np.allclose(predict_probabilities(model, pixels, views=views), expected, atol=1e-6)
    keras = import_keras()
    inputs = keras.Input((9, 40, 3), dtype="uint8")
    whole = keras.Model(inputs, average_views(model(stack_views(inputs, views)), views))
    assert np.allclose(whole.predict_on_batch(pixels), expected[:, -classes:], atol=1e-6)
    assert whole.output_shape == (None, classes)
