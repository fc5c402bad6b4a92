"""What the page says: whose numbers, which state, what was expected, and why something cannot be done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import conviction
from conviction.config import ImageFacts, load_recipe
from conviction.evaluation import Advice
from conviction.experiments.store import KeptFinding
from conviction.lesson import Facts, NoRunError, read_topic
from conviction.lesson.topics import topic_has_numbers
from conviction.web.jobs.progress import RunStatus, state_of
from conviction.web.jobs.records import Job
from conviction.web.pages.question import interval, reach
from conviction.web.pages.result import advised
from conviction.web.work.guess import judged
from tests.web.labs import Served, from_the_lab, to
from tests.web.pages import check_accessibility, opened


def arm(
    label: str, mean: float, *, detected: bool, low: float | None = None, high: float | None = None
) -> KeptFinding:
    accuracy = {"mean": mean, "low": low, "high": high}
    content = {"arm": {"label": label}, "accuracy": accuracy, "detected": detected, "sentence": ""}
    return KeptFinding.model_validate(content)


@pytest.mark.parametrize(
    ("guess", "arms", "said"),
    [
        ("no difference", [arm("5x5", 0.01, detected=False)], "and none was found"),
        ("no difference", [arm("5x5", -0.1, detected=True)], "found: 5x5 worse. Your guess was not right"),
        ("+5x5", [arm("5x5", 0.1, detected=True)], "You expected 5x5 better, and that is what was found"),
        ("+5x5", [arm("5x5", -0.1, detected=True)], "the opposite"),
        (
            "-5x5",
            [arm("5x5", -0.1, detected=False), arm("7x7", -0.1, detected=True)],
            "neither shown nor refuted",
        ),
        ("+9x9", [arm("5x5", 0.1, detected=True)], "was not tried"),
        # The label of one arm may begin with that of another.
        ("+5x5", [arm("5x5", 0.1, detected=False), arm("5x5 twice", -0.1, detected=True)], "neither shown"),
        ("", [arm("5x5", 0.1, detected=True)], "expected nothing"),
    ],
)
def test_a_guess_is_judged_by_what_was_found(guess: str, arms: list[KeptFinding], said: str) -> None:
    assert said in judged(guess, arms)


def test_an_interval_is_drawn_on_a_scale_that_holds_it() -> None:
    far = arm("5x5", -0.2, detected=True, low=-0.31, high=-0.09)
    near = arm("7x7", 0.01, detected=False)
    assert (reach([near]), reach([far, near]), reach([])) == (0.02, 0.5, 0.02)
    drawn = interval(far.accuracy, detected=True, most=0.5)
    assert re.findall(r">([^<]+)</text>", drawn) == ["-50", "-25", "0", "+25", "+50 points"]
    assert float(re.findall(r'cx="([\d.]+)"', drawn)[0]) == 160 - 130 * 0.2 / 0.5


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        ("interrupted", "running", "running"),
        ("interrupted", "waiting", "waiting"),
        ("interrupted", "paused", "paused"),
        ("interrupted", "stopped", "paused"),
        ("unfinished", "failed", "failed"),
        ("done", "failed", "done"),  # an export failed
        ("damaged", "done", "damaged"),
    ],
)
def test_a_state_has_one_name(status: str, state: Any, said: str) -> None:
    job = Job("1", "", "resume", (), "", "", state=state)
    assert state_of(RunStatus(Path("run"), status), job) == said


def test_what_a_verdict_advises_is_said_in_the_words_of_the_page() -> None:
    assert advised(Advice(("training.epochs=24",), resumes=True)) == ("continue to 24 epochs", "train")
    assert advised(Advice(("recipe=best",))) == ("start again from best", "network")
    fine_tuned = advised(Advice(("recipe=transfer", "model.trainable=2")))
    assert fine_tuned == ("let the last 2 blocks of the backbone learn, too", "network")
    assert advised(Advice(("augmentation.shift=0.1",))) == ("Shifted by up to 0.1", "compile")
    two = advised(Advice(("training.learning_rate=0.0001", "training.epochs=4")))
    assert two == ("Learning rate 0.0001 and Epochs 4", "compile")


def test_no_page_reads_a_sentence_back() -> None:
    reading = re.compile(
        r"(str\((failure|error)\)|\b(message|sentences?|s))\.(starts|ends|split|partition|replace|remove)\w*\([^)]"
        r"|re\.\w+\([^\n]*\bstr\((failure|error)\)|\bin str\((failure|error)\)"
    )
    assert reading.search("message.split(' ')")
    web = Path(conviction.__file__).parent / "web"
    assert [p.name for p in web.rglob("*.py") if reading.search(p.read_text(encoding="utf-8"))] == []


def test_numbers_that_need_no_run_are_of_what_is_to_be_run() -> None:
    recipe = load_recipe({"recipe": "lab"}, facts=ImageFacts(32, 32, 1295))
    counts = {"train": 1295, "validation": 143, "test": 359}
    facts = Facts("the page", recipe, (32, 32, 1), tuple("0123456789"), counts, None)
    assert "turns 30x30 into 15x15" in read_topic("architecture", facts, "quick").replace("](", "")
    assert "315,146" in read_topic("architecture", facts, "quick")
    assert "1,295" in read_topic("data", facts, "quick")
    for topic in ("training", "evaluating"):
        with pytest.raises(NoRunError):
            read_topic(topic, facts, "quick")
    assert not topic_has_numbers("objectives", "quick")
    assert topic_has_numbers("architecture", "quick")


@pytest.mark.browser
def test_the_lesson_tells_the_numbers_of_the_network_on_the_page(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1440) as page:
        from_the_lab(page)
        lesson = page.locator("#lesson-text")
        lesson.get_by_text("this network has 315,146").wait_for()
        page.get_by_text("The numbers are from the images and the network on this page").wait_for()
        page.get_by_role("button", name="Start again from the recipe fast").click()
        lesson.get_by_text("this network has 306,010").wait_for()
        to(page, "train")
        page.get_by_text("The numbers are from a recorded run of the lab on Fashion-MNIST, until").wait_for()
        assert "your" not in lesson.inner_text()


@pytest.mark.browser
def test_a_network_that_does_not_fit_is_not_trained(browser: Any, served: Served) -> None:
    with opened(browser, served.bench, 1440) as page:
        from_the_lab(page)
        to(page, "network", "yaml")
        text = page.get_by_label("Specification")
        text.fill("layers:\n" + "- {type: MaxPooling2D}\n" * 6 + "- {type: Flatten}\n")
        text.blur()
        page.get_by_text("is larger than its input").wait_for()
        for step in ("compile", "train"):
            to(page, step)
            page.get_by_text("The network does not fit these images").wait_for()
        start = page.get_by_role("button", name="Train this network")
        assert start.is_disabled()
        check_accessibility(page)
        page.get_by_role("link", name="Change it at Network").click()
        page.get_by_role("button", name="Start again from the recipe lab").click()
        page.get_by_text("315,146").first.wait_for()
        to(page, "train")
        page.get_by_text("layers and the output on digits").wait_for()
        assert start.is_enabled()
