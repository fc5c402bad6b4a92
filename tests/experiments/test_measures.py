"""Effects of a change: every measure, seed by seed, against SciPy's paired interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from conviction.experiments.measures import MEASURES, effects_of
from conviction.training import EpochRow


def rows(rng: np.random.Generator, epochs: int) -> list[EpochRow]:
    return [EpochRow(i, *map(float, rng.uniform(0.1, 1, 4)), 0.001) for i in range(1, epochs + 1)]


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 5))
@settings(max_examples=25)
def test_each_measure_has_the_interval_of_a_paired_t_test(seed: int, seeds: int, epochs: int) -> None:
    rng = np.random.default_rng(seed)
    first = {s: rows(rng, epochs) for s in range(seeds + 1)}  # one more than there are pairs
    second = {s: rows(rng, epochs) for s in range(1, seeds + 1)}
    pairs, effects = effects_of(first, second, 0.0)
    assert pairs == seeds
    assert set(effects) == set(MEASURES)
    for name, effect in effects.items():
        ours = [MEASURES[name](first[s]) for s in second]
        theirs = [MEASURES[name](second[s]) for s in second]
        assert effect.here - effect.there == pytest.approx(effect.mean, abs=1e-9)
        if np.ptp(np.subtract(ours, theirs)) > 1e-9:
            interval = ttest_rel(ours, theirs).confidence_interval()
            assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_the_measures_are_what_their_names_say() -> None:
    history = [
        EpochRow(1, 1.0, 0.50, 0.9, 0.60, 0.001),
        EpochRow(2, 0.5, 0.80, 0.4, 0.85, 0.001),
        EpochRow(3, 0.2, 0.95, 0.7, 0.80, 0.001),
    ]
    values = {name: measure(history) for name, measure in MEASURES.items()}
    assert values == pytest.approx(
        {
            "accuracy": 0.80,
            "loss": 0.7,
            "lowest_loss": 0.4,
            "lowest_epoch": 2,
            "rise": 0.3,
            "training_loss": 0.2,
            "first_training_loss": 1.0,
            "first_loss": 0.9,
            "first_accuracy": 0.60,
            "gap": 0.15,
        }
    )


def test_a_training_that_diverged_has_no_loss_to_compare_and_one_seed_no_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = ({s: rows(rng, 2) for s in range(3)} for _ in range(2))
    first[1][-1] = EpochRow(2, math.nan, 0.1, math.nan, 0.1, 0.001)
    _, effects = effects_of(first, second, 0.0)
    assert "loss" not in effects
    assert "accuracy" in effects
    pairs, effects = effects_of({0: first[0]}, second, 0.0)
    assert pairs == 1
    assert effects["loss"].direction == "no detectable difference"
    assert effects_of({7: first[0]}, second, 0.0) == (0, {})
