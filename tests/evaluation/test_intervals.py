"""Intervals cover what they should; tests of differences against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from conviction.evaluation import holm, mcnemar, newcombe, newcombe_paired, wilson


@pytest.mark.parametrize("n", [200, 1_000])
def test_wilsons_interval_covers_95_percent_averaged_over_p(n: int) -> None:
    bounds = np.array([wilson(k, n) for k in range(n + 1)])
    covered = []
    for p in np.linspace(0.05, 0.95, 91):
        inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
        covered.append(binom.pmf(np.arange(n + 1), n, p)[inside].sum())
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.92


@pytest.mark.parametrize(
    "shares", [(0.8, 0.06, 0.04, 0.1), (0.9, 0.02, 0.05, 0.03), (0.4, 0.2, 0.2, 0.2), (0.5, 0.0, 0.1, 0.4)]
)
def test_the_paired_interval_covers_95_percent(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    true, inside = shares[1] - shares[2], 0
    for table in rng.multinomial(200, shares, 1_500):
        low, high = newcombe_paired(*map(int, table))
        inside += low <= true <= high
    assert 0.935 < inside / 1_500 < 0.98  # with few discordant images it is somewhat wide


@given(table=st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any))
def test_the_paired_interval_turns_with_the_runs(table: list[int]) -> None:
    both, mine, its, neither = table
    low, high = newcombe_paired(both, mine, its, neither)
    back = newcombe_paired(both, its, mine, neither)
    assert (low, high) == pytest.approx((-back[1], -back[0]))
    assert low - 1e-12 <= (mine - its) / sum(table) <= high + 1e-12


def test_agreement_narrows_the_paired_interval() -> None:
    paired = newcombe_paired(900, 20, 10, 70)
    apart = newcombe((920, 1_000), (910, 1_000))
    assert paired[1] - paired[0] < 0.6 * (apart[1] - apart[0])


@given(mine=st.integers(0, 200), its=st.integers(0, 200))
def test_mcnemar_is_the_exact_test_of_the_discordant_images(mine: int, its: int) -> None:
    expected = binomtest(its, mine + its).pvalue if mine + its else 1.0
    assert mcnemar(mine, its) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []
