"""The sentence: what is claimed follows from interval and corrected p-value, and from nothing else."""

from __future__ import annotations

import re

import pytest

from conviction.experiments.findings import Summary, sentence
from conviction.experiments.statistics import paired_difference


def summary(accuracy: tuple[float, ...], params: int = 100) -> Summary:
    n = len(accuracy)
    return Summary(
        "q",
        "arm",
        tuple(range(n)),
        accuracy,
        (0.5,) * n,
        (0.0,) * n,
        0.001,
        (2.0,) * n,
        params,
        1000,
        (),
        (),
        {},
    )


BASE = (0.80, 0.82, 0.81, 0.83)


@pytest.mark.parametrize(
    ("accuracy", "p", "said"),
    [
        ((0.90, 0.92, 0.91, 0.93), 0.001, "better than the base (p = 0.001 after correction, 4 seeds)"),
        ((0.70, 0.72, 0.71, 0.731), 0.0004, "worse than the base (p < 0.001 after correction"),
        (
            (0.81, 0.83, 0.82, 0.842),
            0.2,
            "by this interval alone better than the base, but not after correction",
        ),
        ((0.80, 0.83, 0.80, 0.83), 0.9, "no detectable difference at 4 seeds"),
        (BASE, 1.0, "the same validation accuracy with each of 4 seeds"),
    ],
)
def test_what_is_claimed(accuracy: tuple[float, ...], p: float, said: str) -> None:
    arm, base = summary(accuracy, 260), summary(BASE)
    text = sentence(arm, base, paired_difference(accuracy, BASE), p, fixed=False)
    assert said in text
    assert "2.6 times the parameters" in text
    assert ("would take" in text) == ("no detectable difference" in text)


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        # The more alike the differences, the fewer seeds; a number is said where it can be trained, and no longer one.
        ((0.802, 0.798, 0.801, 0.799), r"would take \d+ to \d+ seeds, judging from these 4\.$"),
        (
            (0.81, 0.79, 0.805, 0.795),
            r"would take \d+ seeds or more, perhaps over 60, judging from these 4\.$",
        ),
        (
            (0.9, 0.7, 0.88, 0.72),
            r"would take more than 60 seeds, judging from these 4\.$",
        ),
    ],
)
def test_how_many_seeds_it_would_take_is_said_as_a_person_can_use_it(
    accuracy: tuple[float, ...], said: str
) -> None:
    base = (0.8, 0.8, 0.8, 0.8)
    text = sentence(summary(accuracy), summary(base), paired_difference(accuracy, base), 1.0, fixed=False)
    assert re.search(said, text), text
    assert not re.search(r"\d,\d{3} seeds", text)


def test_a_fixed_split_and_a_single_seed_are_said() -> None:
    one = sentence(summary((0.9,)), summary((0.8,)), paired_difference([0.9], [0.8]), 1.0, fixed=False)
    assert "one seed, which shows nothing yet" in one
    fixed = sentence(
        summary(BASE), summary(BASE), paired_difference((0.9, 0.8, 0.85, 0.8), BASE), 0.5, fixed=True
    )
    assert "over seeds, on one split" in fixed
