"""The frozen start of a network: computed once, the same whatever else is computed, and never believed if damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import ModelSpec, load_recipe
from conviction.config.model import Backbone, Dense, Dropout, Flatten, GlobalAveragePooling2D
from conviction.data import ImageSet, split_images
from conviction.data.image_set import array_hashes
from conviction.data.rule import DecodingRule
from conviction.flow.network import compiled, learning
from conviction.model import build, features_of, part, predict_images, predict_probabilities, walk
from conviction.model.backbones.efficientnet_lite import NAME
from conviction.reporting import Silent
from conviction.training import StopRequest, train
from tests.conftest import picture

SPEC = ModelSpec(layers=(Backbone(name=NAME), GlobalAveragePooling2D(), Dropout(rate=0.2)))
SHAPE = (32, 32, 3)


def image_set(n: int = 90) -> ImageSet:
    labels = np.arange(n) % 3
    pixels = np.stack([picture(i, label, (32, 32)) for i, label in enumerate(labels)])
    hashes = array_hashes(pixels)
    return ImageSet(
        name="pictures",
        location="pictures",
        origin=None,
        pixels=pixels,
        labels=labels.astype(np.int64),
        hashes=hashes,
        names=[f"{i}.png" for i in range(n)],
        parts=np.array([""] * n, dtype="<U10"),
        class_names=["top", "left", "bottom"],
        rule=DecodingRule(color_mode="rgb", height=32, width=32),
        stored="pictures",
        thumbs=pixels,
        pixel_hashes=hashes,
    )


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return image_set()


@pytest.fixture(scope="module")
def model() -> Any:
    return build(SPEC, SHAPE, 3, seed=0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVICTION_CACHE", str(tmp_path / "cache"))


def test_only_what_is_frozen_and_fixed_is_parted(model: Any) -> None:
    parted = part(model)
    assert parted is not None
    assert [type(layer).__name__ for layer in parted.start.layers] == [
        "Rescaling",
        "Functional",
        "GlobalAveragePooling2D",
    ]
    assert parted.rest.layers[-1] is model.layers[-1]
    for spec in (
        load_recipe(["recipe=fast"]).model,
        ModelSpec(layers=(Backbone(name=NAME, trainable=1), GlobalAveragePooling2D())),
        ModelSpec(layers=(Flatten(), Dense(units=3))),
    ):
        assert part(build(spec, SHAPE, 3, seed=0)) is None


def test_features_are_the_same_whatever_is_missing(model: Any, images: ImageSet, tmp_path: Path) -> None:
    parted = part(model)
    assert parted is not None
    everything = features_of(parted, images, np.arange(90))
    assert everything.shape == (90, 1280)
    for chosen in (np.array([7]), np.arange(80, 90), np.arange(89, -1, -2)):
        for entry in (tmp_path / "cache" / "features").rglob("*.npy"):
            entry.unlink()
        np.testing.assert_array_equal(features_of(parted, images, chosen)[chosen], everything[chosen])
    np.testing.assert_allclose(
        everything[:20], np.asarray(parted.start.predict_on_batch(images.pixels[:20])), atol=1e-5
    )


def test_a_picture_is_computed_once(model: Any, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        computed.append((done, total))

    parted = part(model)
    assert parted is not None
    before = features_of(parted, images, np.arange(70), note)
    assert computed == [(64, 70), (70, 70)]
    computed.clear()
    again = part(build(SPEC, SHAPE, 3, seed=5))  # another run: its output layer starts elsewhere
    assert again is not None
    after = features_of(again, images, np.arange(90), note)
    assert computed == [(20, 20)]
    np.testing.assert_array_equal(after[:70], before[:70])


def test_other_weights_have_features_of_their_own(model: Any) -> None:
    other = build(SPEC, SHAPE, 3, seed=0)
    kernel = other.layers[1].layers[1]
    kernel.set_weights([kernel.get_weights()[0] + 0.001])
    keys = {p.key for p in (part(model), part(other), part(build(SPEC, (64, 32, 3), 3, seed=0))) if p}
    assert len(keys) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", "another shape", "zeros"])
def test_a_damaged_entry_is_computed_again(
    model: Any, images: ImageSet, tmp_path: Path, damage: bytes | str
) -> None:
    parted = part(model)
    assert parted is not None
    before = features_of(parted, images, np.arange(10))
    for path in (tmp_path / "cache" / "features").rglob("rows.npy"):
        if isinstance(damage, bytes):
            path.write_bytes(damage)
        else:
            np.save(path, before[:10, :7] if damage == "another shape" else np.zeros_like(before[:10]))
    np.testing.assert_array_equal(features_of(parted, images, np.arange(10)), before)


def test_each_version_of_a_picture_is_computed_once(images: ImageSet) -> None:
    keys = ["recipe=transfer", "data.image_size=32", "augmentation.flip=horizontal"]
    recipe = load_recipe([*keys, "training.epochs=3"])
    split = split_images(images, recipe.data, 0)
    network = compiled(recipe, images, split, walk(recipe.model, SHAPE, 3), "float32")
    computed: list[tuple[int, int]] = []
    first = learning(network, recipe, images, split, lambda done, total: computed.append((done, total)))
    totals = [3 * len(split.train), len(split.validation)]
    assert [done for done, total in computed if done == total] == totals
    assert first.views is not None
    assert first.views.shape == (3, 90, 1280)
    # What a version is made of is the picture or its mirror image.
    plain = features_of(part(network), images, split.train)[split.train]  # type: ignore[arg-type]
    as_it_is = (first.views[:, split.train] == plain).all(2)
    assert 0.3 < as_it_is.mean() < 0.7
    # Fewer training images and more epochs: what was computed before is taken from the cache.
    fewer = replace(split, train=split.train[::2])
    more = load_recipe([*keys, "training.epochs=4"])
    computed.clear()
    second = learning(network, more, images, fewer, lambda done, total: computed.append((done, total)))
    assert computed[-1] == (len(fewer.train), len(fewer.train))  # the fourth version
    assert second.views is not None
    np.testing.assert_array_equal(second.views[:3, fewer.train], first.views[:, fewer.train])


def test_without_a_cache_it_is_only_slower(model: Any, images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    parted = part(model)
    assert parted is not None
    assert features_of(parted, images, np.arange(3)).shape == (90, 1280)


def test_answers_are_those_of_the_whole_network(model: Any, images: ImageSet) -> None:
    chosen = np.array([5, 80, 2])
    np.testing.assert_allclose(
        predict_images(model, images, chosen),
        predict_probabilities(model, images.pixels, chosen),
        atol=1e-5,
    )


def test_the_head_learns_what_it_would_learn_in_the_whole_network(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(["recipe=transfer", "training.epochs=3", "data.image_size=32", "model.dropout=0.2"])
    split = split_images(images, recipe.data, 0)
    targets = np.eye(3, dtype=np.float32)[images.labels]

    def trained() -> Any:
        rows = walk(recipe.model, SHAPE, 3)
        network = compiled(recipe, images, split, rows, "float32")
        learns = learning(network, recipe, images, split)
        history = train(
            learns.model,
            pixels=learns.inputs,
            targets=targets,
            train_indices=split.train,
            validation_indices=split.validation,
            spec=recipe.training,
            watcher=Silent(),
            stop=StopRequest(),
        ).history
        learns.carry_over(network)
        return network, history, learns.model is network

    parted, history, whole = trained()
    assert not whole
    monkeypatch.setattr("conviction.flow.network.part", lambda network: None)
    together, expected, whole = trained()
    assert whole
    for ours, theirs in zip(history, expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-4)
        assert ours.val_loss == pytest.approx(theirs.val_loss, abs=1e-4)
    for ours, theirs in zip(parted.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for ours, theirs in zip(parted.optimizer.variables, together.optimizer.variables, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-3)
