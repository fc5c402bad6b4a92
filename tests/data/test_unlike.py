"""Pictures unlike their class are found and no others; the test set is not looked at; runs keep them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from conviction.config import DataSpec
from conviction.data import audit_images, split_images
from conviction.data.audit import Audit
from conviction.data.likeness import by_features
from conviction.data.split import Split
from conviction.data.unlike import LEAST_DISTANCE, LEAST_IN_CLASS, unlike_pictures
from conviction.runs.data_content import RunFeatureAudit
from tests.data.test_sessions import image_set

WIDTH, DEEP = 6, 60


def classes(seed: int, each: int = 100, foreign: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that vary in a few directions; the last pictures show something else, each something of its own."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(WIDTH, DEEP))
    labels = np.repeat([0, 1, 2], each)
    vectors = 2 * rng.normal(size=(3, DEEP))[labels] + rng.normal(size=(3 * each, WIDTH)) @ directions
    vectors += 0.5 * rng.normal(size=vectors.shape)
    if foreign:
        vectors[-foreign:] = 3 * rng.normal(size=(foreign, DEEP))
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize("seed", range(5))
def test_pictures_of_something_else_are_found_and_hardly_any_others(seed: int) -> None:
    vectors, labels = classes(seed, foreign=8)
    unlike = unlike_pictures(vectors, labels, np.arange(300))
    assert len(set(unlike) & set(range(292, 300))) >= 7
    assert len(set(unlike) - set(range(292, 300))) <= 6  # 2% of the others
    assert set(unlike[:4]) <= set(range(292, 300))


@pytest.mark.parametrize("seed", range(5))
def test_the_distances_are_those_of_probabilistic_principal_components(seed: int) -> None:
    vectors, labels = classes(seed, foreign=8)
    rows = vectors.astype(np.float64)
    for label in range(3):
        own = labels == label
        # The mean of all others of the class, one picture at a time.
        rows[own] = [rows[i] - vectors[own & (np.arange(300) != i)].mean(0) for i in np.flatnonzero(own)]
    reference = PCA(24, svd_solver="full").fit(rows)
    likelihood = reference.score_samples(rows)
    # The log-likelihood of a Gaussian is a constant less half of the squared distance.
    _, log_determinant = np.linalg.slogdet(reference.get_covariance())
    distances = np.log(-2 * likelihood - DEEP * np.log(2 * np.pi) - log_determinant)
    beyond = distances - np.median(distances)
    beyond /= 1.4826 * np.median(np.abs(beyond))
    expected = [i for i in np.argsort(-beyond).tolist() if beyond[i] > LEAST_DISTANCE]
    assert list(unlike_pictures(vectors, labels, np.arange(300))) == expected


@given(order=st.permutations(range(60)), scale=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_nor_the_scale_matters(order: list[int], scale: float) -> None:
    vectors, labels = classes(1, 20, foreign=2)
    first = unlike_pictures(vectors, labels, np.arange(60))
    assert first
    again = unlike_pictures(vectors[order] * np.float32(scale), labels[order], np.arange(60))
    assert [order[i] for i in again] == list(first)


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    dimensions=st.integers(1, 40),
    equal=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_few_pictures_and_equal_ones_are_no_mistake(counts: list[int], dimensions: int, equal: bool) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    vectors = np.random.default_rng(0).normal(size=(len(labels), dimensions)).astype(np.float32)
    if equal:
        vectors[:] = 1
    with np.errstate(all="raise", under="ignore"):
        unlike = unlike_pictures(vectors, labels, np.arange(len(labels)))
    assert len(set(unlike)) == len(unlike)
    assert all(counts[labels[i]] >= LEAST_IN_CLASS for i in unlike)
    if equal or len(labels) < 10:
        assert not unlike


def audited(vectors: np.ndarray, labels: np.ndarray) -> tuple[Audit, Split]:
    """After the split; every second picture is of the test set."""
    images = image_set(labels)
    images.parts[:] = np.where(np.arange(len(labels)) % 2, "train", "test")
    likeness = by_features(vectors, labels, "a network")
    audit = audit_images(images, DataSpec(), lambda: likeness)
    split = split_images(images, DataSpec(), 0, audit.groups, audit.excluded)
    return audit.after_split(images, split), split


def test_the_test_set_is_not_looked_at_and_the_finding_names_the_most_unlike() -> None:
    vectors, labels = classes(3, foreign=8)
    audit, split = audited(vectors, labels)
    assert audit.features is not None
    unlike = audit.features.unlike
    assert len(set(unlike) & {293, 295, 297, 299}) >= 3
    assert not set(unlike) & set(split.test.tolist())
    finding = next(f for f in audit.findings if f.kind == "unlike_class")
    assert finding.severity == "note"
    assert finding.groups == tuple((i,) for i in unlike)
    assert finding.count == len(unlike)
    assert (
        f"{len(unlike)} pictures of 150 outside the test set are unlike the others of their class"
        in finding.sentence
    )
    assert not finding.leave_out  # a rare view must not be lost


def test_a_label_in_doubt_is_not_also_unlike_its_class() -> None:
    vectors, labels = classes(4)
    wrong = labels.copy()
    wrong[1] = 1
    vectors[1] += 20 * (vectors[labels == 0].mean(0) - vectors[labels == 1].mean(0)) / DEEP
    features = audited(vectors, wrong)[0].features
    assert features is not None
    assert [d.image for d in features.doubtful] == [1]
    assert 1 in unlike_pictures(by_features(vectors, wrong).vectors, wrong, np.arange(1, 300, 2))
    assert 1 not in features.unlike


def test_a_run_keeps_them_whatever_the_order_of_its_images() -> None:
    vectors, labels = classes(3, foreign=8)
    audit, _ = audited(vectors, labels)
    assert audit.features is not None
    images = image_set(labels)
    order = np.random.default_rng(0).permutation(300)[:250]
    fewer = replace(
        images,
        **{name: getattr(images, name)[order] for name in ("pixels", "labels", "hashes", "parts", "thumbs")},
        pixel_hashes=images.pixel_hashes[order],
        names=[images.names[i] for i in order],
    )
    again = RunFeatureAudit.model_validate(audit.features.to_json(images)).of(fewer)
    assert [int(order[i]) for i in again.unlike] == [i for i in audit.features.unlike if i in order]
