"""The monitor on thousands of planted curves with real noise, on real runs, and on what may mislead it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from conviction.training import EpochRow
from conviction.training.monitor import Verdict, jitter, read_curves, sampling_noise
from tests.training.curves import CLASSES, KINDS, Planted, plant, recorded

EACH = 1_000
NOT_OVERFITTING = ("fitting well", "underfitting", "still improving")


@pytest.fixture(scope="module")
def curves() -> list[Planted]:
    rng = np.random.default_rng(20_260)
    return [plant(kind, rng) for kind in KINDS for _ in range(EACH)]


def read(curve: Planted, epochs: int | None = None) -> Verdict:
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
    quiet = [curve for curve in curves if curve.kind in NOT_OVERFITTING]
    alarms = sum(
        any(read(curve, n).kind == "overfitting" for n in [None, *range(1, len(curve.history) + 1)])
        for curve in quiet
    )
    assert alarms < 0.02 * len(quiet), f"{alarms} of {len(quiet)}"


def test_the_curves_are_hard_enough_to_mislead_a_naive_reader(curves: list[Planted]) -> None:
    """Who calls every validation loss that has not been lowest for 3 epochs overfitting cries wolf."""
    flat = [curve for curve in curves if curve.kind == "fitting well"]
    alarms = sum(min(c.history, key=lambda row: row.val_loss).epoch <= len(c.history) - 3 for c in flat)
    assert alarms > 0.5 * len(flat)


def test_the_epoch_it_names_is_one_of_the_lowest(curves: list[Planted]) -> None:
    named = [(c, v) for c in curves if c.kind == "overfitting" and (v := read(c)).kind == "overfitting"]
    near = sum(c.validation[v.since - 1] - c.validation.min() <= 2 * c.error for c, v in named)
    assert near >= 0.95 * len(named)


@pytest.mark.parametrize("name", ["fashion", "cifar"])
def test_the_lab_on_real_images_overfits_since_the_lowest_mean_validation_loss(name: str) -> None:
    histories = recorded()[f"{name}_history"]
    lowest = int(histories[:, :, 2].mean(axis=0).argmin()) + 1
    images = {"fashion": 6_000, "cifar": 5_000}[name]
    assert len(histories) == 5
    verdicts = [read_curves(rows(run), classes=10, validation_images=images) for run in histories]
    assert [v.kind for v in verdicts] == ["overfitting"] * 5
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
            "fitting well",
        )


def test_the_words_carry_the_numbers_and_a_remedy() -> None:
    pairs = [(0.9, 0.8), (0.6, 0.6), (0.4, 0.5), (0.3, 0.55), (0.2, 0.62), (0.1, 0.7), (0.05, 0.8)]
    verdict = read_curves(curve(pairs), classes=10, validation_images=5_000)
    assert verdict.name == "overfitting since epoch 3"
    assert "lowest in epoch 3 (0.5000) and is 0.8000 now" in verdict.sentence
    assert "training loss fell from 0.4000 to 0.0500" in verdict.sentence
    assert verdict.remedy == ("training.early_stopping=3",)
    broken = [replace(row, loss=math.nan) if row.epoch == 7 else row for row in curve(pairs)]
    assert read_curves(broken, classes=10, validation_images=5_000).remedy == (
        "training.learning_rate=0.0001",
    )
    ended = curve(pairs, [0.01, 0.02, 0.015, 0.01, 0.005, 0.001, 0.0])
    broken = [replace(row, loss=math.nan) if row.epoch == 7 else row for row in ended]
    assert read_curves(broken, classes=10, validation_images=5_000).remedy == (
        "training.learning_rate=0.002",
    ), "a schedule has brought the rate to nothing, and a tenth of that would train nothing"
    falling = [(2.0 - 0.2 * i, 2.0 - 0.2 * i) for i in range(6)]
    more = read_curves(curve(falling), classes=10, validation_images=5_000)
    assert (more.kind, more.remedy, more.resumes) == ("still improving", ("training.epochs=12",), True)


def test_one_epoch_says_no_more_than_whether_it_learns() -> None:
    learned = read_curves(curve([(1.9, 1.2)]), classes=10, validation_images=1_000)
    assert (learned.kind, learned.resumes) == ("still improving", True)
    assert "is 1.2000, where guessing has 2.3026" in learned.sentence
    nothing = read_curves(curve([(2.31, 2.30)]), classes=10, validation_images=1_000)
    assert nothing.kind == "underfitting"
    assert "nothing has been learned yet" in nothing.sentence


def test_a_loss_still_at_that_of_guessing_is_never_fitting_well() -> None:
    pairs = [(2.3026 - 0.0013 * (i + 1), 2.3026 - 0.0013 * (i + 1)) for i in range(3)]
    for n in (1, 2, 3):
        verdict = read_curves(curve(pairs[:n]), classes=10, validation_images=143)
        assert (verdict.kind, verdict.resumes) == ("underfitting", True)
        assert "where guessing has 2.3026: nothing has been learned yet" in verdict.sentence


@pytest.mark.parametrize(("wobble", "remedy"), [(0.0, "training.learning_rate=auto"), (0.02, "recipe=best")])
def test_a_loss_that_crawls_asks_for_longer_steps(wobble: float, remedy: str) -> None:
    pairs = [(2.2 - 0.003 * i + wobble * (i % 2), 2.2 - 0.003 * i) for i in range(12)]
    verdict = read_curves(curve(pairs), classes=10, validation_images=1_000)
    assert (verdict.kind, verdict.remedy) == ("underfitting", (remedy,))


def test_training_loss_above_validation_loss_is_not_underfitting_by_itself() -> None:
    # As with dropout and augmentation.
    pairs = [(0.9 + 0.5 * 0.3**i, 0.5 + 0.5 * 0.3**i) for i in range(10)]
    history = [replace(row, loss=min(row.loss, 0.75)) for row in curve(pairs)]
    assert read_curves(history, classes=10, validation_images=5_000).kind == "fitting well"


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
