"""The chapter about backbones: its numbers are those of the run, or of the recipe that would give it one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import ImageFacts, ModelSpec, load_recipe
from conviction.config.model import WeightsRecord
from conviction.lesson import DEPTHS, read_topic, recorded_facts
from conviction.lesson.facts import Facts
from conviction.lesson.question import Question
from conviction.lesson.questions import questions
from conviction.model import backbones, build, walk
from conviction.model.backbones import KINDS
from conviction.training.views import VIEWS
from tests.lesson.invented import invented
from tests.lesson.test_language import CODE, DISAGREEING, single

DEFAULT = "efficientnet_lite0"


def standing(*keys: str, seed: int = 0, name: str = DEFAULT, side: int = 96) -> Facts:
    """An invented run, but of a network that begins with a backbone."""
    facts = invented(seed)
    recipe = load_recipe([f"model.backbone={name}", *keys], facts=ImageFacts(side, side, facts.train, 3))
    return replace(facts, recipe=recipe, shape=(side, side, 3))


def asked(facts: Facts, seed: int = 0) -> dict[str, Question]:
    return {q.name: q for q in questions("transfer", facts, seed)}


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("keys", [(), ("model.trainable=1",), ("model.trainable=all", "model.dense=[8]")])
def test_it_reads_well_for_every_backbone(name: str, keys: tuple[str, ...]) -> None:
    facts = standing(*keys, name=name, side=32)
    for one in (facts, single(facts)):
        for depth in DEPTHS:
            text = read_topic("transfer", one, depth)
            prose = CODE.sub(" ", text)
            assert not re.search(r"\{\{|\{%|None|nan\b", text)
            assert not DISAGREEING.search(prose), DISAGREEING.search(prose)
            assert KINDS[name].title in text
            assert "recipe=transfer` brings" not in text
        for question in asked(one).values():
            texts = [option.text for option in question.options]
            assert 2 <= len(texts) == len(set(texts)) <= 4, question
            assert "With recipe=transfer" not in question.prompt
            assert not re.search(
                rf"(?<![\w.,]){re.escape(question.right.text)}(?![\w.,])", question.prompt
            ), question


def test_without_a_backbone_the_numbers_are_those_of_the_recipe() -> None:
    facts = recorded_facts()
    recipe = load_recipe(["recipe=transfer"], facts=ImageFacts(224, 224, facts.train, 3))
    rows = walk(recipe.model, (224, 224, 3), facts.classes)
    text = read_topic("transfer", facts, "standard")
    assert f"| {KINDS[DEFAULT].title} | {KINDS[DEFAULT].sizes.params:,} | 0 |" in text
    assert f"| the layers after it | {rows[-1].params:,} | {rows[-1].params:,} |" in text
    assert "Here the network has no backbone. You get one with `recipe=transfer`" in text
    assert f"{plain_rate(facts)} for fine-tuning" in text
    assert asked(facts)["what_learns"].prompt.startswith("With recipe=transfer, the network begins with")
    assert facts.backbone is None


def plain_rate(facts: Facts) -> str:
    keys = ["recipe=transfer", "model.trainable=2"]
    return f"{load_recipe(keys, facts=ImageFacts(224, 224, facts.train, 3)).training.rate:g}"


def test_licence_and_source_are_those_of_the_file_that_the_run_has_read() -> None:
    facts = standing()
    assert f"licence {KINDS[DEFAULT].weights.licence} (from {KINDS[DEFAULT].weights.source})" in read_topic(
        "transfer", facts
    )
    first, *rest = facts.recipe.model.layers
    weights = WeightsRecord(sha256="0" * 64, source="a museum", licence="CC0")
    model = ModelSpec(layers=(first.model_copy(update={"weights": weights}), *rest))
    facts = replace(facts, recipe=facts.recipe.model_copy(update={"model": model}))
    assert "licence CC0 (from a museum)" in read_topic("transfer", facts)


@pytest.mark.parametrize("keys", [(), ("model.trainable=2",), ("model.trainable=all", "model.dense=[8]")])
def test_answers_are_those_of_keras(monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    monkeypatch.setattr(backbones, "find_weights", lambda kind: Path("none"))
    monkeypatch.setattr(backbones, "load_weights", lambda *_: None)
    facts = standing(*keys, side=64)
    model: Any = build(facts.recipe.model, facts.shape, facts.classes, seed=0)
    backbone = model.layers[1]
    learned = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    found = asked(facts)
    assert number(found["what_learns"].right.text) == learned
    share = backbone.count_params() / model.count_params()
    assert found["backbones_share"].right.text == f"{share:.2%}"
    assert number(found["features_of_a_picture"].right.text) == model.layers[2].output.shape[1]
    side = int(re.findall(r"(\d+)x\1 pixels\?", found["smaller_pictures"].prompt)[0])
    maps = KINDS[DEFAULT].build((side, side, 3), None).output.shape
    assert found["smaller_pictures"].right.text == f"{maps[1]}x{maps[2]}"
    # The table has the same number as the question.
    words = facts.backbone.learns if facts.backbone else ""
    assert f"| {words} | {learned:,} |" in read_topic("transfer", facts, "deep")


@pytest.mark.parametrize(
    ("keys", "often"),
    [
        (["training.epochs=20"], "once"),
        (["training.epochs=20", "model.dense=[8]", "model.dropout=0.5"], "once"),
        (["training.epochs=20", "augmentation.flip=horizontal"], f"{VIEWS} times"),
        (["augmentation.flip=horizontal", "training.epochs=7"], "7 times"),
        (
            ["training.epochs=20", "augmentation.mixup=0.2"],
            "20 times",
        ),  # what is mixed with others is different in every epoch
        (["training.epochs=20", "model.trainable=1"], "20 times"),
    ],
)
def test_how_often_a_picture_goes_through_a_backbone(keys: list[str], often: str) -> None:
    question = asked(standing(*keys))["how_often_computed"]
    assert question.right.text == often


def test_maps_that_are_flattened_keep_every_value() -> None:
    layers = "[{type: Backbone, name: efficientnet_lite0}, {type: Flatten}]"
    facts = standing()
    recipe = load_recipe([f"model.layers={layers}"])
    facts = replace(facts, recipe=recipe)
    assert asked(facts)["features_of_a_picture"].right.text == f"{3 * 3 * 1280:,}"


def test_more_features_than_images_is_said_only_where_it_is_so() -> None:
    for seed in range(6):
        facts = standing(seed=seed)
        text = read_topic("transfer", facts, "deep")
        assert ("at least as many features as images" in text) == (facts.train <= 1280)
    few = replace(standing(), counts={"train": 40, "validation": 5, "test": 5})
    assert "at least as many features as images" in read_topic("transfer", few, "deep")
