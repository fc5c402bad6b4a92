"""Scores against independent references, undefined values, the words about the gap."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.evaluation import cross_entropies, score, wilson
from conviction.evaluation.gap import best_epoch
from conviction.training import EpochRow


@given(n=st.integers(1, 20_000), share=st.floats(0, 1))
def test_wilson_is_the_score_interval(n: int, share: float) -> None:
    k = round(share * n)
    low, high = wilson(k, n)
    # Wilson (1927): the p for which (k/n - p)^2 = z^2 p (1 - p) / n.
    z, p = 1.959963984540054, k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx(max(0.0, centre - half), abs=1e-9)
    assert high == pytest.approx(min(1.0, centre + half), abs=1e-9)


def reference(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Plain loops, sharing nothing with the code under test."""
    k = probabilities.shape[1]
    predicted = [max(range(k), key=lambda c: row[c]) for row in probabilities.tolist()]
    matrix = [[0] * k for _ in range(k)]
    for truth, said in zip(labels.tolist(), predicted, strict=True):
        matrix[truth][said] += 1
    said_counts = [sum(matrix[t][c] for t in range(k)) for c in range(k)]
    return {
        "matrix": matrix,
        "accuracy": sum(matrix[c][c] for c in range(k)) / len(labels),
        "precision": [matrix[c][c] / said_counts[c] if said_counts[c] else None for c in range(k)],
        "recall": [matrix[c][c] / sum(matrix[c]) if sum(matrix[c]) else None for c in range(k)],
        "loss": sum(
            -math.log(min(max(row[t], 1e-7), 1 - 1e-7))
            for row, t in zip(probabilities.tolist(), labels.tolist(), strict=True)
        )
        / len(labels),
    }


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(2, 6))
def test_scores_equal_plain_loops(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(k, 0.3), size=n)
    labels = rng.integers(0, k, n)
    got = score(probabilities, labels, [f"c{i}" for i in range(k)])
    want = reference(probabilities, labels)
    assert [list(row) for row in got.confusion] == want["matrix"]
    assert got.accuracy == pytest.approx(want["accuracy"], abs=1e-12)
    assert got.loss == pytest.approx(want["loss"], abs=1e-9)
    assert [c.precision for c in got.per_class] == pytest.approx(want["precision"], abs=1e-12)
    assert [c.recall for c in got.per_class] == pytest.approx(want["recall"], abs=1e-12)
    assert sum(c.support for c in got.per_class) == n
    json.dumps(got.to_json(), allow_nan=False)


def test_undefined_is_none_and_not_zero() -> None:
    got = score(np.array([[0.9, 0.1, 0.0]]), np.array([0]), ["a", "b", "c"])
    assert got.per_class[1].precision is None
    assert got.per_class[1].recall is None
    assert got.per_class[0].recall == 1.0


def test_certain_and_wrong_has_a_finite_loss() -> None:
    losses = cross_entropies(np.array([[1.0, 0.0]]), np.array([1]))
    assert losses[0] == pytest.approx(-math.log(1e-7))


def history(*pairs: tuple[float, float]) -> list[EpochRow]:
    return [EpochRow(i, loss, 0.9, val, 0.9, 0.001) for i, (loss, val) in enumerate(pairs, start=1)]


def test_the_best_epoch_is_the_earliest_of_the_lowest() -> None:
    assert best_epoch(history((1, 0.5), (0.5, 0.4), (0.4, 0.4))).epoch == 2
