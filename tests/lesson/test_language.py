"""What a learner reads is English: no traces of renaming, and one epoch is not "1 epochs"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from conviction.evaluation import judge_run
from conviction.lesson import DEPTHS, TOPICS, chapters, read_topic, recorded_facts
from conviction.lesson.facts import Facts, Result
from conviction.lesson.question import plural
from conviction.lesson.questions import questions
from conviction.lesson.shelf import aids, cards, sheets, table
from conviction.lesson.words import render_line
from tests.lesson.invented import invented, part

CODE = re.compile(r"^```.*?^```|^ {4}\S.*?$|`[^`\n]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
NOUNS = (
    "epoch|image|step|unit|weight|filter|channel|class|seed|time|bias|parameter|value|layer|batch|map|point"
)
# 1 and a plural, also with one word between them; larger numbers and a singular.
DISAGREEING = re.compile(
    rf"(?<![\d.,x·/^-])1 (?:\w+ )?(?:{NOUNS})e?s\b|(?<![\d.,x·/^-])1 (?:\w+ )?(?:{NOUNS}) are\b"
    rf"|(?<![\w.,-])(?:[2-9]|\d[\d,]*\d) (?:training |test )?(?:epoch|image|step|unit|filter)\b(?![-\w])"
)
RENAMED = re.compile(r"(?<![\w}])_[a-z]")


def texts(facts: Facts, seed: int) -> Iterator[tuple[str, str]]:
    """Everything: chapters in all depths, conversations, glossary, sheets, cards, memory aids, walkthrough, quiz."""
    for topic in TOPICS:
        for depth in DEPTHS:
            yield f"{topic} {depth}", read_topic(topic, facts, depth)
    for card in cards():
        yield f"card {card.front}", f"{render_line(card.front, facts)}\n{render_line(card.back, facts)}"
    for name, step in table("walkthrough").items():
        yield f"walkthrough {name}", render_line(step["text"], facts)
    yield "short", "\n".join([*(s.short for s in sheets()), *(a.text for a in aids())])
    for chapter in chapters():
        yield f"aim of {chapter.name}", chapter.aim
        for question in questions(chapter.name, facts, seed):
            options = [f"{option.text}\n{option.why}" for option in question.options]
            yield f"question {question.name}", "\n".join([question.prompt, *options])


def single(facts: Facts) -> Facts:
    """The same with 1 of everything."""
    rng = np.random.default_rng(0)
    counts = {"train": 1, "validation": 1, "test": 1}
    row, one = facts.history[0], part(rng, 1, facts.class_names)
    right = {"train": (one.accuracy, 1), "validation": (float(row.val_accuracy > 0.5), 1)}
    verdict = judge_run([row], right, classes=facts.classes, recipe=facts.recipe)
    result = Result([row], verdict, {"train": one})
    training = facts.recipe.training.model_copy(update={"batch_size": 1, "epochs": 1})
    return replace(
        facts, counts=counts, result=result, recipe=facts.recipe.model_copy(update={"training": training})
    )


RUNS = {
    "recorded": recorded_facts,
    "single": lambda: single(recorded_facts()),
    **{f"invented {seed}": (lambda seed=seed: invented(seed)) for seed in range(3)},
    **{f"invented single {seed}": (lambda seed=seed: single(invented(seed))) for seed in range(3)},
}


@pytest.mark.parametrize("run", RUNS)
def test_no_text_has_traces_of_renaming_or_numbers_that_disagree(run: str) -> None:
    for name, text in texts(RUNS[run](), 0):
        prose = CODE.sub(" ", text)
        assert not RENAMED.search(prose), (name, RENAMED.search(prose))
        # A name such as class_3 is not a number of classes.
        found = DISAGREEING.search(prose)
        assert found is None, (name, prose[max(0, found.start() - 60) : found.end() + 40])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("after 1 epochs", True),
        ("1 images are right", True),
        ("1 test images", True),
        ("12 epoch of it", True),
        ("1 epoch", False),
        ("21 epochs", False),
        ("12 epochs", False),
        ("1,001 images", False),
        ("epoch 12", False),
    ],
)
def test_the_pattern_finds_what_is_planted(text: str, wrong: bool) -> None:
    assert bool(DISAGREEING.search(text)) == wrong
    assert RENAMED.search("nothing is _dropped")
    assert not RENAMED.search("fan_in and val_loss")


def test_plural() -> None:
    said = [
        plural(n, noun)
        for n, noun in (
            (1, "epoch"),
            (12, "epoch"),
            (0, "image"),
            (1200, "step"),
            (2, "batch"),
            (3, "bias"),
        )
    ]
    assert said == ["1 epoch", "12 epochs", "0 images", "1,200 steps", "2 batches", "3 biases"]
