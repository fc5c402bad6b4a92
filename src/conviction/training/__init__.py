"""Fitting the network: batches, the loop around Keras's ``fit``, signals."""

from conviction.training.batches import epoch_order, make_batches
from conviction.training.signals import StopRequest, stop_on_signals
from conviction.training.train import (
    EpochRow,
    EpochTiming,
    Progress,
    Training,
    Watcher,
    check_batch_size,
    train,
)

__all__ = [
    "EpochRow",
    "EpochTiming",
    "Progress",
    "StopRequest",
    "Training",
    "Watcher",
    "check_batch_size",
    "epoch_order",
    "make_batches",
    "stop_on_signals",
    "train",
]
