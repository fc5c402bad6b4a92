"""The verdict on thousands of planted trainings, on two that were read wrongly once, and on every combination."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import load_recipe
from conviction.evaluation import Advice, Verdict, judge, judge_live, measure_gap
from conviction.evaluation.gap import LARGE, NORMAL, gap_power
from conviction.evaluation.intervals import newcombe
from conviction.evaluation.verdict import ENOUGH_POWER
from conviction.reporting.verdict import live_sentence, reasons, verdict_sentences
from conviction.training import Curves, EpochRow
from conviction.training.monitor import Case as CurvesCase
from conviction.training.monitor import Shape
from tests.evaluation.planted import GAPS, IMAGES, RECIPE, Case, draw

NUMBERS = {"loss": 0.05, "val_loss": 0.51, "val_loss_lowest": 0.5, "lowest_epoch": 5.0, "highest_rate": 0.001}


LOOKS: list[tuple[Shape, CurvesCase]] = [
    ("settled", "settled"),
    ("still improving", "falling"),
    ("underfitting", "stuck"),
]


def settled(images: int, power: float, epochs: int = 8) -> Curves:
    return Curves("settled", "settled", epochs, images, None, NUMBERS, power)


def judged(
    train: tuple[int, int],
    unseen: tuple[int, int],
    curves: Curves,
    *keys: str,
    part: Literal["test", "validation"] = "test",
) -> Verdict:
    (a, n), (b, m) = train, unseen
    return judge(curves, measure_gap((a / n, n), (b / m, m), part), load_recipe(keys or ["recipe=lab"]))


@pytest.mark.parametrize("each", [3, pytest.param(40, marks=pytest.mark.full)])
def test_planted_trainings_are_judged_rightly_in_at_least_95_of_100(each: int) -> None:
    rng = np.random.default_rng(20_261)
    right: dict[object, list[bool]] = defaultdict(list)
    praised: list[Case] = []
    for images in IMAGES:
        for gap in GAPS:
            for turn in (False, True):
                cases = draw(images, gap, turn, each, rng)
                for key in ("all", ("images", images), ("gap", gap), ("turn", turn)):
                    right[key] += [case.right for case in cases]
                praised += [case for case in cases if case.verdict.kind == "fitting well"]
    assert np.mean(right["all"]) >= 0.95
    # A share of few draws varies; of as many as in the full test, no size and no gap may fall below.
    least = 0.95 if each >= 40 else 0.87
    assert {key: np.mean(r) for key, r in right.items() if np.mean(r) < least} == {}
    assert praised
    assert not [case for case in praised if case.gap > LARGE and case.verdict.gap.low > NORMAL]
    assert sum(case.gap > LARGE for case in praised) <= 0.01 * len(praised)
    assert not [c for c in praised if min(c.verdict.power.turn, c.verdict.power.gap) < ENOUGH_POWER]


@given(
    train=st.tuples(st.integers(0, 300), st.integers(1, 300)),
    unseen=st.tuples(st.integers(0, 300), st.integers(1, 300)),
    power=st.floats(0.0, 1.0),
    look=st.sampled_from(LOOKS),
)
def test_no_figures_at_all_make_a_large_gap_read_as_normal(
    train: tuple[int, int], unseen: tuple[int, int], power: float, look: tuple[Shape, CurvesCase]
) -> None:
    more = {
        "loss_guessing": 2.3,
        "stuck_since": 4.0,
        "accuracy": 0.3,
        "fall": 0.1,
        "noise": 0.01,
        "over": 2.0,
    }
    curves = Curves(*look, 8, unseen[1], None, NUMBERS | more, power)
    (a, n), (b, m) = train, unseen
    verdict = judged((min(a, n), n), (min(b, m), m), curves)
    if verdict.kind == "fitting well":
        assert verdict.gap.high < LARGE
        assert verdict.gap.low <= NORMAL
        assert min(verdict.power.turn, verdict.power.gap) >= ENOUGH_POWER
    if verdict.gap.low > NORMAL:
        assert verdict.kind != "cannot tell"
    words = " ".join(verdict_sentences(verdict))
    assert "normal" not in words
    assert "nothing speaks" not in words
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
    assert live_sentence(verdict)


def test_a_gap_of_49_points_on_36_images_is_memorising() -> None:
    verdict = judged((129, 130), (18, 36), settled(15, 0.3))
    assert (verdict.name, verdict.since) == ("memorising", None)
    assert verdict.advice == (Advice(("augmentation.shift=0.1",)), Advice(("recipe=best",)))
    gap, said, meanings = verdict_sentences(verdict)
    assert gap == (
        "Accuracy is 99.23% on the training images and 50.00% on the test images: a gap of 49.2 points "
        "(95% interval 33.3 to 64.8)."
    )
    assert said.startswith("Verdict: memorising. ")
    assert "98% of the 50.0% error on test images" in said
    assert "More images to learn from help most." in said
    assert "These 15 validation images cannot tell whether validation loss has turned." in said
    assert "validation loss that has turned" in meanings
    assert meanings.endswith("The second holds here.")


def test_everything_right_in_training_and_a_tenth_wrong_outside_is_memorising() -> None:
    verdict = judged((800, 800), (156, 172), settled(80, 0.7))
    assert verdict.kind == "memorising"
    gap, said, _ = verdict_sentences(verdict)
    assert "a gap of 9.3 points (95% interval 5.8 to 14.6)" in gap
    assert "100% of the 9.3% error on test images" in said
    assert "fitting well" not in said


def test_few_images_cannot_tell_and_say_what_they_would_have_shown() -> None:
    verdict = judged((130, 130), (15, 15), settled(15, 0.3), part="validation")
    assert (verdict.kind, verdict.advice) == ("cannot tell", ())
    assert reasons(verdict).endswith(
        "These 15 validation images cannot tell whether it has turned: a loss that has risen by a quarter would be "
        "noticed in 30 of 100 such runs; and these 15 validation images cannot tell whether the gap is small: it may "
        "be as large as 20 points. More validation images would tell."
    )
    short = judged((130, 130), (1_000, 1_000), settled(1_000, 0.0, epochs=3))
    assert "3 epochs are too few for a turn to show" in reasons(short)


def test_fitting_well_says_what_would_have_been_seen() -> None:
    verdict = judged((9_500, 10_000), (1_390, 1_500), settled(1_500, 0.97))
    assert verdict.kind == "fitting well"
    assert reasons(verdict).endswith(
        "A loss that had risen by a quarter would have been noticed in 97 of 100 such runs, and a gap of 10 points "
        "lies outside the interval."
    )


def test_a_gap_that_is_the_smaller_part_of_the_error_has_a_name_of_its_own() -> None:
    verdict = judged((600, 1_000), (470, 1_000), settled(1_000, 0.9))
    assert (verdict.kind, verdict.advice[0]) == ("large gap", Advice(("recipe=best",)))


TURNED = Curves(
    "turned",
    "turned",
    12,
    6_000,
    6,
    {
        **NUMBERS,
        "rise": 0.1,
        "noise": 0.02,
        "loss_at_turn": 0.2,
        "val_accuracy_at_turn": 0.9,
        "val_accuracy": 0.91,
    },
    1.0,
)


def test_a_turn_is_the_first_meaning_and_both_can_hold() -> None:
    both = judged((990, 1_000), (800, 1_000), TURNED)
    assert (both.name, both.since) == ("overfitting since epoch 6", 6)
    assert verdict_sentences(both)[-1].endswith("Both hold here.")
    # Stopping early keeps better weights; it brings no image.
    keys = [advice.keys[0] for advice in both.advice]
    assert keys == ["training.early_stopping=3", "augmentation.shift=0.1", "recipe=best"]
    turn = judged((920, 1_000), (900, 1_000), TURNED)
    assert turn.advice == (Advice(("training.early_stopping=3",)),)
    assert verdict_sentences(turn)[-1].endswith("The first holds here.")
    assert "Validation accuracy rose from 90.00% to 91.00%" in reasons(turn)


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        (["recipe=lab"], ["augmentation.shift=0.1", "recipe=best"]),
        (["recipe=lab", "augmentation.rotate=10"], ["recipe=best"]),
        # Colour pictures that are large enough to be photographs.
        (
            ["recipe=best", "data.image_size=96", "data.color_mode=rgb"],
            ["recipe=transfer"],
        ),
        (["recipe=best", "data.image_size=32", "data.color_mode=rgb"], []),
        (["recipe=transfer"], ["recipe=transfer"]),  # and let some of the backbone learn
        (["recipe=transfer", "model.trainable=2"], []),
    ],
)
def test_what_is_done_already_is_not_advised(keys: list[str], advice: list[str]) -> None:
    verdict = judged((129, 130), (18, 36), settled(15, 0.3), *keys)
    assert [a.keys[0] for a in verdict.advice] == advice


@pytest.mark.parametrize(
    ("curves", "advice"),
    [
        (
            Curves("unstable", "not a number", 5, 100, None, NUMBERS),
            Advice(("training.learning_rate=0.0001",)),
        ),
        (
            Curves("underfitting", "nothing learned", 2, 100, None, {**NUMBERS, "loss_guessing": 2.3}),
            Advice(("training.epochs=4",), True),
        ),
        (
            Curves(
                "still improving",
                "falling",
                6,
                100,
                None,
                {**NUMBERS, "fall": 0.1, "noise": 0.01, "over": 2.0},
            ),
            Advice(("training.epochs=12",), True),
        ),
        (Curves("underfitting", "crawling", 6, 100, None, NUMBERS), Advice(("training.learning_rate=auto",))),
        (Curves("underfitting", "stuck", 6, 100, None, NUMBERS), Advice(("recipe=best",))),
    ],
)
def test_the_remedy_fits_the_cause(curves: Curves, advice: Advice) -> None:
    assert judged((50, 100), (50, 100), curves).advice == (advice,)


def test_smoothed_losses_are_named() -> None:
    gap = measure_gap((1.0, 800), (0.9, 170), "test")
    plain, smoothed = (
        judge(settled(80, 0.7), gap, load_recipe(["recipe=lab", f"training.label_smoothing={s}"]))
        for s in (0, 0.1)
    )
    assert "Validation loss was lowest" in reasons(plain)
    assert "Validation loss (of targets smoothed by 0.1) was lowest" in reasons(smoothed)


def test_while_training_goes_on_the_gap_is_that_of_the_last_epoch() -> None:
    history = [EpochRow(i + 1, 0.5 * 0.6**i, 0.99, 1.0, 0.5, 0.001) for i in range(8)]
    verdict = judge_live(history, train_images=130, validation_images=36, classes=2, recipe=RECIPE)
    assert (verdict.kind, verdict.gap.measured, verdict.gap.unseen) == (
        "memorising",
        "in training",
        "validation",
    )
    assert "99.00% on the training images (while the weights still moved)" in live_sentence(verdict)


@given(
    right=st.integers(0, 400),
    n=st.integers(1, 400),
    m=st.integers(1, 5_000),
)
def test_a_power_is_a_probability(right: int, n: int, m: int) -> None:
    assert 0.0 <= gap_power(min(right, n), n, m) <= 1.0


def test_the_power_for_a_gap_is_how_often_its_interval_lies_above_zero() -> None:
    rng = np.random.default_rng(1)
    for p, n, m in ((0.9, 1_000, 60), (0.7, 500, 150), (0.95, 2_000, 300), (1.0, 800, 12)):
        draws = rng.binomial(m, p - LARGE, 400).tolist()
        seen = np.mean([newcombe((round(p * n), n), (b, m))[0] > 0.0 for b in draws])
        assert math.isclose(seen, gap_power(round(p * n), n, m), abs_tol=0.08)
