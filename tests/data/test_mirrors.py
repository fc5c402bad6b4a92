"""Whether mirror images still show their class: figures against a plain reference, and the decision on real images."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conviction
from conviction.data.mirrors import Mirrors, compare_mirrors

DATA = os.environ.get("CONVICTION_DATA_DIR", "")


def plainly(pixels: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Both agreements, one image and one class at a time, by correlation."""
    flat = [image.astype(float).ravel() for image in pixels]
    turned = [image[:, ::-1].astype(float).ravel() for image in pixels]

    def agreement(queries: list[np.ndarray]) -> float:
        right: dict[int, list[bool]] = {}
        for i, query in enumerate(queries):
            others = [j for j in range(len(flat)) if j != i]
            best = max(others, key=lambda j: np.corrcoef(query, flat[j])[0, 1])
            right.setdefault(int(labels[i]), []).append(labels[best] == labels[i])
        return float(np.mean([np.mean(one) for one in right.values()]))

    return agreement(flat), agreement(turned)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(5, 40),
    classes=st.integers(2, 4),
    channels=st.sampled_from([1, 3]),
)
def test_the_figures_are_those_of_a_plain_reference(seed: int, n: int, classes: int, channels: int) -> None:
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, 256, (n, 6, 5, channels), dtype=np.uint8)
    labels = chance.integers(0, classes, n)
    result = compare_mirrors(pixels, labels, np.arange(n), [str(i) for i in range(classes)])
    assert (result.agreement, result.mirrored) == pytest.approx(plainly(pixels, labels))
    assert result.chance == pytest.approx(1 / len(set(labels)))


def test_large_pictures_are_compared_by_the_means_of_blocks() -> None:
    chance = np.random.default_rng(0)
    small = chance.integers(0, 256, (30, 16, 20, 1), dtype=np.uint8)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    labels = np.arange(30) % 3
    results = [compare_mirrors(each, labels, np.arange(30), ["a", "b", "c"]) for each in (small, large)]
    assert results[0] == results[1]


def test_only_training_images_are_looked_at() -> None:
    digits = conviction.load_source("digits")
    train = np.arange(0, 900)
    spoiled = digits.pixels.copy()
    spoiled[900:] = 0
    results = [compare_mirrors(p, digits.labels, train, digits.class_names) for p in (digits.pixels, spoiled)]
    assert results[0] == results[1]
    assert results[0].images == 900


def test_images_that_are_symmetric_may_be_mirrored() -> None:
    chance = np.random.default_rng(0)
    kinds = chance.integers(0, 200, (4, 12, 12, 1))
    labels = np.arange(200) % 4
    pixels = (kinds[labels] + chance.integers(0, 50, (200, 12, 12, 1))).astype(np.uint8)
    pixels[:, :, 6:] = pixels[:, :, :6][:, :, ::-1]
    result = compare_mirrors(pixels, labels, np.arange(200), list("abcd"))
    assert result.use
    assert result.clear
    assert (result.mirrored, result.agreement) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("channels", [1, 3])
def test_two_classes_that_are_each_others_mirror_images_forbid_it(channels: int) -> None:
    """However many others there are to which it does nothing, and in colour as well."""
    chance = np.random.default_rng(0)
    labels = np.arange(600) % 12
    kinds = chance.integers(0, 200, (12, 12, 12, channels))
    kinds[:, :, 6:] = kinds[:, :, :6][:, :, ::-1]
    arrow = chance.integers(0, 200, (12, 12, channels))
    kinds[3], kinds[8] = arrow, arrow[:, ::-1]
    pixels = (kinds[labels] + chance.integers(0, 50, (600, 12, 12, channels))).astype(np.uint8)
    result = compare_mirrors(pixels, labels, np.arange(600), [f"sign {i}" for i in range(12)])
    assert result.swapped == ("sign 3", "sign 8")
    assert not result.use
    assert result.mirrored > 0.8


@pytest.mark.parametrize(("channels", "use"), [(1, False), (3, True)])
def test_where_neighbours_do_not_decide_colour_does(channels: int, use: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 8, 8, channels), dtype=np.uint8)
    result = compare_mirrors(noise, np.arange(50) % 5, np.arange(50), list("abcde"))
    assert not result.clear
    assert result.use == use


@pytest.mark.parametrize("images", [1, 2, 3])
def test_hardly_any_images(images: int) -> None:
    result = compare_mirrors(
        np.zeros((images, 1, 1, 3), np.uint8), np.arange(images) % 2, np.arange(images), ["a", "b"]
    )
    assert isinstance(result, Mirrors)
    assert result.images == images


def test_digits_are_not_mirrored() -> None:
    digits = conviction.load_source("digits")
    result = compare_mirrors(digits.pixels, digits.labels, np.arange(len(digits)), digits.class_names)
    assert result.clear
    assert not result.use


@pytest.mark.data
@pytest.mark.full
@pytest.mark.skipif(not DATA, reason="CONVICTION_DATA_DIR is not set")
@pytest.mark.parametrize(
    ("source", "use"), [("mnist.npz", False), ("fashion-mnist", True), ("cifar10-jpeg75.zip", True)]
)
def test_real_sets(source: str, use: bool) -> None:
    loaded = conviction.load_source(Path(DATA) / source)
    for seed, images in product(range(3), (200, 2000)):
        chosen = np.random.default_rng(seed).permutation(len(loaded))[:images]
        result = compare_mirrors(loaded.pixels, loaded.labels, chosen, loaded.class_names)
        assert result.use == use, result
