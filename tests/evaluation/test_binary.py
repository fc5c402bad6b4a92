"""Two classes: areas against scikit-learn, ties included; the threshold against trying every one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from conviction.evaluation import choose_threshold, two_classes


def draw(seed: int, n: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of few levels, so that many are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    labels[:2] = 0, 1
    return np.round(rng.beta(1 + labels, 2 - labels) * levels) / levels, labels


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 300), levels=st.sampled_from([2, 10, 10_000]))
def test_areas_equal_those_of_scikit_learn(seed: int, n: int, levels: int) -> None:
    scores, labels = draw(seed, n, levels)
    found = two_classes(scores, labels, (scores, labels), "yes")
    assert found is not None
    assert found.roc_auc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    for figure in (found.roc_auc, found.average_precision, found.at_half, found.at_threshold):
        assert 0 <= figure.ci95[0] <= figure.ci95[1] <= 1 + 1e-12
    assert found.roc[0] == (0.0, 0.0)
    assert found.roc[-1] == (1.0, 1.0)
    assert found.base_rate == labels.mean()


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60))
def test_no_other_threshold_is_better_on_the_validation_images(seed: int, n: int) -> None:
    scores, labels = draw(seed, n, 20)
    chosen = balanced_accuracy_score(labels, scores >= choose_threshold(scores, labels))
    tried = [balanced_accuracy_score(labels, scores >= t) for t in np.linspace(0.0, 1.0, 101)[1:-1]]
    assert chosen == pytest.approx(max(tried), abs=1e-12)


def test_the_threshold_is_not_chosen_on_the_images_that_it_is_judged_with() -> None:
    scores, labels = draw(1, 400, 1_000)
    shifted = np.clip(scores - 0.3, 0, 1)
    found = two_classes(scores, labels, (shifted, labels), "yes")
    assert found is not None
    assert found.threshold == choose_threshold(shifted, labels)
    expected = balanced_accuracy_score(labels, scores >= found.threshold)
    assert found.at_threshold.value == pytest.approx(expected)
    assert found.at_half.value == pytest.approx(balanced_accuracy_score(labels, scores > 0.5))


def test_without_one_of_the_classes_nothing_is_defined() -> None:
    scores, labels = draw(2, 20, 10)
    assert two_classes(scores, np.ones(20, int), (scores, labels), "yes") is None
    assert two_classes(scores, labels, (scores, np.zeros(20, int)), "yes") is None


@pytest.mark.full
def test_the_intervals_of_the_areas_cover_the_truth() -> None:
    """Near 1, where percentiles of the bootstrap hold it in 90 to 92% of cases."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50_000)
    scores = 1 / (1 + np.exp(-rng.normal(2.8 * labels - 1.4, 1)))
    truth = roc_auc_score(labels, scores), average_precision_score(labels, scores)
    inside = np.zeros(2)
    for _ in range(200):
        drawn = rng.integers(0, len(labels), 200)
        found = two_classes(scores[drawn], labels[drawn], (scores[drawn], labels[drawn]), "yes")
        assert found is not None
        figures = (found.roc_auc, found.average_precision)
        inside += [f.ci95[0] <= true <= f.ci95[1] for f, true in zip(figures, truth, strict=True)]
    # 200 draws of a proportion of 0.95 have a standard error of 1.5 points.
    assert (inside / 200 > 0.92).all(), inside
