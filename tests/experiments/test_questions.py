"""The lab's questions: what each arm changes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from conviction.config import ImageFacts, load_recipe
from conviction.config.flat import by_key
from conviction.config.model import (
    ActivationLayer,
    BatchNormalization,
    Conv2D,
    Flatten,
    Layer,
    MaxPooling2D,
)
from conviction.errors import RequestError
from conviction.experiments.exploration_page import TITLES
from conviction.experiments.questions import ABOUT_BLOCKS, BASE, QUESTIONS, SHEETS, Arm, arms_for
from conviction.lesson import sheets
from conviction.model import walk
from conviction.web.pages.question import SHORT

LAB = {"recipe": "lab"}
EVERY = [arm for name, arms in QUESTIONS.items() if name != "backbone" for arm in arms]


@pytest.mark.parametrize("arm", EVERY, ids=lambda a: a.label)
def test_an_arm_fits_the_labs_images_and_changes_one_thing(arm: Arm) -> None:
    base = BASE.recipe(LAB, ImageFacts()).model_dump()
    recipe = arm.recipe(LAB, ImageFacts())
    assert walk(recipe.model, (28, 28, 1), 10)
    sections = {s for s in ("data", "model", "augmentation", "training") if recipe.model_dump()[s] != base[s]}
    if arm.question != "recipe":
        assert len(sections) == 1, sections
    if sections == {"training"}:
        before, after = (dict(by_key(x["training"])) for x in (base, recipe.model_dump()))
        changed = {key for key in before if before[key] != after[key]}
        # A rate that suits belongs to the optimizer; the others change one key, or say both in their label.
        assert len(changed) == 1 or arm.question in ("optimizer", "batch-size"), changed


def test_places_of_dropout_and_batch_normalisation() -> None:
    kinds = {
        arm.label: [layer.type for layer in arm.recipe(LAB, ImageFacts()).model.layers]
        for name in ("dropout", "batch-norm")
        for arm in QUESTIONS[name]
    }
    assert kinds["dropout 0.5 after the dense layer"][-2:] == ["Dense", "Dropout"]
    assert kinds["dropout 0.5 after the dense layer"].count("Dropout") == 1
    assert kinds["dropout 0.25 after pooling"][1:3] == ["MaxPooling2D", "Dropout"]
    assert kinds["dropout at both places"].count("Dropout") == 3
    assert kinds["batch norm. before the activation"][:3] == ["Conv2D", "BatchNormalization", "Activation"]
    assert kinds["batch norm. after the activation"][:2] == ["Conv2D", "BatchNormalization"]


def test_every_question_has_a_sheet_in_the_lesson() -> None:
    assert set(SHEETS) == set(QUESTIONS) - set(SHORT)
    assert set(TITLES) == set(QUESTIONS)
    assert set(SHEETS.values()) == {sheet.name for sheet in sheets()}


def test_vary_takes_any_key_and_lists() -> None:
    arms = arms_for([], ["model.filters=[16,32],[64]", "training.learning_rate=0.01,1e-4"], LAB)
    assert [dict(arm.keys) for arm in arms] == [
        {"model.filters": [16, 32]},
        {"model.filters": [64]},
        {"training.learning_rate": 0.01},
        {"training.learning_rate": 0.0001},
    ]
    assert arms_for(["all"], [], LAB) == EVERY


def test_a_grid_is_every_value_with_every_other() -> None:
    arms = arms_for([], ["model.kernel_size=3,5", "training.batch_size=32,64,128"], LAB, grid=True)
    pairs = [(arm.keys["model.kernel_size"], arm.keys["training.batch_size"]) for arm in arms]
    assert pairs == [(k, b) for k in (3, 5) for b in (32, 64, 128)]
    assert {arm.question for arm in arms} == {"model.kernel_size and training.batch_size"}
    with pytest.raises(RequestError, match="vary twice"):
        arms_for(["kernel"], ["model.kernel_size=3"], LAB, grid=True)


@pytest.mark.parametrize(
    ("questions", "vary", "reason"),
    [
        (["kernels"], [], "Did you mean 'kernel'"),
        ([], ["model.kernel=3,5"], "Did you mean 'model.kernel_size'"),
        ([], ["model.kernel_size"], "expected KEY=a,b,c"),
        ([], [], "nothing to vary"),
    ],
)
def test_what_cannot_be_asked_is_refused(questions: list[str], vary: list[str], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        arms_for(questions, vary, LAB)


ON_A_BACKBONE = {"recipe": "transfer", "data.image_size": 64}


@pytest.mark.parametrize("own_layers", [False, True])
def test_what_can_be_asked_of_a_backbone(own_layers: bool) -> None:
    facts = ImageFacts(64, 64, 200, 3)
    base: dict[str, Any] = dict(ON_A_BACKBONE)
    if own_layers:
        layers = load_recipe(base, facts=facts).model.model_dump(mode="json")["layers"]
        base["model.layers"] = layers
    arms = arms_for(["all"], [], base)
    asked = {arm.question for arm in arms}
    assert {"backbone", "dense", "dropout", "learning-rate", "recipe"} <= asked
    assert asked.isdisjoint(ABOUT_BLOCKS)
    for arm in arms:
        assert walk(arm.recipe(base, facts).model, (64, 64, 3), 6)
    for arm in arms_for(["backbone"], [], base)[:2]:
        recipe = arm.recipe(base, facts)
        assert recipe.model.backbone is not None
        assert recipe.model.backbone.trainable in (2, "all")
        # At the rate of frozen features, a step would spoil what the backbone has learned.
        assert recipe.training.learning_rate == 0.0001
    with pytest.raises(RequestError, match=r"question filters: the base begins with a backbone"):
        arms_for(["filters"], [], base)
    with pytest.raises(
        RequestError, match=r"question backbone: the base has no backbone. Try recipe=transfer"
    ):
        arms_for(["backbone"], [], LAB)


def test_a_base_of_layers_cannot_be_changed_by_shorthand() -> None:
    with pytest.raises(RequestError, match=r"does not have"):
        QUESTIONS["kernel"][0].recipe(OWN, ImageFacts())


LAYERS = load_recipe(["recipe=lab"]).model.model_dump(mode="json")["layers"]
OWN = {"recipe": "lab", "model.layers": LAYERS}


@pytest.mark.parametrize("arm", arms_for(["all"], [], OWN), ids=lambda a: a.label)
def test_every_question_can_be_asked_of_a_list_of_layers(arm: Arm) -> None:
    """For the lab's own layers the network is the same as by the shorthand."""
    recipe = arm.recipe(OWN, ImageFacts())
    assert walk(recipe.model, (28, 28, 1), 10)
    assert recipe != BASE.recipe(OWN, ImageFacts())
    arms = arms_for([arm.question], [], OWN)
    twin = QUESTIONS[arm.question][arms.index(arm)]
    assert recipe.model == twin.recipe(LAB, ImageFacts()).model


def test_a_list_of_layers_keeps_what_is_its_own() -> None:
    def changed(label: str, *layers: Layer) -> list[str]:
        (arm,) = [a for a in arms_for(["all"], [], OWN) if a.label == label]
        assert arm.change is not None
        return [layer.type for layer in arm.change(layers)]

    conv, norm, act = Conv2D(filters=8), BatchNormalization(), ActivationLayer()
    pool, flat = MaxPooling2D(), Flatten()
    block = ["Conv2D", "BatchNormalization", "Activation"]
    assert changed("every convolution twice", conv, norm, act, pool, flat) == [
        *block,
        *block,
        "MaxPooling2D",
        "Flatten",
    ]
    assert changed("one block fewer", conv, conv, pool, conv, norm, flat) == [
        "Conv2D",
        "Conv2D",
        "MaxPooling2D",
        "Flatten",
    ]
    # One block of two convolutions: nothing to leave out.
    assert changed("one block fewer", conv, norm, conv, pool, flat) == [
        "Conv2D",
        "BatchNormalization",
        "Conv2D",
        "MaxPooling2D",
        "Flatten",
    ]
    assert changed("one block more, of twice the filters", flat) == ["Flatten"]
    assert changed("one dense layer more", flat) == ["Flatten", "Dense"]
