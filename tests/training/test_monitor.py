"""The monitor on thousands of planted curves with real noise, on real runs, and on what may mislead it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from conviction.training import EpochRow
from conviction.training.monitor import Curves, jitter, read_curves, sampling_noise
from tests.training.curves import CLASSES, KINDS, Planted, plant, recorded

EACH = 1_000
NOT_TURNED = ("settled", "underfitting", "still improving")


@pytest.fixture(scope="module")
def curves() -> list[Planted]:
    rng = np.random.default_rng(20_260)
    return [plant(kind, rng) for kind in KINDS for _ in range(EACH)]


def read(curve: Planted, epochs: int | None = None) -> Curves:
    """At the end, or live after so many epochs."""
    return read_curves(
        curve.history[:epochs], classes=CLASSES, validation_images=curve.images, finished=epochs is None
    )


def test_each_verdict_is_right_in_at_least_95_of_100(curves: list[Planted]) -> None:
    said: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for curve in curves:
        said[curve.kind][read(curve).kind] += 1
    for kind in KINDS:
        assert said[kind][kind] >= 0.95 * EACH, f"{kind}: {dict(said[kind])}"


def test_false_alarms_over_all_epochs_of_a_run_are_below_2_of_100(curves: list[Planted]) -> None:
    quiet = [curve for curve in curves if curve.kind in NOT_TURNED]
    alarms = sum(
        any(read(curve, n).kind == "turned" for n in [None, *range(1, len(curve.history) + 1)])
        for curve in quiet
    )
    assert alarms < 0.02 * len(quiet), f"{alarms} of {len(quiet)}"


def test_the_curves_are_hard_enough_to_mislead_a_naive_reader(curves: list[Planted]) -> None:
    """Who calls every validation loss that has not been lowest for 3 epochs overfitting cries wolf."""
    flat = [curve for curve in curves if curve.kind == "settled"]
    alarms = sum(min(c.history, key=lambda row: row.val_loss).epoch <= len(c.history) - 3 for c in flat)
    assert alarms > 0.5 * len(flat)


def test_the_epoch_it_names_is_one_of_the_lowest(curves: list[Planted]) -> None:
    named = [(c, v) for c in curves if c.kind == "turned" and (v := read(c)).kind == "turned"]
    near = sum(c.validation[v.since - 1] - c.validation.min() <= 2 * c.error for c, v in named)
    assert near >= 0.95 * len(named)


@pytest.mark.parametrize("name", ["fashion", "cifar"])
def test_the_lab_on_real_images_overfits_since_the_lowest_mean_validation_loss(name: str) -> None:
    histories = recorded()[f"{name}_history"]
    lowest = int(histories[:, :, 2].mean(axis=0).argmin()) + 1
    images = {"fashion": 6_000, "cifar": 5_000}[name]
    assert len(histories) == 5
    verdicts = [read_curves(rows(run), classes=10, validation_images=images) for run in histories]
    assert [v.kind for v in verdicts] == ["turned"] * 5
    assert abs(np.median([v.since or 0 for v in verdicts]) - lowest) <= 1


def rows(run: np.ndarray, rate: float = 0.001) -> list[EpochRow]:
    return [EpochRow(i + 1, *map(float, values), rate) for i, values in enumerate(run)]


def curve(pairs: list[tuple[float, float]], rates: list[float] | None = None) -> list[EpochRow]:
    rates = rates or [0.001] * len(pairs)
    return [
        EpochRow(i + 1, loss, 1 - 0.35 * loss, val, 1 - 0.35 * val, rate)
        for i, ((loss, val), rate) in enumerate(zip(pairs, rates, strict=True))
    ]


def test_a_loss_that_rises_with_the_rate_of_a_schedule_is_no_alarm() -> None:
    pairs = [(1.6, 1.5), (1.2, 1.3), (1.1, 1.6), (1.0, 1.2), (0.8, 0.9), (0.6, 0.8)]
    history = curve(pairs, [0.002, 0.005, 0.008, 0.006, 0.003, 0.0])
    for n in range(1, 7):
        assert read_curves(history[:n], classes=10, validation_images=5_000).kind in (
            "still improving",
            "settled",
        )


def test_a_turn_has_its_epoch_and_its_numbers() -> None:
    pairs = [(0.9, 0.8), (0.6, 0.6), (0.4, 0.5), (0.3, 0.55), (0.2, 0.62), (0.1, 0.7), (0.05, 0.8)]
    shown = read_curves(curve(pairs), classes=10, validation_images=5_000)
    assert (shown.kind, shown.since, shown.epochs, shown.images) == ("turned", 3, 7, 5_000)
    assert (shown.numbers["val_loss_lowest"], shown.numbers["val_loss"]) == (0.5, 0.8)
    assert (shown.numbers["loss_at_turn"], shown.numbers["loss"]) == (0.4, 0.05)
    broken = [replace(row, loss=math.nan) if row.epoch == 7 else row for row in curve(pairs)]
    shown = read_curves(broken, classes=10, validation_images=5_000)
    assert (shown.kind, shown.case) == ("unstable", "not a number")
    assert all(math.isfinite(v) for v in shown.numbers.values())


def test_one_epoch_says_no_more_than_whether_it_learns() -> None:
    learned = read_curves(curve([(1.9, 1.2)]), classes=10, validation_images=1_000)
    assert (learned.kind, learned.case) == ("still improving", "one epoch")
    assert learned.numbers["loss_guessing"] == pytest.approx(2.3026, abs=1e-4)
    nothing = read_curves(curve([(2.31, 2.30)]), classes=10, validation_images=1_000)
    assert (nothing.kind, nothing.case) == ("underfitting", "nothing learned")


def test_a_loss_still_at_that_of_guessing_is_never_fitting_well() -> None:
    pairs = [(2.3026 - 0.0013 * (i + 1), 2.3026 - 0.0013 * (i + 1)) for i in range(3)]
    for n in (1, 2, 3):
        shown = read_curves(curve(pairs[:n]), classes=10, validation_images=143)
        assert (shown.kind, shown.case) == ("underfitting", "nothing learned")


def test_few_validation_images_do_not_hide_that_training_has_learned() -> None:
    pairs = [(0.94, 0.64), (0.63, 0.53), (0.45, 0.50)]
    shown = read_curves(curve(pairs), classes=3, validation_images=6)
    assert (shown.kind, shown.case) != ("underfitting", "nothing learned")


@pytest.mark.parametrize(("wobble", "case"), [(0.0, "crawling"), (0.02, "stuck")])
def test_a_loss_that_crawls_is_not_stuck(wobble: float, case: str) -> None:
    pairs = [(2.2 - 0.003 * i + wobble * (i % 2), 2.2 - 0.003 * i) for i in range(12)]
    shown = read_curves(curve(pairs), classes=10, validation_images=1_000)
    assert (shown.kind, shown.case) == ("underfitting", case)


def test_training_loss_above_validation_loss_is_not_underfitting_by_itself() -> None:
    # As with dropout and augmentation.
    pairs = [(0.9 + 0.5 * 0.3**i, 0.5 + 0.5 * 0.3**i) for i in range(10)]
    history = [replace(row, loss=min(row.loss, 0.75)) for row in curve(pairs)]
    assert read_curves(history, classes=10, validation_images=5_000).kind == "settled"


def test_jitter_is_the_spread_about_a_trend() -> None:
    rng = np.random.default_rng(0)
    trend = np.exp(-np.arange(4000) / 900)
    assert jitter(trend + rng.normal(0, 0.01, 4000)) == pytest.approx(0.01, rel=0.1)
    assert jitter(np.array([1.0, 0.5, 0.4])) == 0.0


def test_sampling_noise_is_near_that_of_recorded_runs() -> None:
    for name in ("fashion", "cifar"):
        losses, histories = recorded()[f"{name}_losses"], recorded()[f"{name}_history"]
        for run, history in zip(losses, histories, strict=True):
            turn = int(history[:, 2].argmin())
            for other in (turn + 1, 11):
                if other > 11:
                    continue
                true = (run[other] - run[turn]).std() / math.sqrt(1_000)
                said = sampling_noise(rows(history)[turn], 1_000)
                assert 0.5 < said / true < 2.5, (name, turn, other, said / true)


def test_the_power_for_a_turn_grows_with_images_and_needs_epochs() -> None:
    flat = curve([(0.5 * 0.9**i, 0.5) for i in range(10)])
    powers = [read_curves(flat, classes=10, validation_images=n).turn_power for n in (10, 30, 100, 1_000)]
    assert powers == sorted(powers)
    assert powers[0] < 0.2
    assert powers[-1] > 0.99
    assert read_curves(flat[:3], classes=10, validation_images=10_000).turn_power == 0.0
