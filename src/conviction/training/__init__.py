"""Fitting the network: batches, the loop around Keras's ``fit``, signals."""

from conviction.training.batches import epoch_order, make_batches
from conviction.training.precision import choose_precision
from conviction.training.signals import StopRequest, stop_on_signals
from conviction.training.train import (
    EpochRow,
    EpochTiming,
    Progress,
    Training,
    Watcher,
    check_batch_size,
    steps_per_call,
    steps_per_epoch,
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
    "choose_precision",
    "epoch_order",
    "make_batches",
    "steps_per_call",
    "steps_per_epoch",
    "stop_on_signals",
    "train",
]
