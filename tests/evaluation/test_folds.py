"""The estimate by folds: against SciPy and a formula of its own, and against a truth that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from conviction.evaluation import corrected_interval, estimate_recipe, paired_difference


def planted(
    rng: np.random.Generator, labels: np.ndarray, folds: int, repetitions: int, right: float
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (r, n, 3) that are right with this chance, and folds (r, n) drawn at random."""
    n = len(labels)
    hit = rng.random((repetitions, n)) < right
    answers = np.where(hit, labels, (labels + 1) % 3)
    fold = np.stack([rng.permutation(np.arange(n) % folds) for _ in range(repetitions)])
    return 0.7 * np.eye(3)[answers] + 0.1, fold


def test_the_estimate_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    probabilities, fold = planted(rng, labels, 5, 2, 0.7)
    learned = np.array([[43] * 5, [40] * 5])
    estimate = estimate_recipe(probabilities, labels, fold, learned)
    accuracies, balanced = [], []
    for r in range(2):
        for k in range(5):
            inside = np.flatnonzero(fold[r] == k)
            hits = probabilities[r, inside].argmax(1) == labels[inside]
            accuracies.append(hits.mean())
            balanced.append(np.mean([hits[labels[inside] == c].mean() for c in set(labels[inside])]))
    ratio = (12 / 43 + 12 / 40) / 2
    for values, figure in ((accuracies, estimate.accuracy), (balanced, estimate.balanced_accuracy)):
        scale = math.sqrt((1 / 10 + ratio) * np.var(values, ddof=1))
        low, high = stats.t.interval(0.95, df=9, loc=np.mean(values), scale=scale)
        assert figure.value == pytest.approx(np.mean(values), abs=1e-12)
        assert figure.ci95 == pytest.approx((low, high), abs=1e-12)
    assert estimate.accuracies == (tuple(accuracies[:5]), tuple(accuracies[5:]))
    assert (estimate.folds, estimate.repetitions, estimate.n, estimate.learned) == (5, 2, 60, 41.5)
    true = probabilities[:, np.arange(60), labels]
    assert estimate.loss == pytest.approx(-np.log(true).mean())


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_folds_that_all_agree_still_have_an_interval(right: float) -> None:
    labels = np.arange(60) % 3
    probabilities, fold = planted(np.random.default_rng(2), labels, 5, 2, right)
    estimate = estimate_recipe(probabilities, labels, fold, np.full((2, 5), 43))
    wilson = stats.binomtest(int(60 * right), 60).proportion_ci(0.95, method="wilson")
    assert estimate.accuracy.value == right
    assert estimate.accuracy.ci95 == pytest.approx((wilson.low, wilson.high))
    low, high = estimate.balanced_accuracy.ci95 or (0.0, 0.0)
    assert low < high
    assert 0 <= low <= right <= high <= 1


def test_recipes_are_compared_fold_by_fold() -> None:
    rng = np.random.default_rng(7)
    fold = np.stack([rng.permutation(np.arange(60) % 5) for _ in range(2)])
    first, other = rng.random((2, 60)) < 0.6, rng.random((2, 60)) < 0.9
    learned = np.full((2, 5), 40)
    gained = [
        other[r, fold[r] == k].mean() - first[r, fold[r] == k].mean() for r in range(2) for k in range(5)
    ]
    scale = math.sqrt((1 / 10 + 12 / 40) * np.var(gained, ddof=1))
    found = paired_difference(first, other, fold, learned)
    assert found.value == pytest.approx(np.mean(gained))
    assert found.ci95 == pytest.approx(stats.t.interval(0.95, df=9, loc=np.mean(gained), scale=scale))
    assert paired_difference(first, first, fold, learned).ci95 is None


def centroids(train: np.ndarray, labels: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The nearest centroid: a learner that is better the more it has seen."""
    centres = np.stack([train[labels == c].mean(axis=0) for c in (0, 1)])
    return ((images[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    return rng.normal(size=(n, 20)) + 0.45 * labels[:, None], labels


@pytest.mark.full
def test_the_interval_holds_the_accuracy_of_the_recipe_and_repetitions_do_not_narrow_it() -> None:
    """1,000 sets of images from a known world; the truth is the mean accuracy of networks of this recipe in it."""
    rng = np.random.default_rng(3)
    n, folds, repetitions = 60, 5, 4
    many, answers = drawn(rng, 4_000)
    truth = np.mean([(centroids(*drawn(rng, 48), many) == answers).mean() for _ in range(1_000)])
    covered = naive = 0
    for _ in range(1_000):
        images, labels = drawn(rng, n)
        values = []
        for _ in range(repetitions):
            # Pairs of one image of each class, so that folds are stratified.
            fold = np.repeat(rng.permutation(np.arange(n // 2) % folds), 2)
            for k in range(folds):
                guessed = centroids(images[fold != k], labels[fold != k], images[fold == k])
                values.append((guessed == labels[fold == k]).mean())
        low, high = corrected_interval(values, 1 / (folds - 1))
        covered += low <= truth <= high
        low, high = stats.t.interval(0.95, df=len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        naive += low <= truth <= high
    assert covered >= 940
    assert naive < 900
