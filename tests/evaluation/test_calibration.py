"""Temperature scaling: a planted temperature is found, and inside the network it does what it does outside."""

from __future__ import annotations

import numpy as np
import pytest

from conviction.config import load_recipe
from conviction.evaluation import at_temperature, fit_temperature
from conviction.model import build, divide_logits, predict_probabilities


def sampled(classes: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are exactly true: each label is drawn from its row."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), n)
    return p, np.array([rng.choice(classes, p=row) for row in p])


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("planted", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found(classes: int, planted: float) -> None:
    p, labels = sampled(classes, 8_000)
    sharpened = at_temperature(p, 1 / planted)
    assert fit_temperature(sharpened, labels) == pytest.approx(planted, rel=0.06)
    assert at_temperature(sharpened, planted) == pytest.approx(p, abs=1e-9)


def test_certain_and_right_stays_within_bounds() -> None:
    labels = np.arange(50) % 3
    assert 0.1 <= fit_temperature(np.eye(3)[labels] * 0.97 + 0.01, labels) < 0.5
    assert np.isfinite(at_temperature(np.eye(3), 0.1)).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_inside_the_network_it_is_the_same_and_changes_no_answer(classes: int) -> None:
    spec = load_recipe(["recipe=lab", "model.filters=[4]"]).model
    model = build(spec, (12, 12, 1), classes, seed=3)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype=np.uint8)
    before = predict_probabilities(model, pixels)
    divide_logits(model, 1.7)
    after = predict_probabilities(model, pixels)
    assert after == pytest.approx(at_temperature(before, 1.7), abs=1e-6)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert not np.allclose(after, before)
