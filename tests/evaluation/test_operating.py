"""Operating points and coverage, against scikit-learn and by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score

from conviction.data.decision import Decision, decide
from conviction.evaluation.operating import coverages, operating_points

SCORES = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=40)


@given(SCORES, st.integers(0, 2**16), st.floats(0.01, 0.99))
def test_a_point_is_what_scikit_learn_says(scores: list[float], seed: int, threshold: float) -> None:
    values = np.array(scores, np.float32)
    truth = np.random.default_rng(seed).permutation(np.arange(len(values)) % 2 == 0)
    (point,) = operating_points(values, truth, [threshold])
    called = values >= threshold
    assert point.called == called.sum()
    assert point.recall == pytest.approx(recall_score(truth, called))
    assert point.specificity == pytest.approx(recall_score(~truth, ~called))
    assert point.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, called))
    if called.any():
        assert point.precision == pytest.approx(precision_score(truth, called))
    else:
        assert point.precision is point.precision_ci95 is None
    for value, interval in ((point.recall, point.recall_ci95), (point.specificity, point.specificity_ci95)):
        assert interval[0] - 1e-12 <= value <= interval[1] + 1e-12


@given(SCORES, st.floats(0.01, 0.99))
def test_one_class_and_the_other_are_one_decision(scores: list[float], threshold: float) -> None:
    second = np.array(scores)
    rows = np.stack([1 - second, second], axis=1)
    names = ["well", "ill"]
    answers = decide(rows, names, Decision(class_name="ill", threshold=threshold))
    assert answers.tolist() == (second >= threshold).astype(int).tolist()
    other = decide(rows, names, Decision(class_name="well", threshold=threshold))
    assert other.tolist() == np.where(1 - second >= threshold, 0, 1).tolist()
    assert decide(rows, names).tolist() == rows.argmax(axis=1).tolist()


def test_coverage_falls_and_everything_is_answered_at_zero() -> None:
    chance = np.random.default_rng(0)
    rows = chance.dirichlet(np.ones(4), 200)
    labels = np.array([chance.choice(4, p=row) for row in rows])
    table = coverages(rows, labels)
    assert (table[0].coverage, table[0].answered) == (1.0, 200)
    assert table[0].accuracy == (rows.argmax(axis=1) == labels).mean()
    assert [t.coverage for t in table] == sorted((t.coverage for t in table), reverse=True)
    nobody = coverages(rows, labels, [1.0])[0]
    assert (nobody.answered, nobody.accuracy, nobody.accuracy_ci95) == (0, None, None)
