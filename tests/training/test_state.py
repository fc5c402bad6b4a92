"""A training that is interrupted anywhere and goes on elsewhere ends with the same bits."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from conviction.config import AugmentationSpec, TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.model import build, compile_model
from conviction.reporting.terminal import Silent
from conviction.training import EpochRow, StopRequest, Training, TrainingState, recorder, train
from conviction.training.recorder import best_row, has_stopped

N = 60
LABELS = np.arange(N) % 3
PIXELS = np.random.default_rng(1).integers(0, 120, (N, 10, 10, 1), dtype=np.uint8)
PIXELS[LABELS == 1, :5] += 60
PIXELS[LABELS == 2, :, :5] += 60
MODEL = load_recipe(
    ["recipe=lab", "model.filters=[4]", "model.dense=[8]", "model.dropout=0.3", "model.batch_norm=true"]
).model
TRAIN, VALIDATION = np.arange(45), np.arange(45, N)
EPOCHS, STEPS = 3, 6  # 45 images in batches of 8


def go(
    spec: TrainingSpec,
    *,
    start: TrainingState | None = None,
    stop: StopRequest | None = None,
    keep: Any = None,
    augmentation: AugmentationSpec | None = None,
    calls: int = 1,
) -> tuple[Any, Training]:
    model = build(MODEL, (10, 10, 1), 3, spec.seed, "float32")
    compile_model(model, spec, 3, steps=spec.epochs * STEPS, steps_per_call=calls)
    model.optimizer.build(model.trainable_variables)
    result = train(
        model,
        pixels=PIXELS,
        targets=encode_labels(LABELS, 3),
        train_indices=TRAIN,
        validation_indices=VALIDATION,
        spec=spec,
        augmentation=augmentation,
        watcher=Silent(),
        stop=StopRequest() if stop is None else stop,
        start=start,
        keep=keep or (lambda state: None),
    )
    return model, result


def same(one: tuple[Any, Training], other: tuple[Any, Training]) -> bool:
    def variables(model: Any) -> list[Any]:
        return [*model.variables, *model.optimizer.variables]

    pairs = zip(variables(one[0]), variables(other[0]), strict=True)
    return one[1].history == other[1].history and all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs
    )


CASES: list[Any] = [
    ({"schedule": "one_cycle", "learning_rate": 0.01, "ema": 0.9, "class_weights": "balanced"}, {}),
    ({"optimizer": "rmsprop", "early_stopping": 1, "label_smoothing": 0.1}, {}),
    ({"optimizer": "sgd"}, {"augmentation": AugmentationSpec(shift=0.2, mixup=0.3, flip="horizontal")}),
    ({"optimizer": "muon", "schedule": "linear"}, {"augmentation": AugmentationSpec(flip="alternate")}),
    ({"ema": 0.5, "early_stopping": 2, "monitor": "val_accuracy"}, {"calls": 4}),
]


@pytest.mark.parametrize(
    ("keys", "options"), [CASES[0], *(pytest.param(*case, marks=pytest.mark.full) for case in CASES[1:])]
)
def test_from_every_state_it_ends_with_the_same_bits(keys: dict[str, Any], options: dict[str, Any]) -> None:
    spec = TrainingSpec(epochs=EPOCHS, batch_size=8, seed=3, checkpoint_steps=1, **keys)
    kept: list[TrainingState] = []
    whole = go(spec, keep=kept.append, **options)
    calls = options.get("calls", 1)
    within = -(-STEPS // calls)
    assert len(kept) == len(whole[1].history) * (within + 1)  # every call, and the end of each epoch
    assert {state.step for state in kept} == {0, *range(calls, STEPS, calls), STEPS}
    # Within an epoch, after its last step, after its validation.
    for state in (kept[1], kept[within - 1], kept[within]):
        assert same(whole, go(spec, start=state, **options)), (state.epoch, state.step)


class StopsAt(StopRequest):
    """A signal that comes when it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def __bool__(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@functools.cache
def with_averages() -> tuple[TrainingSpec, tuple[Any, Training]]:
    spec = TrainingSpec(epochs=EPOCHS, batch_size=8, ema=0.9, early_stopping=3)
    return spec, go(spec)


# A core run looks at two of the moments: within an epoch, and between its validation and its record.
@pytest.mark.parametrize(
    "looks",
    [
        5,
        14,
        *(pytest.param(n, marks=pytest.mark.full) for n in (0, 1, 2, 11, 12, 13, 15, 16, 17, 24, 28, 29)),
    ],
)
def test_a_signal_at_any_moment_keeps_a_state_to_go_on_from(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After every step, as on a machine so slow that each of them takes longer than the time between two updates.
    monkeypatch.setattr(recorder, "SECONDS_BETWEEN_UPDATES", 0.0)
    spec, whole = with_averages()
    kept: list[TrainingState] = []
    _, broken = go(spec, stop=StopsAt(looks), keep=kept.append)
    assert len(broken.history) < EPOCHS
    assert same(whole, go(spec, start=kept[-1] if kept else None))


def test_more_epochs_are_those_of_a_longer_run() -> None:
    kept: list[TrainingState] = []
    go(TrainingSpec(epochs=2, batch_size=8), keep=kept.append)
    longer = TrainingSpec(epochs=4, batch_size=8)
    assert same(go(longer), go(longer, start=kept[-1]))


def test_seconds_and_timing_add_up_over_interruptions() -> None:
    kept: list[TrainingState] = []
    spec = TrainingSpec(epochs=2, batch_size=8, checkpoint_steps=2)
    go(spec, keep=kept.append)
    middle = next(state for state in kept if state.epoch == 1 and state.step == 4)
    _, result = go(spec, start=middle)
    assert result.seconds > middle.seconds > 0
    assert result.timing[0] == middle.timing[0]
    assert result.timing[1].train_seconds > middle.running["seconds"] > 0


def row(epoch: int, loss: float, accuracy: float) -> EpochRow:
    return EpochRow(epoch, 0.0, 0.0, loss, accuracy, 0.0)


def test_early_stopping_by_hand() -> None:
    history = [row(1, 0.5, 0.80), row(2, 0.4, 0.85), row(3, 0.4, 0.86), row(4, 0.6, 0.86)]
    by_loss, by_accuracy = (
        TrainingSpec(early_stopping=2, monitor=name) for name in ("val_loss", "val_accuracy")
    )
    assert best_row(history, by_loss).epoch == 2
    assert best_row(history, by_accuracy).epoch == 3
    assert [has_stopped(history[:n], by_loss) for n in (0, 1, 3, 4)] == [False, False, False, True]
    assert not has_stopped(history, by_accuracy)
    assert not has_stopped(history, TrainingSpec())


@pytest.mark.parametrize("ema", [0.0, 0.7])
def test_early_stopping_leaves_the_weights_of_the_epoch_it_names(ema: float) -> None:
    # A rate at which validation loss soon goes up and down.
    spec = TrainingSpec(epochs=30, batch_size=8, learning_rate=0.05, early_stopping=2, ema=ema)
    model, result = go(spec)
    assert len(result.history) < 30
    assert result.kept_epoch == min(result.history, key=lambda r: r.val_loss).epoch
    assert result.history[-1].epoch - result.kept_epoch == 2
    loss, _ = model.evaluate(PIXELS[VALIDATION], encode_labels(LABELS, 3)[VALIDATION], verbose=0)
    assert loss == pytest.approx(result.history[result.kept_epoch - 1].val_loss, rel=1e-5)
