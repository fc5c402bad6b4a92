"""Varied versions of pictures whose features are kept: each depends on its own picture, and the epochs take turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import AugmentationSpec, load_recipe
from conviction.training.batches import make_batches
from conviction.training.resident import ResidentBatches
from conviction.training.views import VIEWS, vary_each, views_kept

EVERYTHING = AugmentationSpec(
    flip="both", shift=0.2, rotate=30, zoom=0.3, brightness=0.2, contrast=0.3, cutout=0.4
)


def pictures(n: int = 12) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, 16, 20, 3), np.uint8)


def test_a_version_depends_on_the_picture_alone() -> None:
    pixels = pictures()
    versions = vary_each(pixels, EVERYTHING, seed=1, view=2)
    order = np.random.default_rng(0).permutation(len(pixels))[:7]
    np.testing.assert_array_equal(vary_each(pixels[order], EVERYTHING, seed=1, view=2), versions[order])
    assert len(np.unique(versions.reshape(len(pixels), -1), axis=0)) == len(pixels)
    for seed, view in ((1, 3), (2, 2)):
        others = vary_each(pixels, EVERYTHING, seed=seed, view=view)
        assert (others != versions).reshape(len(pixels), -1).any(1).all()
    np.testing.assert_array_equal(pixels, pictures())  # what is varied is a copy


def test_half_of_the_versions_are_mirrored() -> None:
    pixels = pictures(40)
    mirrored = 0
    for view in range(VIEWS):
        versions = vary_each(pixels, AugmentationSpec(flip="horizontal"), seed=0, view=view)
        as_they_were = (versions == pixels).all((1, 2, 3))
        assert (as_they_were | (versions == pixels[:, :, ::-1]).all((1, 2, 3))).all()
        mirrored += int((~as_they_were).sum())
    assert 110 <= mirrored <= 210  # of 320; the numbers are fixed, so this does not change from run to run


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ([], 1),
        (["augmentation.flip=horizontal"], VIEWS),
        (["augmentation.flip=horizontal", "training.epochs=3"], 3),
        (["augmentation.flip=horizontal", "augmentation.mixup=0.2"], 0),
        (["augmentation.flip=horizontal", "model.trainable=1"], 0),
        (["model.trainable=all"], 0),
    ],
)
def test_how_many_versions_are_kept(keys: list[str], kept: int) -> None:
    assert views_kept(load_recipe(["recipe=transfer", *keys])) == kept


def test_a_network_from_scratch_keeps_none() -> None:
    assert views_kept(load_recipe(["recipe=fast"])) == 0


def test_maps_are_kept_of_pictures_as_they_are_alone() -> None:
    layers = "model.layers=[{type: Backbone, name: efficientnet_lite0}, {type: Flatten}]"
    assert views_kept(load_recipe([layers])) == 1
    assert views_kept(load_recipe([layers, "augmentation.flip=horizontal"])) == 0


def epoch_of(batches: Any, epoch: int) -> list[np.ndarray]:
    batches.start_epoch(epoch)
    return [np.asarray(batch[0]) for batch in batches.data]


@pytest.mark.parametrize("resident", [False, True])
def test_epochs_take_turns_with_the_versions(resident: bool) -> None:
    if resident and import_keras().backend.backend() != "tensorflow":
        pytest.skip("these batches are TensorFlow's")
    views = np.arange(3 * 10, dtype=np.float32).reshape(3, 10, 1)  # version v of picture i is 10 v + i
    chosen = np.array([1, 2, 4, 7, 8])
    targets = np.eye(10, dtype=np.float32)
    make: Any = ResidentBatches if resident else make_batches
    batches = make(np.zeros((10, 1), np.float32), targets, chosen, 2, shuffle_seed=5, views=views)
    for epoch in range(7):
        values = np.concatenate(epoch_of(batches, epoch)).ravel()
        np.testing.assert_array_equal(np.sort(values), 10 * (epoch % 3) + chosen)
    batches.start_epoch(4)
    for x, y in batches.data:
        np.testing.assert_array_equal(np.asarray(x).ravel() % 10, np.asarray(y).argmax(1))
    rest = batches.starting_at(1)
    rest.start_epoch(4)
    np.testing.assert_array_equal(
        np.concatenate([np.asarray(b[0]) for b in rest.data]).ravel(),
        np.concatenate(epoch_of(batches, 4)[1:]).ravel(),
    )
