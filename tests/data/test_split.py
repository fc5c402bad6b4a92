"""Splits: disjoint, complete, stratified, and decided by content alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.config import DataSpec
from conviction.data import DecodingRule, ImageSet, split_images
from conviction.data.image_set import content_hash
from conviction.errors import SourceError

RULE = DecodingRule(color_mode="grayscale", height=1, width=1)
PARTS = ("train", "validation", "test")


def image_set(contents: list[int], labels: list[int], parts: list[str] | None = None) -> ImageSet:
    """Images that are nothing but a number; equal numbers are equal images."""
    n = len(labels)
    hashes = np.frombuffer(b"".join(content_hash(str(c).encode()) for c in contents), "V16")
    return ImageSet(
        name="numbers",
        location="numbers",
        pixels=np.zeros((n, 1, 1, 1), np.uint8),
        labels=np.array(labels, np.int64),
        hashes=hashes,
        names=[str(i) for i in range(n)],
        parts=np.array(parts or [""] * n, dtype="<U10"),
        class_names=[f"c{i}" for i in range(max(labels) + 1)],
        rule=RULE,
        stored="numbers",
    )


@st.composite
def sets(draw: st.DrawFn) -> ImageSet:
    counts = draw(st.lists(st.integers(3, 40), min_size=2, max_size=5))
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    start = draw(st.integers(0, 10_000))
    return image_set(list(range(start, start + len(labels))), labels)


@settings(deadline=None)
@given(images=sets(), seed=st.integers(0, 1000), validation=st.floats(0.05, 0.4), test=st.floats(0.05, 0.4))
def test_every_image_is_in_one_part_and_every_class_in_all(
    images: ImageSet, seed: int, validation: float, test: float
) -> None:
    split = split_images(images, DataSpec(validation=validation, test=test), seed)
    assert sorted(np.concatenate([split.of(p) for p in PARTS])) == list(range(len(images)))
    for label, n in enumerate(images.counts()):
        in_test = images.counts(split.test)[label]
        in_validation = images.counts(split.validation)[label]
        assert in_test == max(1, round(test * n))
        assert in_validation == max(1, round(validation * (n - in_test)))
        assert images.counts(split.train)[label] >= 1


@settings(deadline=None)
@given(images=sets(), seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(images: ImageSet, seed: int, shuffle) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(images)))
    shuffle.shuffle(order)
    moved = dataclasses.replace(
        images, labels=images.labels[order], hashes=images.hashes[order], parts=images.parts[order]
    )
    one, two = split_images(images, DataSpec(), seed), split_images(moved, DataSpec(), seed)
    for part in PARTS:
        # Not only the same members: the same order, so that training sees the same batches.
        assert images.hashes[one.of(part)].tolist() == moved.hashes[two.of(part)].tolist()
    assert one.test_hash == two.test_hash


def test_the_seed_moves_validation_but_never_the_test_set() -> None:
    images = image_set(list(range(200)), [i % 2 for i in range(200)])
    splits = [split_images(images, DataSpec(), seed) for seed in range(5)]
    assert len({s.test.tobytes() for s in splits}) == 1
    assert len({s.validation.tobytes() for s in splits}) == 5
    assert len({s.test_hash for s in splits}) == 1


def test_it_is_shuffled_and_not_the_last_slice() -> None:
    images = image_set(list(range(1000)), [0] * 500 + [1] * 500)
    split = split_images(images, DataSpec(), 0)
    for label in (0, 1):
        drawn = split.test[images.labels[split.test] == label] - 500 * label
        assert 200 < drawn.mean() < 300  # a slice at an end would lie near 50 or 450


@settings(deadline=None)
@given(
    copies=st.lists(st.integers(1, 6), min_size=12, max_size=40),
    seed=st.integers(0, 100),
)
def test_equal_images_of_a_class_share_a_part(copies: list[int], seed: int) -> None:
    contents = [i for i, n in enumerate(copies) for _ in range(n)]
    labels = [i % 2 for i in contents]
    images = image_set(contents, labels)
    try:
        split = split_images(images, DataSpec(), seed)
    except SourceError:
        return  # so many copies that a part would be empty
    homes: dict[bytes, set[str]] = {}
    for part in PARTS:
        for i in split.of(part):
            homes.setdefault(images.hashes[i].tobytes(), set()).add(part)
    assert all(len(parts) == 1 for parts in homes.values())


def test_parts_that_the_source_brings_are_kept() -> None:
    parts = (["train"] * 20 + ["test"] * 5 + ["validation"] * 5) * 2
    images = image_set(list(range(60)), [0] * 30 + [1] * 30, parts)
    split = split_images(images, DataSpec(), 0)
    for part in PARTS:
        assert set(images.parts[split.of(part)]) == {part}
    assert (split.test_origin, split.validation_origin) == ("source", "source")
    only_test = dataclasses.replace(
        images, parts=np.where(images.parts == "validation", "train", images.parts)
    )
    split = split_images(only_test, DataSpec(), 0)
    assert (split.test_origin, split.validation_origin) == ("source", "drawn")
    assert images.counts(split.validation) == [2, 2]


@pytest.mark.parametrize(
    ("labels", "parts", "words"),
    [
        ([0] * 9 + [1] * 2, None, r"'c1' has 2 images; at least 3"),
        ([0] * 9 + [1], None, r"'c1' has 1 image; at least 3"),
        ([0, 0, 0, 1, 0, 1], ["train"] * 4 + ["test"] * 2, r"'c1' has 1 image; at least 2"),
        ([0, 0, 1, 1, 0], ["train"] * 4 + ["test"], r"'c1' has no test images"),
    ],
)
def test_too_few_images_are_refused_by_class(labels: list[int], parts: list[str] | None, words: str) -> None:
    images = image_set(list(range(len(labels))), labels, parts)
    with pytest.raises(SourceError, match=words):
        split_images(images, DataSpec(), 0)


def test_a_class_of_nothing_but_copies_is_refused() -> None:
    images = image_set([1] * 10 + list(range(2, 12)), [0] * 10 + [1] * 10)
    with pytest.raises(SourceError, match=r"'c0' has no \w+ images"):
        split_images(images, DataSpec(), 0)
