"""Questions: one right option each, computed by somebody else as well."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from conviction.backend import import_keras
from conviction.config import load_recipe
from conviction.evaluation import newcombe, wilson
from conviction.evaluation.gap import NORMAL
from conviction.lesson import chapters, recorded_facts
from conviction.lesson.ask_figures import PATIENCE
from conviction.lesson.facts import Facts
from conviction.lesson.question import Question
from conviction.lesson.questions import MAKERS, questions
from conviction.lesson.shelf import table
from conviction.model import build
from conviction.model.backbones import KINDS
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
    if "larger_pictures" in found:
        height, width, channels = facts.shape
        larger = build(facts.recipe.model, (2 * height, 2 * width, channels), facts.classes, seed=0)
        (grown,) = [
            layer.name
            for layer, before in zip(larger.layers, model.layers, strict=True)
            if layer.count_params() > before.count_params()
        ]
        assert found["larger_pictures"].right.text == grown
        assert grown not in [option.text for option in found["larger_pictures"].options if not option.right]
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
    other = number(found["guessing_loss"].prompt)
    assert other != k  # that one the chapter gives
    assert float(found["guessing_loss"].right.text) == round(float(-np.log(1 / other)), 3)
    batches = [min(facts.batch, facts.train - i) for i in range(0, facts.train, facts.batch)]
    assert number(found["steps_an_epoch"].right.text) == len(batches)
    assert number(found["all_updates"].right.text) == len(batches) * len(facts.history)
    if facts.test:
        wrong = facts.test.n - round(facts.test.accuracy * facts.test.n)
        assert number(found["mistakes"].right.text) == wrong


def stopped_by_keras(losses: list[float]) -> tuple[int, int]:
    """(the epoch whose weights are kept, the last one), by Keras's own callback."""
    stop = import_keras().callbacks.EarlyStopping(
        monitor="val_loss", mode="min", patience=PATIENCE, restore_best_weights=True
    )
    stop.set_model(SimpleNamespace(stop_training=False, get_weights=list, set_weights=lambda _: None))
    stop.on_train_begin()
    for epoch, loss in enumerate(losses):
        stop.on_epoch_end(epoch, {"val_loss": loss})
        if stop.model.stop_training:
            return stop.best_epoch + 1, epoch + 1
    return stop.best_epoch + 1, len(losses)


@cache
def runs() -> list[Facts]:
    """The recorded run, and 50 that nobody made."""
    return [recorded_facts(), *map(invented, range(RUNS))]


def test_early_stopping_is_that_of_keras() -> None:
    seen = 0
    for facts in runs():
        question = asked(facts, 0).get("turning_point")
        if question is not None:
            kept, end = stopped_by_keras([row.val_loss for row in facts.history])
            assert question.right.text == f"stopped after epoch {end}, with the weights of epoch {kept}"
            waited = "were no lower" in question.right.why
            assert waited == (end == kept + PATIENCE), question
            seen += 1
    assert seen > 20


def test_explanations_are_true_of_the_run_they_speak_of() -> None:
    turned = ahead = 0
    for facts in runs():
        history = facts.history
        question = asked(facts, 0).get("overfitting_since")
        if question is None:
            continue
        for option in question.options:
            if found := re.match(r"since epoch (\d+), when the training loss was first below", option.text):
                at = int(found[1])
                assert [row.loss < row.val_loss for row in history[:at]] == [False] * (at - 1) + [True]
                assert at != facts.since
                ahead += 1
        right = question.right
        if facts.since is None:
            assert right.text == "no"
            continue
        assert right.text == f"since epoch {facts.since}"
        low, epoch, last = re.findall(r"\(([\d.]+) in epoch (\d+), ([\d.]+) at the end\)", right.why)[0]
        assert int(epoch) == 1 + int(np.argmin([row.val_loss for row in history]))
        assert float(low) < float(last)
        before, after = map(float, re.findall(r"went from ([\d.]+) to ([\d.]+\d)", right.why)[0])
        assert after < before, "the training loss is said to have gone on falling"
        turned += 1
    assert turned
    assert ahead > 20


def test_memorising_is_the_right_answer_exactly_where_the_gap_says_so() -> None:
    answers = set()
    for facts in runs():
        question = asked(facts, 0).get("what_the_gap_says")
        if question is None:
            assert facts.test is None
            continue
        gap = facts.judged.gap
        low, high = newcombe((facts.trained.right, facts.trained.n), (facts.test.right, facts.test.n))
        assert (gap.low, gap.high) == (low, high)
        memorised = next((o for o in question.options if "memorised" in o.text), None)
        far = low > NORMAL and 2 * gap.size >= 1 - facts.test.accuracy
        assert far == (memorised is not None and memorised.right), question
        if facts.judged.kind == "memorising":
            assert far
        assert all("overfit" not in option.text for option in question.options if not option.right)
        answers.add(question.right.text)
    assert len(answers) >= 3


def test_no_explanation_claims_what_it_does_not_compute() -> None:
    for seed, facts in enumerate(runs()):
        for question in asked(facts, seed).values():
            for option in question.options:
                assert not re.search(r"still falling|all along|already risen|nearly always", option.why), (
                    question
                )
            # An answer that stands in the question is read off, not known.
            assert not re.search(
                rf"(?<![\w.,]){re.escape(question.right.text)}(?![\w.,])", question.prompt
            ), question


def test_a_share_of_sealed_images_is_of_all() -> None:
    for facts in runs():
        counts = facts.counts
        assert asked(facts, 0)["sealed"].right.text == f"{counts['test'] / sum(counts.values()):.2%}"


def test_four_times_the_images_halve_the_interval() -> None:
    seen = 0
    for facts in runs():
        if "four_times" in asked(facts, 0):
            assert facts.test is not None
            one, four = (wilson(facts.test.right * m, facts.test.n * m) for m in (1, 4))
            assert (four[1] - four[0]) / (one[1] - one[0]) == pytest.approx(0.5, abs=0.02)
            seen += 1
    assert seen > 10


@pytest.mark.full
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


def with_backbone(name: str, seed: int) -> Facts:
    """The invented run, but of a network that begins with a backbone."""
    facts = invented(seed)
    recipe = load_recipe([f"model.backbone={name}", "model.dense=[16]"])
    return replace(facts, recipe=recipe, shape=(96, 96, 3))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_true_of_a_backbone_is_not_asked(name: str, seed: int) -> None:
    questions = asked(with_backbone(name, seed), seed)
    # It has no convolution or pooling of its own that one could ask about.
    convs = {"conv_shape", "pool_shape", "conv_params", "receptive_field", "flat_length", "twice_the_filters"}
    assert not convs & set(questions)
    for question in questions.values():
        texts = [option.text for option in question.options]
        assert len(set(texts)) == len(texts), question
        assert "divided by 255" not in question.prompt
    pixel = questions.get("normalised_pixel")
    scaling = KINDS[name].scaling
    assert (pixel is None) == isinstance(scaling.scale, tuple)
    if pixel is not None:
        value = int(re.search(r"pixel of (\d+)", pixel.prompt)[1])  # type: ignore[index]
        assert float(pixel.right.text) == pytest.approx(value * scaling.scale + scaling.offset, abs=6e-4)
