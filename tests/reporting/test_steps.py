"""What is said of a run's settings before it has begun, and of its scores at the end."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.config import DataSpec, ModelSpec, load_recipe
from conviction.config.model import Backbone, WeightsRecord
from conviction.data import load_source, split_images
from conviction.evaluation import assess
from conviction.model import walk
from conviction.model.backbones import KINDS
from conviction.reporting.scores import evaluate_step
from conviction.reporting.steps import compile_step, model_step, normalise_step, train_step
from conviction.training import EpochRow


def test_a_rate_that_is_still_to_be_found_is_no_number() -> None:
    keys = ["recipe=lab", "training.learning_rate=auto", "training.schedule=one_cycle"]
    said = " ".join(compile_step(load_recipe(keys).training, 10, steps=1000).sentences)
    assert "the learning rate that range tests will find" in said
    assert "rises over the first 300 of 1,000 steps" in said
    known = load_recipe(["recipe=lab", "training.schedule=one_cycle"]).training
    assert "at a learning rate of 0.001; loss" in " ".join(compile_step(known, 10, steps=1000).sentences)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_scores_name_the_verdict_its_remedies_and_which_loss_they_have(smoothing: float) -> None:
    images = load_source("digits", DataSpec())
    split = split_images(images, DataSpec(), 0, np.arange(len(images)))
    history = [EpochRow(i + 1, 0.5 * 0.6**i, 0.99, 0.9, 0.6, 0.001) for i in range(8)]
    probabilities = {}
    for part, right in (("train", 1.0), ("validation", 0.6), ("test", 0.6)):
        labels = images.labels[split.of(part)]
        guessed = np.where(np.arange(len(labels)) < right * len(labels), labels, (labels + 1) % 10)
        probabilities[part] = 0.9 * np.eye(10)[guessed] + 0.01
    recipe = load_recipe(["recipe=lab", f"training.label_smoothing={smoothing}"])
    evaluation = assess(probabilities, images, split, history, recipe=recipe, openings=1)
    assert evaluation.content["overfitting"]["verdict"] == "memorising"
    assert evaluation.content["overfitting"]["advice"][0] == {
        "keys": ("augmentation.shift=0.1",),
        "resumes": False,
    }
    sentences = evaluate_step(evaluation, (), lambda advice: " ".join(advice.keys)).sentences
    assert "To try: augmentation.shift=0.1; or recipe=best" in sentences
    assert any(s.startswith("Verdict: memorising.") for s in sentences)
    assert any("overfitting in two ways" in s for s in sentences)
    assert any("cannot be compared (training.label_smoothing)" in s for s in sentences) == bool(smoothing)
    assert any("Validation loss (of targets smoothed by 0.1)" in s for s in sentences) == bool(smoothing)
    assert not any(s.startswith("To try") for s in evaluate_step(evaluation).sentences)
    del probabilities["test"]
    sealed = assess(probabilities, images, split, history, recipe=recipe, openings=0)
    shown, asked = (evaluate_step(sealed, says_sealed=says).sentences for says in (True, False))
    assert shown == ("The test set stays sealed (evaluation.test=false).", *asked)


SHAPE = (64, 64, 3)
WEIGHTS = WeightsRecord(sha256="0123456789abcdef" * 4, source="a package of weights", licence="Apache-2.0")


@pytest.mark.parametrize(
    ("trainable", "learns"),
    [
        ("head", "It is frozen"),
        (1, "Its last block goes on"),
        (3, "Its last 3 blocks go on"),
        ("all", "All of it goes on"),
    ],
)
def test_a_model_says_what_its_backbone_is_and_where_its_weights_are_from(
    trainable: int | str, learns: str
) -> None:
    first = Backbone(name="efficientnet_lite0", trainable=trainable, weights=WEIGHTS)
    layers = load_recipe(["recipe=transfer"]).model.layers
    spec = ModelSpec(layers=(first, *layers[1:]))
    total, what, whose, most = model_step(walk(spec, SHAPE, 4), spec).sentences
    assert what.startswith("EfficientNet-Lite0 has learned from ImageNet: 1.28 million photographs")
    assert learns in what
    assert "from a package of weights (licence Apache-2.0)" in whose
    assert whose.endswith("begins with 0123456789ab.")
    assert most == "The backbone has 3,413,024 of the parameters, and the layers after it 5,124."
    sizes = KINDS[first.name].sizes
    learned = {"head": 0, 1: sizes.last[0], 3: sizes.last[2], "all": sizes.all}[trainable]
    assert f"({learned + 5_124:,} trainable)" in total


def test_normalising_shows_the_scaling_that_the_network_has() -> None:
    images = load_source("digits", DataSpec())
    said, numbers = normalise_step(images).sentences
    assert "divided by 255" in said
    for kind in KINDS.values():
        said, numbers = normalise_step(images, kind.scaling).sentences
        assert kind.scaling.words in said
        assert "255, so" not in said
        before, after = numbers.removesuffix(".").partition(": ")[2].split(" become ")
        pixels = np.array([float(v) for v in before.split(", ")])
        expected = (
            (pixels / 255 - 0.485) / 0.229 if isinstance(kind.scaling.scale, tuple) else pixels / 127.5 - 1
        )
        expected = (pixels - 127) / 128 if kind.name == "efficientnet_lite0" else expected
        assert np.allclose([float(v) for v in after.split(", ")], expected, atol=6e-4)


def test_mirroring_is_said_with_what_turns_it_off() -> None:
    said = [
        " ".join(train_step(load_recipe([f"augmentation.flip={v}"]), 100).sentences) for v in ("both", "none")
    ]
    assert "letters or gestures, turn it off (augmentation.flip=none)." in said[0]
    assert "mirrored" not in said[1]


def test_training_says_that_features_are_computed_once_where_they_are() -> None:
    def said(*keys: str) -> bool:
        return "computed once" in " ".join(train_step(load_recipe(["recipe=transfer", *keys]), 100).sentences)

    assert said()
    assert not said("model.trainable=1")
    assert said("augmentation.flip=horizontal")
    assert not said("augmentation.flip=horizontal", "augmentation.mixup=0.2")
    assert "computed once" not in " ".join(train_step(load_recipe(["recipe=lab"]), 100).sentences)
