"""Every key of ``training`` does what it says, against arithmetic by hand."""

from __future__ import annotations

import importlib
import math
import os
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.errors import RequestError
from conviction.model import build, carry_over, compile_model, warmup_steps
from conviction.reporting.terminal import Silent
from conviction.training import (
    StopRequest,
    choose_precision,
    epoch_order,
    precision,
    resident,
    steps_per_call,
    train,
)
from conviction.training.batches import balanced_weights

loop = importlib.import_module("conviction.training.train")  # the package has a function of that name
N = 60
LABELS = np.array([0] * 40 + [1] * 15 + [2] * 5)
PIXELS = np.random.default_rng(1).integers(0, 100, (N, 10, 10, 1), dtype=np.uint8)
PIXELS[LABELS == 1, :5] += 100
PIXELS[LABELS == 2, :, :5] += 100
TARGETS = encode_labels(LABELS, 3)
ALL = np.arange(N)
MODEL = load_recipe(["recipe=lab", "model.filters=[4]", "model.dense=[8]"]).model
STEPS = 3 * 4  # three epochs of 60 images in batches of 16


def new_model(spec: TrainingSpec, calls: int = 1, dtype: str = "float32") -> Any:
    model = build(MODEL, (10, 10, 1), 3, spec.seed, dtype)
    compile_model(model, spec, 3, steps=STEPS, steps_per_call=calls)
    return model


def trained(calls: int = 1, dtype: str = "float32", **keys: Any) -> Any:
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4, **keys)
    model = new_model(spec, calls, dtype)
    result = train(
        model,
        pixels=PIXELS,
        targets=TARGETS,
        train_indices=ALL,
        validation_indices=ALL,
        spec=spec,
        watcher=Silent(),
        stop=StopRequest(),
    )
    return model, result


def by_hand(spec: TrainingSpec, after_step: Any = None, **options: Any) -> Any:
    """The same steps one by one; what a key adds is done around them."""
    model = new_model(spec)
    weights = options.get("class_weights")
    for epoch in range(3):
        order = epoch_order(N, 4, epoch)
        for start in range(0, N, 16):
            chosen = order[start : start + 16]
            weight = None if weights is None else weights[LABELS[chosen]]
            model.train_on_batch(PIXELS[chosen], TARGETS[chosen], sample_weight=weight)
            if after_step:
                after_step(model)
    return model


def same_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


def rate(spec: TrainingSpec, step: int, steps: int) -> float:
    """The schedules of the specification, written again from their description."""
    if spec.schedule == "constant":
        return spec.learning_rate
    if spec.schedule == "linear":
        return spec.learning_rate * (1 - step / steps)
    rise = warmup_steps(spec, steps)
    low = spec.learning_rate / 25
    if step < rise:
        return low + (spec.learning_rate - low) * step / rise
    return spec.learning_rate * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


@pytest.mark.parametrize(
    ("schedule", "warmup"),
    [*product(["constant", "one_cycle", "cosine"], [None, 0.0, 0.5]), ("linear", None), ("linear", 0.0)],
)
def test_a_schedule_gives_every_step_its_rate(schedule: Any, warmup: float | None) -> None:
    spec = TrainingSpec(schedule=schedule, warmup=warmup, learning_rate=0.02)
    steps = 40
    model = build(MODEL, (10, 10, 1), 3, 0)
    compile_model(model, spec, 3, steps=steps)
    optimizer = model.optimizer
    got = []
    for step in range(steps + 1):
        optimizer.iterations.assign(step)
        got.append(float(optimizer.learning_rate))
    assert got == pytest.approx([rate(spec, i, steps) for i in range(steps + 1)], rel=1e-4, abs=1e-8)
    if schedule == "constant":
        return
    assert got[-1] == pytest.approx(0, abs=1e-8)
    top = int(np.argmax(got))
    assert top == round(
        {"one_cycle": 0.3, "cosine": 0.05, "linear": 0.0}[schedule] * 40 if warmup is None else warmup * 40
    )
    assert got[top] == pytest.approx(0.02)
    assert all(a < b for a, b in pairwise(got[: top + 1]))
    assert all(a > b for a, b in pairwise(got[top:]))


def test_a_linear_schedule_takes_no_rise() -> None:
    with pytest.raises(
        RequestError, match=r"^training\.warmup: the rate of .*linear only falls; leave warmup out"
    ):
        load_recipe(["training.schedule=linear", "training.warmup=0.1"])


@pytest.mark.parametrize("calls", [3, 16, pytest.param(1, marks=pytest.mark.full)])
def test_steps_without_python_in_between_are_the_same_steps(calls: int) -> None:
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4, schedule="one_cycle", learning_rate=0.01)
    model, result = trained(calls, schedule="one_cycle", learning_rate=0.01)
    assert same_weights(model, by_hand(spec))
    assert int(model.optimizer.iterations) == STEPS
    assert len(result.history) == 3
    assert result.history[-1].learning_rate == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_batches_of_the_graph_are_those_of_python(weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: whether a set fits into memory is no part of what decides a run."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("only TensorFlow gathers by itself")
    keys: dict[str, Any] = {"class_weights": weights, "schedule": "one_cycle", "learning_rate": 0.01}
    inside, first = trained(4, **keys)
    asked = []
    monkeypatch.setattr(loop, "can_be_resident", lambda *_: asked.append(1))
    outside, second = trained(4, **keys)
    assert asked == [1]
    assert first.history == second.history
    pairs = zip(inside.get_weights(), outside.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_set_beyond_the_budget_stays_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BUDGET_BYTES", PIXELS.nbytes - 1)
    assert not resident.can_be_resident(PIXELS, N)
    monkeypatch.setattr(resident, "BUDGET_BYTES", PIXELS.nbytes)
    on_tensorflow = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    assert resident.can_be_resident(PIXELS, N) == on_tensorflow


def test_steps_per_call_follow_the_work_of_a_step() -> None:
    spec = TrainingSpec(batch_size=64)
    assert steps_per_call(spec, 1000) == 64
    assert steps_per_call(spec, 10**9) == 1
    counts = [steps_per_call(spec, 10**k) for k in range(3, 10)]
    assert counts == sorted(counts, reverse=True)


def test_the_average_of_the_weights_is_what_is_kept() -> None:
    keys: dict[str, Any] = {"ema": 0.5, "optimizer": "sgd", "learning_rate": 0.1}
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4, **keys)
    averages: list[np.ndarray] = []

    def average(model: Any) -> None:
        now = [np.array(w) for w in model.get_weights()]
        averages[:] = [0.5 * a + 0.5 * w for a, w in zip(averages or first, now, strict=True)]

    plain = TrainingSpec(epochs=3, batch_size=16, seed=4, optimizer="sgd", learning_rate=0.1)
    first = new_model(plain).get_weights()
    by_hand(plain, average)
    model, result = trained(**keys)
    assert all(np.allclose(a, w, atol=1e-5) for a, w in zip(averages, model.get_weights(), strict=True))
    loss, _ = model.evaluate(PIXELS, TARGETS, verbose=0)
    assert result.history[-1].val_loss == pytest.approx(loss, rel=1e-4)
    assert spec.ema == 0.5


def test_weight_decay_takes_its_share_of_kernels_alone() -> None:
    """Decoupled: with a gradient of zero, a step leaves (1 - rate * decay) of a kernel, and all of a bias."""
    keras = __import__("keras")
    spec = TrainingSpec(optimizer="adamw", learning_rate=0.5, weight_decay=0.1)
    model = build(
        load_recipe(["recipe=lab", "model.filters=[4]", "model.batch_norm=true"]).model, (10, 10, 1), 3, 0
    )
    compile_model(model, spec, 3, steps=1)
    variables = model.trainable_variables
    for v in variables:
        v.assign(np.ones(v.shape))
    model.optimizer.apply([keras.ops.zeros(v.shape) for v in variables], variables)
    left = {v.path: float(np.asarray(v).flat[0]) for v in variables}
    for path, value in left.items():
        assert value == pytest.approx(0.95 if "kernel" in path else 1.0), path
    assert {p.rsplit("/", 1)[-1] for p in left} == {"kernel", "bias", "gamma", "beta"}


def test_weight_decay_is_what_was_asked_for_or_what_keras_takes() -> None:
    assert new_model(TrainingSpec(optimizer="adamw")).optimizer.weight_decay == 0.004
    assert not new_model(TrainingSpec(optimizer="adamw", weight_decay=0.0)).optimizer.weight_decay


def test_without_a_key_keras_decides() -> None:
    for name in ("adam", "sgd", "rmsprop"):
        model = new_model(TrainingSpec(optimizer=name))  # type: ignore[arg-type]
        assert not model.optimizer.weight_decay
        assert model.optimizer.global_clipnorm is None
        assert not model.optimizer.use_ema


def test_a_gradient_is_clipped_to_its_norm() -> None:
    keras = __import__("keras")
    spec = TrainingSpec(optimizer="sgd", learning_rate=1.0, clip_norm=0.5)
    model = new_model(spec)
    variables = model.trainable_variables
    before = [np.array(v) for v in variables]
    gradients = [np.ones(v.shape, np.float32) for v in variables]
    model.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    moved = np.sqrt(sum(((b - np.array(v)) ** 2).sum() for b, v in zip(before, variables, strict=True)))
    assert moved == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_label_smoothing_is_the_formula(classes: int) -> None:
    model = build(MODEL, (10, 10, 1), classes, 0)
    compile_model(model, TrainingSpec(label_smoothing=0.2), classes, steps=1)
    labels = LABELS % classes
    loss, _ = model.evaluate(PIXELS, encode_labels(labels, classes), verbose=0)
    p = np.asarray(model.predict(PIXELS, verbose=0), np.float64)
    p = p if classes > 2 else np.concatenate([1 - p, p], axis=1)
    smooth = 0.8 * np.eye(classes)[labels] + 0.2 / classes
    assert loss == pytest.approx(-(smooth * np.log(p)).sum(axis=1).mean(), rel=1e-4)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    want = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert balanced_weights(TARGETS) == pytest.approx(want)
    two = np.minimum(LABELS, 1)
    want = compute_class_weight("balanced", classes=np.arange(2), y=two)
    assert balanced_weights(encode_labels(two, 2)) == pytest.approx(want)
    assert balanced_weights(np.eye(4, dtype=np.float32)[LABELS])[3] == 0


def test_class_weights_weigh_the_loss() -> None:
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4)
    weights = balanced_weights(TARGETS)
    model, _ = trained(class_weights="balanced")
    assert same_weights(model, by_hand(spec, class_weights=weights))
    assert not same_weights(model, by_hand(spec))


def test_bfloat16_learns_much_the_same_and_its_weights_are_float32() -> None:
    model, result = trained(dtype="bfloat16", learning_rate=0.01)
    _, exact = trained(learning_rate=0.01)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}
    assert model.layers[1].compute_dtype == "bfloat16"
    assert model.layers[-1].compute_dtype == "float32"
    assert np.asarray(model.predict(PIXELS, verbose=0)).dtype == np.float32
    assert result.history[-1].loss == pytest.approx(exact.history[-1].loss, rel=0.1)
    plain = build(MODEL, (10, 10, 1), 3, 4)
    plain.set_weights(model.get_weights())
    far = np.abs(np.asarray(plain.predict(PIXELS, verbose=0)) - np.asarray(model.predict(PIXELS, verbose=0)))
    assert far.max() < 0.03


def test_what_bfloat16_learned_goes_on_in_float32(tmp_path: Path) -> None:
    """The saved model is float32, with the state of its optimizer, and loads without a word."""
    keras = importlib.import_module("keras")
    learned, _ = trained(dtype="bfloat16", ema=0.9, learning_rate=0.01)
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4, ema=0.9, learning_rate=0.01)
    model = new_model(spec)
    carry_over(learned, model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")  # a warning would fail this test
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    for a, b in zip(loaded.get_weights(), learned.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert int(loaded.optimizer.iterations) == STEPS
    pairs = zip(loaded.optimizer.variables, learned.optimizer.variables, strict=True)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


@pytest.mark.parametrize(
    ("asked", "machine", "work", "want"),
    [
        ("auto", (True, False), 10**7, "bfloat16"),
        ("auto", (False, True), 10**7, "bfloat16"),
        ("auto", (False, False), 10**7, "float32"),
        ("auto", (None, False), 10**7, "float32"),
        ("auto", (True, True), 10**5, "float32"),
        ("float32", (True, True), 10**7, "float32"),
        ("bfloat16", (False, False), 10**5, "bfloat16"),
    ],
)
def test_precision_is_chosen_by_the_machine_and_the_network(
    asked: Any, machine: tuple[bool | None, bool], work: int, want: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware, gpu = machine
    monkeypatch.setattr(precision, "bfloat16_in_hardware", lambda: hardware)
    monkeypatch.setattr(precision, "has_gpu", lambda: gpu)
    if not gpu and os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow" and asked == "auto":
        want = "float32"  # the rule about processors is TensorFlow's
    assert choose_precision(TrainingSpec(precision=asked), work) == want
