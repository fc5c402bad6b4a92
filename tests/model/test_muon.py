"""Muon against NumPy, and AdamW for what is no kernel of a hidden layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import TrainingSpec, load_recipe
from conviction.model import build, compile_model
from conviction.model.compile import make_portable
from conviction.model.muon import ITERATIONS, orthogonal

KEYS = ["model.filters=[5]", "model.dense=[7]", "training.optimizer=muon", "training.weight_decay=0"]
RATE, STEPS = 0.01, 4


def iterated(matrix: np.ndarray) -> np.ndarray:
    """The iteration on singular values, which is what it does to a matrix."""
    u, s, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    s /= np.sqrt((s**2).sum())
    for _ in range(ITERATIONS):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return u @ np.diag(s) @ v


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 3)])
def test_a_matrix_becomes_about_orthogonal(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ops = import_keras().ops
    got = np.asarray(orthogonal(ops, ops.convert_to_tensor(matrix)))
    assert np.allclose(got, iterated(matrix), atol=1e-4)
    short = np.asarray(orthogonal(ops, ops.convert_to_tensor(matrix), "bfloat16"))
    for result, slack in ((got, 0.0), (short, 0.1)):
        values = np.linalg.svd(result, compute_uv=False)
        assert values.min() > 0.6 - slack
        assert values.max() < 1.25 + slack


def test_the_steps_are_those_of_the_formulas() -> None:
    """Muon for the kernels of hidden layers; for biases and the output layer AdamW, from its paper."""
    keras = import_keras()
    recipe = load_recipe(KEYS)
    model = build(recipe.model, (8, 8, 1), 3, seed=0)
    spec = TrainingSpec(optimizer="muon", learning_rate=RATE, weight_decay=0.5)
    compile_model(model, spec, 3, steps=STEPS)
    variables = model.trainable_variables
    expected = [np.array(v, np.float64) for v in variables]
    momentum, square = ([np.zeros_like(v) for v in expected] for _ in range(2))
    rng = np.random.default_rng(1)
    for step in range(1, STEPS + 1):
        gradients = [rng.normal(size=v.shape).astype(np.float32) for v in variables]
        model.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for i, (variable, g) in enumerate(zip(variables, gradients, strict=True)):
            if len(variable.shape) > 1:
                expected[i] -= RATE * 0.5 * expected[i]
            if variable.path.endswith("kernel") and "output" not in variable.path:
                momentum[i] = 0.6 * momentum[i] + g
                ahead = (g + 0.6 * momentum[i]).reshape(-1, g.shape[-1])
                expected[i] -= RATE * 0.2 * max(ahead.shape) ** 0.5 * iterated(ahead).reshape(g.shape)
            else:
                momentum[i] = 0.9 * momentum[i] + 0.1 * g
                square[i] = 0.999 * square[i] + 0.001 * g**2
                rms = np.sqrt(square[i] / (1 - 0.999**step)) + 1e-7
                expected[i] -= RATE * momentum[i] / (1 - 0.9**step) / rms
    for variable, value in zip(variables, expected, strict=True):
        assert np.allclose(np.asarray(variable), value, atol=2e-5), variable.path


def test_a_saved_model_does_not_need_it(tmp_path: Path) -> None:
    keras = import_keras()
    model = build(load_recipe(KEYS).model, (8, 8, 1), 3, seed=0)
    spec = TrainingSpec(optimizer="muon", learning_rate=RATE, schedule="linear")
    compile_model(model, spec, 3, steps=STEPS)
    make_portable(model, spec, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.optimizer) is keras.optimizers.AdamW
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
