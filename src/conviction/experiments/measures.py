"""What is compared of two trainings besides the accuracy of the epoch that was kept: one number for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from conviction.experiments.statistics import paired_difference
from conviction.lesson.record import Effect
from conviction.training import EpochRow

Rows = Sequence[EpochRow]

# By the names of ``lesson.record.MEASURES``.
MEASURES: Mapping[str, Callable[[Rows], float]] = {
    "accuracy": lambda rows: rows[-1].val_accuracy,
    "loss": lambda rows: rows[-1].val_loss,
    "lowest_loss": lambda rows: min(r.val_loss for r in rows),
    "lowest_epoch": lambda rows: 1 + int(np.argmin([r.val_loss for r in rows])),
    "rise": lambda rows: rows[-1].val_loss - min(r.val_loss for r in rows),
    "training_loss": lambda rows: rows[-1].loss,
    "first_training_loss": lambda rows: rows[0].loss,
    "first_loss": lambda rows: rows[0].val_loss,
    "first_accuracy": lambda rows: rows[0].val_accuracy,
    "gap": lambda rows: rows[-1].accuracy - rows[-1].val_accuracy,
}


def effects_of(
    first: Mapping[int, Rows], second: Mapping[int, Rows], resolution: float
) -> tuple[int, dict[str, Effect]]:
    """Every measure of both, and the mean of its paired differences with a 95% interval.

    Args:
        first: The epochs of each training of the change, by seed.
        second: Those of the base.
        resolution: One over the number of validation images; see ``paired_difference``.

    Returns:
        The number of seeds that both have, and the effects by name. A measure that is not a number for one of them,
        such as the loss of a training that diverged, is left out.
    """
    seeds = sorted(set(first) & set(second))
    effects: dict[str, Effect] = {}
    for name, measure in MEASURES.items() if seeds else ():
        ours, theirs = ([float(measure(rows[seed])) for seed in seeds] for rows in (first, second))
        if not np.isfinite([*ours, *theirs]).all():
            continue
        d = paired_difference(ours, theirs, resolution if name in ("accuracy", "first_accuracy") else 0.0)
        effects[name] = Effect(float(np.mean(ours)), float(np.mean(theirs)), d.mean, d.low, d.high)
    return len(seeds), effects
