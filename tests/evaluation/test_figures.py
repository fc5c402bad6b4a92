"""Figures against scikit-learn and plain loops; intervals that cover what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score

from conviction.evaluation.calibration import BINS, confidence_sentence, reliability
from conviction.evaluation.figures import figures
from conviction.evaluation.intervals import f1_interval, newcombe, wilson


def predictions(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)[: len(labels[:k])]
    return rng.dirichlet(np.full(k, 0.4) + 0.5 * np.eye(k)[0], size=n), labels


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(30, 300), k=st.sampled_from([2, 3, 10, 50]))
def test_figures_equal_those_of_scikit_learn(seed: int, n: int, k: int) -> None:
    n = max(n, 2 * k)
    p, y = predictions(seed, n, k)
    got = figures(p, y)
    predicted = p.argmax(axis=1)
    assert got["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(y, predicted), abs=1e-12)
    macro = f1_score(y, predicted, average="macro", labels=list(range(k)))
    assert got["macro_f1"].value == pytest.approx(macro, abs=1e-12)
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    assert got["log_loss"].value == pytest.approx(
        float(np.mean([-math.log(clipped[i, y[i]]) for i in range(n)]))
    )
    brier = sum(sum((p[i, c] - (y[i] == c)) ** 2 for c in range(k)) for i in range(n)) / n
    assert got["brier"].value == pytest.approx(brier, abs=1e-9)
    top = {2: None, 3: None, 10: 3, 50: 5}[k]
    if top:
        expected = top_k_accuracy_score(y, p, k=top, labels=range(k))
        assert got[f"top_{top}"].value == pytest.approx(expected, abs=1e-12)
    assert not [name for name in got if name.startswith("top_")] or top
    for figure in got.values():
        assert figure.ci95[0] <= figure.ci95[1]


def test_the_calibration_error_by_hand() -> None:
    # Two of three right at 0.9, one of one right at 0.55: |0.9 - 2/3| * 3/4 + |0.55 - 1| * 1/4.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.45, 0.55]])
    y = np.array([0, 0, 1, 1])
    assert figures(p, y)["ece"].value == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.45)
    bins = reliability(p, y)
    assert [(b.n, round(b.confidence, 6), round(b.accuracy, 6)) for b in bins] == [
        (1, 0.55, 1.0),
        (3, 0.9, 0.666667),
    ]


def test_the_same_predictions_give_the_same_intervals() -> None:
    p, y = predictions(3, 200, 3)
    assert figures(p, y) == figures(p, y)


def test_certain_and_right_has_no_error() -> None:
    y = np.arange(30) % 3
    got = figures(np.eye(3)[y], y)
    assert got["ece"].value == 0.0
    assert got["brier"].ci95 == (0.0, 0.0)
    assert got["macro_f1"].value == 1.0
    assert len(reliability(np.eye(3)[y], y)) == 1
    assert BINS == 15


def test_a_class_without_images_is_left_out_of_the_mean() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    got = figures(p, np.array([0, 1]))
    assert got["balanced_accuracy"].value == 1.0
    assert got["macro_f1"].value == 1.0


def test_bootstrap_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 50_000)
    logits = rng.normal(0, 1, (len(y), 3)) + 1.2 * np.eye(3)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = figures(p, y)
    inside: dict[str, int] = dict.fromkeys(("balanced_accuracy", "macro_f1", "brier", "log_loss"), 0)
    for _ in range(150):
        drawn = rng.integers(0, len(y), 300)
        got = figures(p[drawn], y[drawn])
        for name in inside:
            low, high = got[name].ci95
            inside[name] += low <= truth[name].value <= high
    # 150 draws of a proportion of 0.95 have a standard error of 1.8 points.
    assert all(count / 150 > 0.90 for count in inside.values()), inside


@pytest.mark.full
def test_intervals_of_f1_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    for recall, called_wrongly in ((0.8, 0.1), (0.97, 0.01)):
        # One image in nine is of the class; of these some are right, and of the others some are called so.
        shares = np.array([recall / 9, (1 - recall) / 9, called_wrongly * 8 / 9])
        truth = 2 * shares[0] / (2 * shares[0] + shares[1] + shares[2])
        right, missed, wrong, _ = rng.multinomial(360, [*shares, 1 - shares.sum()], 4_000).T
        either = 2 * right + missed + wrong
        found = np.array([f1_interval(r, e) for r, e in zip(right, either, strict=True)])
        covered = ((found[:, 0] <= truth) & (truth <= found[:, 1])).mean()
        assert covered == pytest.approx(0.95, abs=0.015)
    low, high = f1_interval(14, 28)
    assert high == 1.0
    assert low == pytest.approx(2 * wilson(14, 14)[0] / (1 + wilson(14, 14)[0]))
    assert f1_interval(0, 3)[0] == pytest.approx(0.0, abs=1e-12)


def test_the_sentence_knows_who_is_too_sure() -> None:
    y = np.zeros(400, int)
    right = np.tile([[0.7, 0.3]], (280, 1))
    wrong = np.tile([[0.3, 0.7]], (120, 1))
    assert "as sure as it should be" in confidence_sentence(np.concatenate([right, wrong]), y)
    more, less = np.array([0.25, -0.25]), np.array([0.15, -0.15])
    sure = np.concatenate([right + more, wrong - more])
    assert "surer than it should be, by 25.0 points" in confidence_sentence(sure, y)
    modest = np.concatenate([right - less, wrong + less])
    assert "less sure than it should be, by 15.0 points" in confidence_sentence(modest, y)


def test_newcombe_is_its_published_example() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    assert newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = newcombe((10, 10), (10, 10))
    assert low < 0 < high
    assert math.isclose(low, -high)
