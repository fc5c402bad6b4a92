"""Claims: each stands beside a measurement, can be tested, and is judged by the measurement alone."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from conviction.config import ImageFacts, load_recipe
from conviction.errors import RequestError
from conviction.experiments.measures import MEASURES as FUNCTIONS
from conviction.experiments.questions import QUESTIONS, arm_of_claim
from conviction.lesson import chapters, read_topic, recorded_facts, sheets
from conviction.lesson.claim_words import ANSWERS, claim_question, comparison, own_evidence, teaching, verdict
from conviction.lesson.claims import claims, claims_about, experiment_of
from conviction.lesson.record import DIRECTIONS, MEASURES, Effect, measurements
from tests.lesson.test_record import quoted

FACTS = ImageFacts.of((28, 28, 1), 4000)
HIGHER, LOWER, NONE = Effect(0, 0, 2, 1, 3), Effect(0, 0, -2, -3, -1), Effect(0, 0, 0, -1, 1)


def test_every_measurement_that_a_text_quotes_is_a_claim_that_can_be_guessed_and_tested() -> None:
    """But for those that no key of a specification changes."""
    of_claims = {name for claim in claims().values() for name in claim.records}
    assert {name for _, (name, *_) in quoted()} <= of_claims
    untestable = {name for name, one in measurements().items() if one.experiment is None}
    assert untestable == {"plain.he", "plain.unscaled_adam", "plain.unscaled_sgd", "across.norm_places"}
    tested = {claim.records[0] for claim in claims().values() if claim.experiment}
    # A claim has the same question answered by more than one measurement where sets or lengths differ.
    beside = {name for claim in claims().values() for name in claim.records[1:]}
    assert of_claims - untestable <= tested | beside


@pytest.mark.parametrize("name", claims())
def test_a_claim_is_whole(name: str) -> None:
    claim = claims()[name]
    assert claim.subject in {s.name for s in sheets()} | {c.name for c in chapters()}
    assert claim.says in DIRECTIONS
    assert claim.measure in MEASURES
    assert all(claim.measure in one.differences for one in claim.measurements)
    # A study of a claim lies beside those of the lab's questions.
    assert name not in QUESTIONS
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert claim.taught.endswith(".")
    assert claim.why.endswith(".")
    # The question gives nothing away.
    assert not re.search(r"\b(better|worse|higher than|lower than|more accurate)\b", claim_question(claim))


@pytest.mark.parametrize("name", [claim.name for claim in claims().values() if claim.experiment])
def test_the_experiment_of_a_claim_changes_the_base(name: str) -> None:
    claim, experiment = experiment_of(name)
    base = {"recipe": "lab", "training.epochs": experiment.epochs, **experiment.keys}
    before = load_recipe(base, facts=FACTS)
    after = arm_of_claim(claim, experiment).recipe(base, FACTS)
    assert after != before
    assert after.training.epochs == before.training.epochs == experiment.epochs
    assert after.data == before.data


def test_the_record_says_how_the_benchmark_measured() -> None:
    bench = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "lesson.py"))
    for name, one in measurements().items():
        study, _, arm = name.partition(".")
        if study in bench["STUDIES"]:
            assert one.experiment is not None
            asked = bench["STUDIES"][study]
            assert vars(one.experiment) == asked.experiment(asked.arms[arm]), name
    assert set(FUNCTIONS) == set(MEASURES)


def test_a_chapter_has_its_claims_and_that_on_hyperparameters_those_of_all_sheets() -> None:
    assert [c.subject for c in claims_about("data")] == ["data", "data"]
    assert {c.subject for c in claims_about("hyperparameters")} == {s.name for s in sheets()}
    assert claims_about("training") == []
    # Each sheet that says what to expect has some, so that nobody must read it before guessing.
    assert all(claims_about(sheet.name) for sheet in sheets())


@pytest.mark.parametrize(
    ("guess", "effect", "begins"),
    [
        ("higher", HIGHER, "You expected it to be higher, and it is"),
        ("lower", HIGHER, "You expected it to be lower; it is higher"),
        ("no detectable difference", LOWER, "You expected no difference; it is lower"),
        (
            "no detectable difference",
            NONE,
            "You expected no difference, and none was detected. That does not show",
        ),
        (
            "higher",
            NONE,
            "You expected it to be higher. No difference was detected, so your guess is neither shown",
        ),
    ],
)
def test_a_guess_is_judged_by_the_interval(guess: str, effect: Effect, begins: str) -> None:
    assert guess in ANSWERS
    assert verdict(guess, effect).startswith(begins)  # type: ignore[arg-type]


def test_what_a_learner_measured_is_compared_with_the_record() -> None:
    claim = claims()["one-block"]
    assert claim.effect.direction == "higher"
    assert comparison(claim, HIGHER, 3) == "That is what was measured on Fashion-MNIST, too."
    assert comparison(claim, LOWER, 3) == "On Fashion-MNIST it was higher."
    assert "does not show that there is none" in comparison(claim, NONE, 3)
    assert comparison(claims()["half-filters"], NONE, 3) == "None was detected on Fashion-MNIST either."
    assert (
        comparison(claims()["half-filters"], LOWER, 3)
        == "On Fashion-MNIST there was no detectable difference."
    )
    # One seed shows nothing, whichever way it points, and neither does a training that diverged.
    alone = Effect(0.5, 0.4, 0.1, float("-inf"), float("inf"))
    assert (
        own_evidence(claim, alone, 1) == "Your images: +10.0 points with one seed, which shows nothing yet."
    )
    assert comparison(claim, alone, 1) == comparison(claim, None, 3) == ""
    assert "not a number" in own_evidence(claim, None, 3)


def test_what_lessons_say_stands_beside_what_was_measured() -> None:
    assert teaching(claims()["one-block"]).endswith("Here, it is the other way round.")
    assert teaching(claims()["twice-filters"]).endswith("if there is one, it is too small for them.")
    assert teaching(claims()["global-average"]).endswith("Here, it is lower.")
    assert "The direction agrees" in teaching(claims()["norm-start"])


def test_a_claim_that_cannot_be_tested_is_refused_with_those_that_can() -> None:
    with pytest.raises(RequestError, match=r"no claim called 'twice-filter'. Did you mean 'twice-filters'\?"):
        experiment_of("twice-filter")
    with pytest.raises(RequestError, match="unscaled-sgd: it was measured with Keras alone") as refused:
        experiment_of("unscaled-sgd")
    assert "unscaled-adam" not in str(refused.value)


def test_a_text_ends_with_the_way_to_measure_again() -> None:
    text = read_topic("filters", recorded_facts())
    assert 'conviction.explore(SOURCE, claim="twice-filters")' in text


def test_the_documentation_counts_them() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lesson.md").read_text()
    assert f"is a claim: {len(claims())} of them" in text
