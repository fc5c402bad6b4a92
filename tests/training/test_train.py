"""Training: the same arithmetic as a loop by hand, what is recorded, how it stops."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from conviction.config import TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.errors import RequestError, TrainingError
from conviction.model import build, compile_model
from conviction.reporting.terminal import Silent
from conviction.training import (
    EpochRow,
    EpochTiming,
    StopRequest,
    epoch_order,
    stop_on_signals,
    train,
)

N = 50
LABELS = np.arange(N) % 3
PIXELS = np.random.default_rng(1).integers(0, 100, (N, 10, 10, 1), dtype=np.uint8)
PIXELS[LABELS == 1, :5] += 100
PIXELS[LABELS == 2, :, :5] += 100
TARGETS = encode_labels(LABELS, 3)
TRAIN, VALIDATION = np.arange(40), np.arange(40, N)
MODEL = load_recipe(["model.filters=[4]", "model.dense=[8]"]).model


def new_model(spec: TrainingSpec):  # type: ignore[no-untyped-def]
    model = build(MODEL, (10, 10, 1), 3, spec.seed)
    compile_model(model, spec, 3, steps=1)
    return model


def run(spec: TrainingSpec, watcher=None, stop=None, model=None):  # type: ignore[no-untyped-def]
    model = model or new_model(spec)
    result = train(
        model,
        pixels=PIXELS,
        targets=TARGETS,
        train_indices=TRAIN,
        validation_indices=VALIDATION,
        spec=spec,
        watcher=watcher or Silent(),
        stop=StopRequest() if stop is None else stop,
    )
    return model, result


def test_it_is_the_loop_that_one_would_write_by_hand() -> None:
    spec = TrainingSpec(epochs=3, batch_size=16, seed=4)
    model, result = run(spec)
    by_hand = new_model(spec)
    for epoch in range(3):
        order = TRAIN[epoch_order(40, 4, epoch)]
        for start in range(0, 40, 16):
            chosen = order[start : start + 16]
            by_hand.train_on_batch(PIXELS[chosen], TARGETS[chosen])
        loss, accuracy = by_hand.evaluate(PIXELS[VALIDATION], TARGETS[VALIDATION], verbose=0)
        assert result.history[epoch].val_loss == pytest.approx(loss, rel=1e-5)
        assert result.history[epoch].val_accuracy == pytest.approx(accuracy)
    for a, b in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        assert np.allclose(a, b, atol=1e-6)
    assert [row.epoch for row in result.history] == [1, 2, 3]
    assert all(row.learning_rate == pytest.approx(0.001) for row in result.history)
    assert result.seconds >= sum(t.train_seconds + t.validation_seconds for t in result.timing)


def test_two_trainings_end_with_the_same_bits() -> None:
    spec = TrainingSpec(epochs=2, batch_size=16)
    (one, first), (two, second) = run(spec), run(spec)
    assert first.history == second.history
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(RequestError, match=r"at most the number of training images, 40; got 41"):
        run(TrainingSpec(batch_size=41))


def test_a_loss_that_is_no_number_is_an_error_with_a_rate_to_try() -> None:
    spec = TrainingSpec(epochs=5, batch_size=16, learning_rate=0.5)
    model = new_model(spec)
    model.layers[-1].set_weights([np.full_like(w, np.nan) for w in model.layers[-1].get_weights()])
    with pytest.raises(TrainingError, match=r"nan by step 1 of 3 in epoch 1.* training\.learning_rate=0\.05"):
        run(spec, model=model)


class StopsAfter(Silent):
    """Sends this process a signal after an epoch, as Ctrl-C does."""

    def __init__(self, epoch: int, number: int) -> None:
        self.epoch, self.number = epoch, number
        self.rows: list[EpochRow] = []

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        self.rows.append(row)
        if row.epoch == self.epoch:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_and_keeps_whole_epochs(number: int) -> None:
    before = signal.getsignal(number)
    watcher = StopsAfter(2, number)
    with stop_on_signals() as stop:
        _, result = run(TrainingSpec(epochs=100, batch_size=16), watcher, stop)
    assert stop.signal_number == number
    assert [row.epoch for row in result.history] == [1, 2]
    assert signal.getsignal(number) == before


def test_a_second_signal_acts_as_it_would_have_before() -> None:
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        while not stop:  # handlers run between bytecodes
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop:
            pass
    signal.signal(signal.SIGINT, before)
    assert stop.signal_number == signal.SIGTERM
