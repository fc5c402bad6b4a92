"""The statistics against simulations whose truth is known, and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from conviction.evaluation import holm
from conviction.experiments.statistics import (
    paired_difference,
    power,
    seeds_interval,
    seeds_needed,
)

SIMULATED = 20_000


def arms(rng: np.random.Generator, n: int, truth: float) -> tuple[np.ndarray, np.ndarray]:
    """Two arms that share the luck of their seeds: (n,) accuracies each."""
    luck = rng.normal(0, 0.01, n)
    return 0.9 + truth + luck + rng.normal(0, 0.004, n), 0.9 + luck + rng.normal(0, 0.003, n)


def test_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = arms(rng, 7, 0.002)
    ours, scipys = paired_difference(a, b), stats.ttest_rel(a, b)
    interval = scipys.confidence_interval(0.95)
    assert ours.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "truth"),
    [
        (3, 0.0),
        (10, 0.003),
        *(
            pytest.param(*case, marks=pytest.mark.full)
            for case in [(3, 0.003), (5, 0.0), (5, 0.003), (10, 0.0)]
        ),
    ],
)
def test_intervals_hold_the_truth_in_95_of_100(n: int, truth: float) -> None:
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(SIMULATED):
        found = paired_difference(*arms(rng, n, truth))
        held += found.low <= truth <= found.high
    assert abs(held / SIMULATED - 0.95) < 0.01


@pytest.mark.parametrize("comparisons", [1, *(pytest.param(n, marks=pytest.mark.full) for n in (5, 20))])
def test_arms_that_do_not_differ_are_seldom_called_different(comparisons: int) -> None:
    """The chance of at least one false alarm in a whole exploration, after Holm; arms share their base."""
    rng = np.random.default_rng(comparisons)
    alarms, times = 0, 4000
    for _ in range(times):
        luck = rng.normal(0, 0.01, 5)
        base = luck + rng.normal(0, 0.003, 5)
        p = [paired_difference(luck + rng.normal(0, 0.003, 5), base).p for _ in range(comparisons)]
        alarms += min(holm(p)) < 0.05
    # Holm is exact for one comparison and cautious for dependent ones.
    assert alarms / times < 0.06
    if comparisons == 1:
        assert abs(alarms / times - 0.05) < 0.01


@pytest.mark.parametrize(("sd", "difference", "n"), [(0.005, 0.005, 5), (0.004, 0.002, 20), (0.01, 0.02, 4)])
def test_power_is_how_often_a_difference_is_found(sd: float, difference: float, n: int) -> None:
    rng = np.random.default_rng(1)
    d = rng.normal(difference, sd, (SIMULATED, n))
    t = d.mean(axis=1) / d.std(axis=1, ddof=1) * math.sqrt(n)
    found = (2 * stats.t.sf(np.abs(t), n - 1) < 0.05).mean()
    assert power(sd, difference, n) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(
    ("sd", "difference"), [(0.005, 0.005), (0.004, 0.0015), (0.02, 0.005), (0.001, 0.005)]
)
def test_the_advice_is_within_20_percent_of_the_truth(sd: float, difference: float) -> None:
    """The truth: the smallest n at which 80 of 100 simulated experiments find it."""
    rng = np.random.default_rng(2)
    advised = seeds_needed(sd, difference)

    def found(n: int) -> float:
        d = rng.normal(difference, sd, (SIMULATED, n))
        t = d.mean(axis=1) / d.std(axis=1, ddof=1) * math.sqrt(n)
        return float((2 * stats.t.sf(np.abs(t), n - 1) < 0.05).mean())

    assert found(math.ceil(advised * 1.2)) > 0.79
    below = math.floor(advised / 1.2)
    if below >= 2 and below < advised:
        assert found(below) < 0.81


def test_the_interval_of_the_advice_holds_the_truth() -> None:
    rng = np.random.default_rng(3)
    sd, difference, n = 0.006, 0.004, 6
    truth = seeds_needed(sd, difference)
    held = 0
    for _ in range(400):
        low, high = seeds_interval(float(rng.normal(0, sd, n).std(ddof=1)), n, difference)
        held += low <= truth <= high
    assert abs(held / 400 - 0.95) < 0.035


def test_edges() -> None:
    one = paired_difference([0.9], [0.8])
    assert not one.known
    assert (one.low, one.high, one.p) == (-math.inf, math.inf, 1.0)
    same = paired_difference([0.9, 0.8], [0.9, 0.8])
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert paired_difference([1.0, 0.5], [0.5, 0.0]).p == 0.0
    # Of 71 images each, one more right in both of two seeds: that is no certainty.
    chance = paired_difference([51 / 71, 53 / 71], [50 / 71, 52 / 71], resolution=1 / 71)
    assert chance.low < 0 < chance.high
    assert chance.p > 0.05
    assert seeds_needed(0.0, 0.01) == 2
    assert seeds_needed(1.0, 1e-6) == 100_000
