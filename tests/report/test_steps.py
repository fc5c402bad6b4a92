"""What is said of a run's settings before it has begun, when a rate is still to be found."""

from __future__ import annotations

from conviction.config import load_recipe
from conviction.report.steps import compile_step


def test_a_rate_that_is_still_to_be_found_is_no_number() -> None:
    keys = ["recipe=lab", "training.learning_rate=auto", "training.schedule=one_cycle"]
    said = " ".join(compile_step(load_recipe(keys).training, 10, steps=1000).sentences)
    assert "the learning rate that range tests will find" in said
    assert "rises over the first 300 of 1,000 steps" in said
    known = load_recipe(["recipe=lab", "training.schedule=one_cycle"]).training
    assert "at a learning rate of 0.001; loss" in " ".join(compile_step(known, 10, steps=1000).sentences)
