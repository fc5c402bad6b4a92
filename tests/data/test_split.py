"""Splits: disjoint, complete, stratified, and decided by content alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.config import DataSpec
from conviction.data import DecodingRule, ImageSet, Split, cut_folds, split_images
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
        origin=None,
        pixels=np.zeros((n, 1, 1, 1), np.uint8),
        labels=np.array(labels, np.int64),
        hashes=hashes,
        names=[str(i) for i in range(n)],
        parts=np.array(parts or [""] * n, dtype="<U10"),
        class_names=[f"c{i}" for i in range(max(labels) + 1)],
        rule=RULE,
        stored="numbers",
        thumbs=np.zeros((n, 32, 32, 1), np.uint8),
        pixel_hashes=hashes,
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


@st.composite
def grouped(draw: st.DrawFn) -> tuple[ImageSet, np.ndarray]:
    """Images in groups of 1 to 5, each of one class."""
    sizes = draw(st.lists(st.lists(st.integers(1, 5), min_size=5, max_size=15), min_size=2, max_size=4))
    labels = [label for label, groups in enumerate(sizes) for size in groups for _ in range(size)]
    groups = [g for g, size in enumerate(s for groups in sizes for s in groups) for _ in range(size)]
    return image_set(list(range(len(labels))), labels), np.array(groups)


def straddling(split: Split, groups: np.ndarray) -> set[int]:
    homes: dict[int, set[str]] = {}
    for part in PARTS:
        for i in split.of(part):
            homes.setdefault(int(groups[i]), set()).add(part)
    return {g for g, parts in homes.items() if len(parts) > 1}


@settings(deadline=None)
@given(made=grouped(), seed=st.integers(0, 100), share=st.floats(0.1, 0.4))
def test_groups_never_straddle_and_proportions_hold_to_within_the_largest(
    made: tuple[ImageSet, np.ndarray], seed: int, share: float
) -> None:
    images, groups = made
    split = split_images(images, DataSpec(validation=share, test=share), seed, groups)
    assert sorted(np.concatenate([split.of(p) for p in PARTS])) == list(range(len(images)))
    assert not straddling(split, groups)
    largest = np.bincount(groups).max()
    for label, n in enumerate(images.counts()):
        in_test = images.counts(split.test)[label]
        assert abs(in_test - share * n) <= largest + 0.5
        assert abs(images.counts(split.validation)[label] - share * (n - in_test)) <= largest + 0.5


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(0, 1), min_size=60, max_size=120),
    seed=st.integers(0, 100),
    shuffle=st.randoms(use_true_random=False),
)
def test_groups_across_classes_stay_whole_in_any_order(labels: list[int], seed: int, shuffle) -> None:  # type: ignore[no-untyped-def]
    labels = [0, 1] * 10 + labels
    images = image_set(list(range(len(labels))), labels)
    groups = np.arange(len(labels)) // 3
    split = split_images(images, DataSpec(), seed, groups)
    assert not straddling(split, groups)
    order = list(range(len(labels)))
    shuffle.shuffle(order)
    moved = dataclasses.replace(images, labels=images.labels[order], hashes=images.hashes[order])
    again = split_images(moved, DataSpec(), seed, groups[order])
    for part in PARTS:
        assert images.hashes[split.of(part)].tolist() == moved.hashes[again.of(part)].tolist()


@settings(deadline=None)
@given(made=grouped(), seed=st.integers(0, 20), folds=st.integers(2, 3))
def test_folds_are_disjoint_and_cover_everything_but_the_test_set(
    made: tuple[ImageSet, np.ndarray], seed: int, folds: int
) -> None:
    images, groups = made
    whole = split_images(images, DataSpec(), seed, groups)
    pool = sorted([*whole.train, *whole.validation])
    seen: list[int] = []
    for fold in range(1, folds + 1):
        split = split_images(images, DataSpec(folds=folds, fold=fold), seed, groups)
        assert split.test.tolist() == whole.test.tolist()
        assert split.validation_origin == "fold"
        assert sorted([*split.train, *split.validation]) == pool
        assert not straddling(split, groups)
        seen += split.validation.tolist()
    assert sorted(seen) == pool


def leaking() -> tuple[ImageSet, np.ndarray]:
    """Images 0 and 1 to train on and 20 of the test set are of one group."""
    images = image_set(list(range(30)), [i % 2 for i in range(30)], ["train"] * 20 + ["test"] * 10)
    groups = np.arange(30)
    groups[[0, 1, 20]] = 0
    return images, groups


def test_leaks_are_dropped_kept_or_refused() -> None:
    images, groups = leaking()
    dropped = split_images(images, DataSpec(on_leak="drop"), 0, groups)
    assert dropped.left_out["leak"].tolist() == dropped.leaks.tolist() == [0, 1]
    assert not {0, 1} & {*dropped.train, *dropped.validation}
    assert sorted(dropped.test) == list(range(20, 30))
    kept = split_images(images, DataSpec(on_leak="keep"), 0, groups)
    assert {0, 1} <= {*kept.train, *kept.validation}
    assert kept.left_out == {}
    assert kept.leaks.tolist() == [0, 1]
    assert kept.test_hash == dropped.test_hash
    with pytest.raises(SourceError, match=r"2 training or validation images also appear, .* first is '0'"):
        split_images(images, DataSpec(on_leak="fail"), 0, groups)


def test_excluded_images_are_in_no_part() -> None:
    images, groups = leaking()
    out = np.isin(np.arange(30), [0, 1, 25])
    split = split_images(images, DataSpec(), 0, groups, out)
    assert split.left_out["excluded"].tolist() == [0, 1, 25]
    assert len(split.leaks) == 0
    assert sorted(np.concatenate([split.of(p) for p in PARTS])) == np.flatnonzero(~out).tolist()


@settings(deadline=None)
@given(made=grouped(), seed=st.integers(0, 20), folds=st.integers(2, 3))
def test_folds_to_test_on_are_disjoint_and_nothing_of_them_is_learned_or_validated_on(
    made: tuple[ImageSet, np.ndarray], seed: int, folds: int
) -> None:
    images, groups = made
    whole = split_images(images, DataSpec(), 0, groups)
    try:
        cut = cut_folds(images, whole, groups, folds, seed)
    except SourceError:
        return  # a class of so few groups that a part would be empty
    pool = sorted([*whole.train, *whole.validation])
    assert sorted(i for split in cut for i in split.test) == pool
    largest = np.bincount(groups).max()
    for split in cut:
        assert sorted(i for part in PARTS for i in split.of(part)) == pool
        assert not straddling(split, groups)
        for label, n in enumerate(images.counts(np.array(pool))):
            assert abs(images.counts(split.test)[label] - n / folds) <= largest
            assert all(images.counts(split.of(part))[label] for part in PARTS)


def test_folds_differ_by_seed_have_equal_sizes_and_the_share_of_validation_images_of_the_run() -> None:
    images = image_set(list(range(210)), [i % 10 for i in range(210)])
    whole = split_images(images, DataSpec(validation=0.25), 0)
    groups = np.arange(210)
    one, two = (cut_folds(images, whole, groups, 5, seed) for seed in (0, 1))
    assert {s.test.tobytes() for s in one}.isdisjoint({s.test.tobytes() for s in two})
    for split in one:
        # 17 images of each class in 5 folds: the odd ones are spread.
        assert len(split.test) == 34
        assert set(images.counts(split.test)) == {3, 4}
        assert len(split.validation) / len(split.train) == pytest.approx(1 / 3, abs=0.1)


def test_more_folds_than_a_class_has_images_are_refused_by_its_name() -> None:
    images = image_set(list(range(46)), [0] * 40 + [1] * 6)
    whole = split_images(images, DataSpec(), 0)
    with pytest.raises(
        SourceError, match=r"10 folds are too many for class 'c1', which has 5 images outside"
    ):
        cut_folds(images, whole, np.arange(46), 10, 0)
