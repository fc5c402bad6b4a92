"""Batches: every image once an epoch, in an order that seed and epoch alone decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from conviction.training import epoch_order, make_batches


@given(n=st.integers(1, 300), seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 1000))
def test_an_order_is_a_permutation_that_seed_and_epoch_decide(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed, epoch)
    assert sorted(order) == list(range(n))
    assert np.array_equal(order, epoch_order(n, seed, epoch))


def test_orders_differ_between_epochs_and_seeds() -> None:
    first = epoch_order(100, 0, 0)
    assert not np.array_equal(first, epoch_order(100, 0, 1))
    assert not np.array_equal(first, epoch_order(100, 1, 0))


def test_the_order_is_the_same_on_every_machine() -> None:
    # NumPy promises that a Philox stream does not change; a change here would change every run's bits.
    assert epoch_order(8, 7, 3).tolist() == EXPECTED_ORDER


EXPECTED_ORDER = [4, 3, 5, 6, 0, 7, 1, 2]


def test_an_epoch_has_every_chosen_image_once_and_a_short_last_batch() -> None:
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    targets = np.eye(10, dtype=np.float32)
    chosen = np.array([1, 3, 5, 7, 9])
    batches = make_batches(pixels, targets, chosen, 2, shuffle_seed=0)
    assert len(batches) == 3
    for epoch in (0, 1, 5):
        batches.start_epoch(epoch)
        seen = [batches[i] for i in range(3)]
        x = np.concatenate([b[0].ravel() for b in seen])
        y = np.concatenate([b[1].argmax(axis=1) for b in seen])
        assert x.tolist() == chosen[epoch_order(5, 0, epoch)].tolist()
        assert np.array_equal(x, y)


def test_without_a_seed_the_order_is_kept() -> None:
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    batches = make_batches(pixels, np.eye(4, dtype=np.float32), np.array([2, 0, 3]), 8)
    batches.start_epoch(3)
    assert batches[0][0].ravel().tolist() == [2, 0, 3]
