"""What Keras trains on: nothing tunes it, which would hold up epochs, and it is read afresh in each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import conviction
from conviction.backend import import_keras
from conviction.training import make_batches
from conviction.training.dataset import keras_data
from conviction.training.own import OwnData
from conviction.training.resident import ResidentBatches

PIXELS = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
TARGETS = np.eye(10, dtype=np.float32)
CHOSEN = np.array([1, 2, 4, 7, 8])

needs_tensorflow = pytest.mark.skipif(
    import_keras().backend.backend() != "tensorflow", reason="these data sets are TensorFlow's"
)


def gathered() -> Any:
    return make_batches(PIXELS, TARGETS, CHOSEN, 2, shuffle_seed=0).data


def kept_in_memory() -> Any:
    return ResidentBatches(PIXELS, TARGETS, CHOSEN, 2, shuffle_seed=0).data


def of_a_split() -> Any:
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1), np.uint8)
    return conviction.split((x, np.repeat(["a", "b"], 30)), show=None).batches("train", 8)


@needs_tensorflow
@pytest.mark.parametrize("make", [gathered, kept_in_memory, of_a_split])
def test_no_thread_tunes_it(make: Any) -> None:
    # That thread sleeps for up to a minute, and an epoch has been seen to wait for it with both cores idle.
    assert make().options().autotune.enabled is False


@needs_tensorflow
def test_neither_is_what_a_network_of_the_user_is_trained_on_nor_the_recipe_tuned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keras = import_keras()
    given: list[Any] = []
    original = keras.Model.fit

    def listen(self: Any, x: Any, **keys: Any) -> Any:
        given.extend([x, keys["validation_data"]])
        return original(self, x, **keys)

    monkeypatch.setattr(keras.Model, "fit", listen)
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1), np.uint8)
    source = (x, np.repeat(["a", "b"], 30))
    conviction.fit(source, {"training.epochs": 1}, recipe="lab", show=None)
    layers = [keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    conviction.fit(source, {"training.epochs": 1}, model=model, show=None)
    assert len(given) == 4
    assert all(data.options().autotune.enabled is False for data in given)


@needs_tensorflow
def test_each_epoch_reads_the_order_that_it_has_been_given() -> None:
    batches = OwnData(PIXELS, np.arange(10), CHOSEN, 2, (0.0, 255.0), seed=3).batches()
    data = keras_data(batches)
    assert int(data.cardinality()) == 3
    orders = []
    for epoch in range(3):
        batches.start_epoch(epoch)
        x, y = (np.concatenate([np.asarray(batch[part]).ravel() for batch in data]) for part in (0, 1))
        assert x.tolist() == y.tolist() == np.random.default_rng((3, epoch)).permutation(CHOSEN).tolist()
        orders.append(x.tolist())
    assert orders[0] != orders[1] != orders[2]
