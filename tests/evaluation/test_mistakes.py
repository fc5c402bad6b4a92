"""Confused pairs in words; planted label errors, found as the published method finds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.evaluation import suspect_labels
from conviction.evaluation.mistakes import confused_pairs


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 80), classes=st.sampled_from([2, 4]))
def test_suspects_are_those_of_the_definition(seed: int, n: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.full(classes, 0.5), n), rng.integers(0, classes, n)
    mean = {k: np.mean([p[i, k] for i in range(n) if labels[i] == k]) for k in set(labels.tolist())}
    joint = np.zeros((classes, classes))
    for i in range(n):
        believed = [k for k in mean if p[i, k] >= mean[k]]
        if believed:
            joint[labels[i], max(believed, key=lambda k: p[i, k])] += 1
    expected: dict[int, float] = {}
    for label in range(classes):
        rows = [i for i in range(n) if labels[i] == label]
        for other in set(range(classes)) - {label}:
            total = joint[label].sum()
            most = round(len(rows) * joint[label, other] / total) if total else 0
            for i in sorted(rows, key=lambda i: p[i, label] - p[i, other])[:most]:
                margin = p[i, other] - p[i, label]
                if margin > 0:
                    expected[i] = max(margin, expected.get(i, 0))
    found = suspect_labels(p, labels)
    assert {s.row: s.margin for s in found} == pytest.approx(expected)
    assert [s.margin for s in found] == sorted((s.margin for s in found), reverse=True)
    assert all(s.label == labels[s.row] != s.likelier for s in found)


def test_planted_errors_are_found_where_the_network_is_good() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 4_000)
    p = rng.dirichlet(np.full(5, 0.2), 4_000) * 0.25 + 0.75 * np.eye(5)[truth]
    wrong = rng.random(4_000) < 0.05
    labels = np.where(wrong, (truth + rng.integers(1, 5, 4_000)) % 5, truth)
    rows = [s.row for s in suspect_labels(p, labels)]
    assert wrong[rows].mean() > 0.95
    assert wrong[rows].sum() > 0.6 * wrong.sum()


def test_pairs_are_named_in_the_direction_that_is_worse() -> None:
    matrix = [[90, 2, 8], [1, 99, 0], [20, 0, 80]]
    said = confused_pairs(matrix, ["cat", "bird", "dog"])
    assert said == (
        "Confused most often: dog mistaken for cat (20, 8 the other way); cat mistaken for bird (2, 1 the other way). "
        "These are 100% of its 31 mistakes."
    )


def test_of_two_classes_there_is_one_pair_and_no_share_of_it() -> None:
    assert (
        confused_pairs([[90, 4], [9, 91]], ["cat", "dog"])
        == "Confused most often: dog mistaken for cat (9, 4 the other way)."
    )


@pytest.mark.parametrize("matrix", [[[5, 0], [0, 5]], [[5, 1], [1, 5]], [[0, 0], [0, 0]]])
def test_two_mistakes_are_no_pattern(matrix: list[list[int]]) -> None:
    assert confused_pairs(matrix, ["a", "b"]) == ""
