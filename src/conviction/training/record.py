"""What training reports: a row for each epoch, how long it took, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class EpochRow:
    """A line of ``history.csv``: means over the epoch; validation after it. Deterministic."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class EpochTiming:
    """A line of ``timing.csv``; ``images_per_second`` counts training alone."""

    epoch: int
    train_seconds: float
    validation_seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Progress:
    """How far an epoch is.

    Attributes:
        epoch: From 1.
        images: Of this epoch that have been learned from.
        total: Images of an epoch.
        loss: The mean of the epoch so far.
        accuracy: Likewise.
        images_per_second: Likewise.
        kernels: Now and then, those of the first convolution: (rows, columns, channels, filters), float32.
    """

    epoch: int
    images: int
    total: int
    loss: float
    accuracy: float
    images_per_second: float
    kernels: np.ndarray | None = field(default=None, repr=False, compare=False)


class Watcher(Protocol):
    """Anything that shows training to a person."""

    def progress(self, state: Progress) -> None:
        """Called a few times a second."""

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Called after each epoch's validation."""


@dataclass
class Training:
    """What training returns besides the model's weights.

    Attributes:
        history: A row for each finished epoch.
        timing: A row for each of them.
        seconds: From the start of the first step to the end of the last epoch, tracing and validation included; of a
            training that was interrupted, without the time between.
        steps: Of the epoch that was interrupted, how many had been made; 0 if none was.
        kept_epoch: The epoch whose weights the model has, where early stopping chose it; else None.
    """

    history: list[EpochRow] = field(default_factory=list)
    timing: list[EpochTiming] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    kept_epoch: int | None = None
