"""Parts as small as they come: everything that is said of one image, or of a part in which one class is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.data import DecodingRule, ImageSet
from conviction.data.image_set import content_hash
from conviction.evaluation import Part
from conviction.evaluation.calibration import confidence_sentence
from conviction.evaluation.evaluate import describe_part
from conviction.evaluation.figures import figures
from conviction.reporting.page import render_new_images, render_panels
from conviction.reporting.scores import new_images_step


def image_set(labels: np.ndarray, classes: int) -> ImageSet:
    """Pictures of 4x4 pixels, a class brighter than the one before."""
    n = len(labels)
    hashes = np.frombuffer(b"".join(content_hash(str(i).encode()) for i in range(n)), "V16")
    pixels = np.broadcast_to((60 * labels[:, None, None, None]).astype(np.uint8), (n, 4, 4, 1))
    return ImageSet(
        name="few",
        location="few",
        origin=None,
        pixels=pixels,
        labels=labels,
        hashes=hashes,
        names=[f"{i}.png" for i in range(n)],
        parts=np.array([""] * n, dtype="<U10"),
        class_names=[f"c{i}" for i in range(classes)],
        rule=DecodingRule(color_mode="grayscale", height=4, width=4),
        stored="few",
        thumbs=np.zeros((n, 32, 32, 1), np.uint8),
        pixel_hashes=hashes,
    )


@dataclass(frozen=True)
class Few:
    """One to four images and what a network says of them."""

    labels: np.ndarray
    probabilities: np.ndarray
    temperature: float


@st.composite
def few(draw: st.DrawFn) -> Few:
    classes = draw(st.sampled_from([2, 3, 10]))
    chosen = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=4))
    labels = np.array(chosen, np.int64)
    sure = draw(st.sampled_from([1.0, 0.9, 1.0 / classes]))
    called = np.array([draw(st.integers(0, classes - 1)) for _ in chosen])
    probabilities = np.full((len(labels), classes), (1.0 - sure) / (classes - 1))
    probabilities[np.arange(len(labels)), called] = sure
    return Few(labels, probabilities, temperature=draw(st.sampled_from([1.0, 2.0])))


def described(few: Few) -> tuple[ImageSet, Part]:
    labels, probabilities = few.labels, few.probabilities
    images = image_set(labels, classes=probabilities.shape[1])
    validation = (probabilities[:1], labels[:1])
    part = describe_part(
        "test", images, np.arange(len(labels)), probabilities, validation, temperature=few.temperature
    )
    return images, part


@settings(max_examples=10)
@given(few=few())
def test_a_part_of_one_to_four_images_is_described_and_drawn(few: Few) -> None:
    images, part = described(few)
    step = new_images_step(part, "few", [])
    page = render_new_images(images, part, step, "run")
    assert all(piece.strip() for piece in vars(render_panels(images, part)).values())
    assert ">nan" not in page
    for figure in part.figures.values():
        assert np.isfinite(figure.value)
        if figure.ci95 is not None:
            assert figure.ci95[0] <= figure.value + 1e-12
            assert figure.value - 1e-12 <= figure.ci95[1]


def test_one_image_has_no_interval_where_images_must_differ() -> None:
    got = figures(np.array([[0.9, 0.1]]), np.array([0]))
    assert [got[name].ci95 for name in ("log_loss", "brier", "ece")] == [None, None, None]
    low, high = got["balanced_accuracy"].ci95 or (1.0, 1.0)
    assert low < 0.25  # Wilson's interval of 1 of 1 begins at 0.21
    assert high == 1.0


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_images_that_are_all_right_leave_a_width(n: int) -> None:
    labels = np.arange(n) % 3
    got = figures(np.eye(3)[labels], labels)
    for name in ("balanced_accuracy", "macro_f1"):
        low, high = got[name].ci95 or (1.0, 1.0)
        assert low < 1.0 - 1.0 / (2 * n)
        assert high == 1.0


@pytest.mark.parametrize("right", [True, False])
def test_one_image_does_not_show_that_confidence_is_wrong(right: bool) -> None:
    said = confidence_sentence(np.array([[0.8, 0.2]]), np.array([0 if right else 1]))
    assert "as far as 1 image can show" in said


@settings(max_examples=20)
@given(n=st.sampled_from([2, 10, 50, 400, 2_000]), seed=st.integers(0, 999))
def test_the_sentence_agrees_with_an_exact_test(n: int, seed: int) -> None:
    from scipy.stats import binomtest

    rng = np.random.default_rng(seed)
    sure, labels = 0.75, np.zeros(n, int)
    right = rng.random(n) < rng.choice([0.5, 0.75, 0.9])
    probabilities = np.where(right[:, None], [sure, 1 - sure], [1 - sure, sure])
    p = binomtest(int(right.sum()), n, sure).pvalue
    if not 0.02 < p < 0.1:  # its two-sided p-value is another one, near the limit
        assert ("as sure as it should be" in confidence_sentence(probabilities, labels)) == (p > 0.05)
