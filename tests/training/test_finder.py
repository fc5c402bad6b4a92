"""The range test: a rate read off planted curves, and one that real training can use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction.config import TrainingSpec, load_recipe
from conviction.data import encode_labels, split_images
from conviction.errors import RequestError
from conviction.flow.network import search_rate
from conviction.model import build, compile_model, walk
from conviction.training import find_rate, make_batches
from conviction.training.finder import (
    HIGHEST,
    LOWEST,
    STEPS,
    Sweep,
    a_third_of_the_lowest,
    smoothed,
    where_it_begins,
)
from tests.conftest import Cli

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


def planted(falls_from: float, turns_at: float) -> Sweep:
    """Flat, then down in a straight line over the logarithm of the rate, then steeply up."""
    at = np.log10(RATES)
    down, turn = np.log10(falls_from), np.log10(turns_at)
    losses = 2.3 - np.clip((at - down) / (turn - down), 0, 1) + np.clip(at - turn, 0, None) * 5
    return Sweep(RATES, losses)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1e-2), (1e-3, 1.0), (1e-5, 1e-3)])
def test_the_readings_of_a_planted_curve(low: float, high: float) -> None:
    sweep = planted(low, high)
    step = RATES[1] / RATES[0]
    assert a_third_of_the_lowest(sweep) == pytest.approx(high / 3, rel=step - 1)
    # A tenth of the descent, on the scale of the logarithm.
    assert where_it_begins(sweep) == pytest.approx(low * (high / low) ** 0.1, rel=step - 1)


def test_smoothing_is_adams_average() -> None:
    losses = np.array([2.0, 1.0, 4.0])
    expected = [2.0, (0.9 * 0.1 * 2 + 0.1 * 1) / (1 - 0.81)]
    assert np.allclose(smoothed(losses)[:2], expected)
    assert np.allclose(smoothed(np.full(20, 3.0)), 3.0)


class Scripted:
    """A network whose loss answers to its rate in a known way."""

    def __init__(self, turns_at: float) -> None:
        self.turns_at = turns_at
        self.optimizer: Any = self
        self.learning_rate = 0.0
        self.variables: list[Any] = []

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.started_from = weights

    def reset_metrics(self) -> None:
        pass

    def train_on_batch(self, x: Any, y: Any) -> list[float]:
        if self.learning_rate > 3 * self.turns_at:
            return [float("nan")]
        return [2.3 - max(0.0, np.log10(self.learning_rate / LOWEST) / 10)]


class Batches:
    def __len__(self) -> int:
        return 7

    def __getitem__(self, number: int) -> tuple[int, int]:
        return number, number

    def start_epoch(self, epoch: int) -> None:
        assert epoch >= 0


def test_a_loss_that_is_no_number_ends_a_sweep_and_is_not_drawn() -> None:
    search = find_rate(Scripted(1e-2), lambda _: [], Batches(), TrainingSpec(schedule="one_cycle"))  # type: ignore[arg-type]
    for sweep in search.sweeps:
        assert len(sweep.rates) == len(sweep.losses) < STEPS
        assert np.isfinite(sweep.losses).all()
        assert sweep.rates[-1] <= 3e-2
    assert search.chosen == pytest.approx(1e-2, rel=0.2)


def test_a_loss_that_never_falls_is_refused_with_what_to_try() -> None:
    model = Scripted(1.0)
    model.train_on_batch = lambda x, y: [2.3]  # type: ignore[method-assign]
    with pytest.raises(RequestError, match=r"did not fall at any rate .* training\.learning_rate=0\.001"):
        find_rate(model, lambda _: [], Batches(), TrainingSpec())  # type: ignore[arg-type]


def test_the_same_seed_finds_the_same_rate_and_a_useful_one() -> None:
    labels = np.arange(200) % 2
    pixels = np.random.default_rng(0).integers(0, 100, (200, 10, 10, 1), dtype=np.uint8)
    pixels[labels == 1, :5] += 100
    targets = encode_labels(labels, 2)
    spec = TrainingSpec(batch_size=20)
    network = load_recipe(["model.filters=[4]", "model.dense=[8]"]).model
    found = []
    for _ in range(2):
        model = build(network, (10, 10, 1), 2, 0)
        compile_model(model, spec, 2, steps=1)
        batches = make_batches(pixels, targets, np.arange(200), 20, shuffle_seed=0)
        search = find_rate(model, lambda i: build(network, (10, 10, 1), 2, i).get_weights(), batches, spec)
        found.append(search.chosen)
    assert found[0] == found[1]
    assert 1e-4 < found[0] < 1e-1
    # Learning at that rate from anew: a loss well below that of guessing.
    model = build(network, (10, 10, 1), 2, 5)
    compile_model(model, spec.model_copy(update={"learning_rate": found[0]}), 2, steps=1)
    # Unshuffled: TensorFlow wants a seed for it, if another test has asked for deterministic kernels.
    model.fit(pixels, targets, batch_size=20, epochs=4, shuffle=False, verbose=0)
    assert model.evaluate(pixels, targets, verbose=0)[0] < 0.3


@pytest.mark.full
def test_it_looks_at_the_loss_that_training_will_have() -> None:
    images = conviction.load_source("digits")
    recipe = load_recipe(
        ["recipe=lab", "model.filters=[4]", "training.threads=2", "training.precision=float32"]
    )
    rare = np.flatnonzero((images.labels > 0) | (np.arange(len(images)) % 10 == 0))
    first = {}
    for weights in ("none", "balanced"):
        training = recipe.training.model_copy(update={"class_weights": weights})
        asked = recipe.model_copy(update={"training": training})
        split = replace(split_images(images, asked.data, 0), train=rare)
        rows = walk(asked.model, images.rule.shape, 10)
        first[weights] = search_rate(asked, images, split, rows).sweeps[0].losses[0]
    assert first["none"] != pytest.approx(first["balanced"], rel=1e-4), "a batch is weighed as in training"


@pytest.mark.full
def test_auto_is_a_number_in_the_run_and_a_picture_in_its_report(cli: Cli, tmp_path: Path) -> None:
    keys = ["training.learning_rate=auto", "training.epochs=1", "evaluation.test=false", "model.filters=[4]"]
    result = cli("fit", "digits", *keys, "--out", "run")
    assert result.code == 0, result.err
    run = conviction.load_run(tmp_path / "run")
    rate = run.config.training.rate
    assert f"at a learning rate of {rate:g}" in result.out
    assert "3 range tests" in result.out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Loss at each learning rate" in page
    assert f"chosen: {rate:g}" in page


@pytest.mark.parametrize("wrong", ["ato", "-1", "0", "true", ".nan", "1000"])
def test_a_wrong_rate_is_refused_with_what_is_possible(wrong: str) -> None:
    with pytest.raises(RequestError, match="expected auto, or a number above 0 and at most 100"):
        load_recipe([f"training.learning_rate={wrong}"])
