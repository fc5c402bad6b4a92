"""Fitting the network: batches, the loop around Keras's ``fit``, signals."""

from conviction.training.batches import epoch_order, make_batches, weigh_classes
from conviction.training.devices import Devices, check_devices
from conviction.training.finder import RateSearch, Sweep, find_rate
from conviction.training.monitor import Curves, read_curves
from conviction.training.precision import choose_precision
from conviction.training.record import EpochRow, EpochTiming, Progress, Training, Watcher
from conviction.training.recorder import best_row, has_stopped
from conviction.training.signals import StopRequest, stop_on_signals
from conviction.training.state import TrainingState
from conviction.training.train import check_batch_size, steps_per_call, steps_per_epoch, train

__all__ = [
    "Curves",
    "Devices",
    "EpochRow",
    "EpochTiming",
    "Progress",
    "RateSearch",
    "StopRequest",
    "Sweep",
    "Training",
    "TrainingState",
    "Watcher",
    "best_row",
    "check_batch_size",
    "check_devices",
    "choose_precision",
    "epoch_order",
    "find_rate",
    "has_stopped",
    "make_batches",
    "read_curves",
    "steps_per_call",
    "steps_per_epoch",
    "stop_on_signals",
    "train",
    "weigh_classes",
]
