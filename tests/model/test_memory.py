"""What cannot fit into memory is refused before it is built, with what would fit."""

from __future__ import annotations

import math
import re

import pytest

from conviction import backend
from conviction.config import TrainingSpec, load_recipe
from conviction.errors import RequestError
from conviction.model import build, check_memory, compile_model, memory, walk

ROWS = walk(load_recipe(["recipe=lab"]).model, (32, 32, 3), 10)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_fixed_part_is_what_keras_keeps(optimizer: str, ema: float) -> None:
    spec = TrainingSpec(optimizer=optimizer, ema=ema)  # type: ignore[arg-type]
    model = build(load_recipe(["recipe=lab"]).model, (32, 32, 3), 10, 0)
    compile_model(model, spec, 10, steps=1)
    model.optimizer.build(model.trainable_variables)
    of_optimizer = sum(math.prod(v.shape) for v in model.optimizer.variables if len(v.shape))
    # Weights and their gradients, besides what the optimizer keeps.
    want = 4 * (2 * model.count_params() + of_optimizer)
    assert memory.least_bytes(ROWS, spec, 0) == want


def test_a_batch_too_large_is_refused_with_the_largest_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**9)
    with pytest.raises(RequestError, match=r"training.batch_size=50000: .* 1\.0 GB are free") as caught:
        check_memory(ROWS, TrainingSpec(batch_size=50_000))
    found = re.search(r"The largest that fits is training.batch_size=(\d+)\.", str(caught.value))
    assert found
    fits = int(found[1])
    check_memory(ROWS, TrainingSpec(batch_size=fits))
    with pytest.raises(RequestError):
        check_memory(ROWS, TrainingSpec(batch_size=fits + 1))


def test_a_network_too_large_for_any_batch_names_its_largest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**6)
    with pytest.raises(RequestError, match=r"most are in dense_1 \(295,040 parameters\)"):
        check_memory(ROWS, TrainingSpec(batch_size=1))


def test_a_system_that_does_not_say_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "proc_value", lambda *_: None)
    check_memory(ROWS, TrainingSpec(batch_size=10**6))
