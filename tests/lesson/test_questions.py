"""Questions: one right option each, computed by somebody else as well."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.stats import norm

from conviction.lesson import chapters, recorded_facts
from conviction.lesson.facts import Facts
from conviction.lesson.question import Question
from conviction.lesson.questions import MAKERS, questions
from conviction.lesson.shelf import table
from conviction.model import build
from tests.lesson.invented import invented

RUNS = 50


def asked(facts: Facts, seed: int) -> dict[str, Question]:
    return {q.name: q for chapter in chapters() for q in questions(chapter.name, facts, seed)}


def test_every_chapter_has_questions_and_most_are_computed() -> None:
    facts = recorded_facts()
    computed = written = 0
    for chapter in chapters():
        found = questions(chapter.name, facts)
        assert len(found) >= 4, chapter.name
        computed += len(MAKERS[chapter.name])
        written += len(table("questions")[chapter.name])
    assert computed > written
    # The recorded run can be asked about everything.
    assert {m.__name__.strip("_") for makers in MAKERS.values() for m in makers} <= set(asked(facts, 0))


@pytest.mark.parametrize("seed", range(RUNS))
def test_exactly_one_option_is_right_and_all_differ(seed: int) -> None:
    for question in asked(invented(seed), seed).values():
        texts = [option.text for option in question.options]
        assert 2 <= len(texts) <= 4, question
        assert len(set(texts)) == len(texts), question
        assert [option.right for option in question.options].count(True) == 1, question
        assert all(option.why and option.text for option in question.options), question
        said = " ".join([question.prompt, *texts, *(o.why for o in question.options)])
        assert not re.search(r"None|nan\b|\{", said), question


def shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def number(text: str) -> int:
    return int(re.sub(r"[^\d]", "", text))


@pytest.mark.parametrize("seed", range(RUNS))
def test_answers_about_the_network_are_those_of_keras(seed: int) -> None:
    facts = invented(seed)
    model = build(facts.recipe.model, facts.shape, facts.classes, seed=0)
    layers = {layer.name: layer for layer in model.layers}
    found = asked(facts, seed)
    for name in ("conv_shape", "pool_shape"):
        if name in found:
            layer = layers[found[name].prompt.split()[0]]
            assert shape(found[name].right.text) == tuple(layer.output.shape[1:]), found[name]
    for name in ("conv_params", "dense_params"):
        if name in found:
            layer = layers[re.split(r"[ :]", found[name].prompt)[0]]
            assert number(found[name].right.text) == layer.count_params(), found[name]
    if "most_params" in found:
        assert found["most_params"].right.text == max(model.layers, key=lambda x: x.count_params()).name
    if "flat_length" in found:
        flat = next(x for x in model.layers if type(x).__name__ == "Flatten")
        assert number(found["flat_length"].right.text) == flat.output.shape[1]
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert number(found["adams_memory"].right.text) == 2 * trainable


@pytest.mark.parametrize("seed", range(RUNS))
def test_answers_about_figures_are_computed_again(seed: int) -> None:
    facts = invented(seed)
    found = asked(facts, seed)
    k = facts.classes
    assert found["chance_level"].right.text == f"{100 / k:.1f}%"
    uniform = np.full(k, 1 / k)
    assert float(found["guessing_loss"].right.text) == round(float(-np.log(uniform[0])), 3)
    batches = [min(facts.batch, facts.train - i) for i in range(0, facts.train, facts.batch)]
    assert number(found["steps_an_epoch"].right.text) == len(batches)
    assert number(found["all_updates"].right.text) == len(batches) * len(facts.history)
    if "turning_point" in found:
        losses = [row.val_loss for row in facts.history]
        assert found["turning_point"].right.text == f"epoch {int(np.argmin(losses)) + 1}"
    if facts.test:
        wrong = facts.test.n - round(facts.test.accuracy * facts.test.n)
        assert number(found["mistakes"].right.text) == wrong


def test_better_or_not_agrees_with_a_test_of_two_proportions() -> None:
    """An independent reference: the z-test, away from its edge."""
    for seed in range(200):
        facts = invented(seed)
        question = asked(facts, seed).get("better_or_not")
        if question is None or facts.test is None or facts.test.n < 1000:
            continue
        ours, other = (float(v) / 100 for v in re.findall(r"([\d.]+)%", question.prompt))
        pooled = (ours + other) / 2
        if not 0.05 < pooled < 0.95:
            continue
        z = (ours - other) / math.sqrt(2 * pooled * (1 - pooled) / facts.test.n)
        if abs(abs(z) - norm.ppf(0.975)) < 0.3:
            continue
        assert question.right.text.startswith("yes") == (z > norm.ppf(0.975)), question


def test_the_same_seed_asks_the_same_and_another_seed_mixes_anew() -> None:
    facts = recorded_facts()
    assert asked(facts, 3) == asked(facts, 3)
    orders = {tuple(o.text for o in asked(facts, seed)["guessing_loss"].options) for seed in range(10)}
    assert len(orders) > 1
