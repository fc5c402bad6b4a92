"""What is said of a run's settings before it has begun, and of its scores at the end."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.config import DataSpec, load_recipe
from conviction.data import load_source, split_images
from conviction.evaluation import assess
from conviction.report.scores import evaluate_step
from conviction.report.steps import compile_step
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
