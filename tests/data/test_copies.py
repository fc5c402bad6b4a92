"""Altered copies are found and other pictures are not; labels that were changed are in doubt; runs keep both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from conviction.config import DataSpec
from conviction.data import audit_images, split_images
from conviction.data.audit import KeptAudit
from conviction.data.copies import find_altered_copies
from conviction.data.doubtful_labels import doubtful_labels
from conviction.data.likeness import Likeness, by_features
from conviction.runs.data_content import RunFeatureAudit, RunSessions
from tests.data.test_audit import scene
from tests.data.test_sessions import image_set

SIDE = 224


def cropped(picture: Image.Image, rng: np.random.Generator, share: float = 0.6) -> Image.Image:
    left, top = (rng.uniform(0, 1 - share, 2) * picture.width).tolist()
    side = share * picture.width
    return picture.resize(picture.size, Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def halved(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return cropped(picture, rng, 0.5)


def mirrored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(cropped(picture, rng, 0.8))


def coloured(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pale = ImageEnhance.Color(picture).enhance(0.3)
    return Image.merge(
        "RGB", [c.point(lambda v, g=g: v * g) for c, g in zip(pale.split(), (1, 0.8, 0.6), strict=True)]
    )


def lit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    shade = np.linspace(0.6, 1.0, picture.width)[:, None]
    return Image.fromarray((255 * (np.asarray(picture) / 255) ** 0.7 * shade).astype(np.uint8))


def large(seed: int) -> Image.Image:
    return scene(seed).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def seen(pictures: list[Image.Image], alike: list[int]) -> Likeness:
    """As by a network for which pictures of equal numbers are somewhat alike."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(max(alike) + 1, 64))
    features = (kinds[alike] + 0.7 * rng.normal(size=(len(alike), 64))).astype(np.float32)
    pixels = np.stack([np.asarray(p) for p in pictures])
    return by_features(features, np.zeros(len(alike), np.int64), "a network", lambda rows: pixels[rows])


@pytest.mark.parametrize("change", [cropped, halved, mirrored, coloured, lit])
def test_altered_copies_are_found_and_no_others(change: Callable[..., Image.Image]) -> None:
    rng = np.random.default_rng(1)
    originals = [large(seed) for seed in range(12)]
    copies = [change(picture, rng) for picture in originals]
    # Another view of each: not a copy, although it is as alike.
    others = [picture.rotate(12, Image.Resampling.BILINEAR) for picture in originals]
    likeness = seen(originals + copies + others, list(range(12)) * 3)
    pairs = find_altered_copies(likeness, np.arange(36))
    assert pairs is not None
    true = {(k, k + 12) for k in range(12)}
    assert set(map(tuple, pairs.tolist())) <= true
    assert len(pairs) >= 9


def test_pictures_that_do_not_count_are_in_no_pair() -> None:
    picture = large(0)
    likeness = seen([picture, large(1), ImageOps.mirror(picture), picture], [0, 1, 0, 0])
    for kept, expected in (([0, 1, 2], [[0, 2]]), ([1], []), ([], [])):
        pairs = find_altered_copies(likeness, np.array(kept, np.int64))
        assert pairs is not None
        assert pairs.tolist() == expected


def test_in_a_set_of_look_alikes_none_are_believed() -> None:
    rng = np.random.default_rng(0)
    pictures = [lit(large(0), rng)] * 20 + [
        large(0)
    ] * 60  # as far as pixels tell, all of them are one photograph
    assert find_altered_copies(seen(pictures, [0] * 80), np.arange(80)) is None


def test_small_pictures_and_arrays_are_not_searched() -> None:
    pictures = [large(0), ImageOps.mirror(large(0))]
    images = image_set(np.array([0, 0]))
    images = replace(images, pixels=np.stack([np.asarray(p.resize((32, 32))) for p in pictures]))
    small = [replace(header, width=64) for header in images.headers]
    for headers, copies in ((images.headers, ((0, 1),)), (small, ()), ([], ())):
        audit = audit_images(replace(images, headers=headers), DataSpec(), lambda: seen(pictures, [0, 0]))
        assert audit.features is not None
        assert audit.features.copies == copies
        assert ("were not sought" in audit.compared) == (not copies)


def classes(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of three classes that overlap a little, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], count)
    vectors = (2 * rng.normal(size=(3, 40))[labels] + rng.normal(size=(3 * count, 40))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(3))
def test_changed_labels_are_in_doubt(seed: int) -> None:
    vectors, labels = classes(seed)
    rng = np.random.default_rng(seed)
    flipped = rng.choice(len(labels), 12, replace=False)
    wrong = labels.copy()
    wrong[flipped] = (wrong[flipped] + rng.integers(1, 3, 12)) % 3
    doubtful = doubtful_labels(vectors, wrong, np.arange(len(labels)), np.arange(len(labels)))
    right = [d for d in doubtful if d.image in flipped]
    assert len(right) >= 0.5 * len(flipped)
    assert len(right) >= 0.8 * len(doubtful)
    assert all(d.likelier == labels[d.image] for d in right)
    assert [d.votes for d in doubtful] == sorted((d.votes for d in doubtful), reverse=True)


def test_copies_and_sessions_do_not_vote_on_each_other() -> None:
    vectors, labels = classes(0)
    labels[:9] = 1  # nine pictures of one session, all labelled wrongly: they would vouch for each other
    vectors[:9] = vectors[0]
    every = np.arange(len(labels))
    apart = {d.image for d in doubtful_labels(vectors, labels, every, every)}
    together = {d.image for d in doubtful_labels(vectors, labels, every, np.where(every < 9, 0, every))}
    assert not apart & set(range(9))
    assert together >= set(range(9))


def test_labels_of_the_test_set_are_not_looked_at() -> None:
    vectors, labels = classes(0)
    flipped = np.arange(0, 240, 15)
    labels[flipped] = (labels[flipped] + 1) % 3
    images = image_set(labels)
    images.parts[:] = np.where(np.arange(240) % 2, "train", "test")
    asked, every = np.arange(1, 240, 2), np.arange(240)
    doubtful = doubtful_labels(vectors, labels, asked, every)
    assert doubtful
    assert doubtful_labels(vectors, np.where(every % 2, labels, (labels + 1) % 3), asked, every) == doubtful
    pixels = np.zeros((240, SIDE, SIDE, 3), np.uint8)
    likeness = by_features(vectors, labels, "a network", lambda rows: pixels[rows])
    audit = audit_images(images, DataSpec(), lambda: likeness)
    split = split_images(images, DataSpec(), 0, audit.groups, audit.excluded)
    features = audit.after_split(images, split).features
    assert features is not None
    assert features.asked == 120
    assert not {d.image for d in features.doubtful} & set(split.test.tolist())


def test_altered_copies_stay_together_and_are_leaks_and_a_run_keeps_them() -> None:
    rng = np.random.default_rng(2)
    originals = [large(seed) for seed in range(20)]
    pictures = [*originals, *(cropped(p, rng) for p in originals[:6])]
    labels = [*np.repeat([0, 1], [10, 10]).tolist(), 0, 0, 0, 0, 1, 1]
    alike = [*range(20), *range(6)]
    images = image_set(np.array(labels))
    images.parts[:] = ["train"] * 20 + ["test", "test", "train", "train", "train", "train"]
    pixels = np.stack([np.asarray(p.resize((32, 32))) for p in pictures])
    images = replace(images, thumbs=pixels, pixels=pixels)
    audit = audit_images(images, DataSpec(), lambda: seen(pictures, alike))
    assert audit.features is not None
    assert audit.features.copies == tuple((k, k + 20) for k in range(6))
    assert audit.groups[:6].tolist() == audit.groups[20:].tolist()
    findings = {f.kind: f for f in audit.findings}
    assert findings["leak"].leave_out == (0, 1)
    assert {i for g in findings["near_label_conflict"].groups for i in g} == {4, 24, 5, 25}
    assert findings["altered_copies"].groups == ((2, 22), (3, 23))
    assert "a network" in audit.compared
    # Read again, without any network, in another order.
    kept = audit.kept_json(images)
    order = rng.permutation(26)
    shuffled = replace(
        images,
        **{name: getattr(images, name)[order] for name in ("pixels", "labels", "hashes", "parts", "thumbs")},
        pixel_hashes=images.pixel_hashes[order],
        names=[images.names[i] for i in order],
    )
    again = KeptAudit(
        RunSessions.model_validate(kept["sessions"]).of(shuffled),
        RunFeatureAudit.model_validate(kept["features"]).of(shuffled),
    )
    repeated = audit_images(shuffled, DataSpec(), kept=again)
    assert {f.kind: f.sentence for f in repeated.findings} == {f.kind: f.sentence for f in audit.findings}
    a, b = np.triu_indices(26, 1)
    assert (
        (audit.groups[order][a] == audit.groups[order][b]) == (repeated.groups[a] == repeated.groups[b])
    ).all()
