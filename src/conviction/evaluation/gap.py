"""Training beside validation and test: what the difference says, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conviction.evaluation.intervals import newcombe
from conviction.evaluation.metrics import Score
from conviction.training import EpochRow, Verdict


def best_epoch(history: Sequence[EpochRow]) -> EpochRow:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda row: (row.val_loss, row.epoch))


def describe_gap(
    history: Sequence[EpochRow], train: Score, validation: Score, test: Score | None, verdict: Verdict
) -> dict[str, Any]:
    """The gap between training and unseen images, and what the curves show.

    A gap alone is not overfitting: images that a network has learned from are always somewhat easier.
    Overfitting is when validation loss rises while training loss still falls; then the epochs after the
    turn made the network worse.

    Returns:
        ``unseen`` (which part), ``gap`` (accuracy on training minus accuracy there), ``gap_ci95`` (Newcombe's),
        ``best_epoch``, ``last_epoch``, ``val_loss_best``, ``val_loss_last``; ``verdict``, ``since``, ``evidence``;
        ``sentence`` of the gap and ``curves`` of the verdict.
    """
    name, unseen = ("test", test) if test is not None else ("validation", validation)
    best, last = best_epoch(history), history[-1]
    return {
        "unseen": name,
        "gap": train.accuracy - unseen.accuracy,
        "gap_ci95": _interval(train, unseen),
        "best_epoch": best.epoch,
        "last_epoch": last.epoch,
        "val_loss_best": best.val_loss,
        "val_loss_last": last.val_loss,
        **verdict.to_json(),
        "sentence": _gap_sentence(train, unseen, name),
        "curves": f"Verdict: {verdict.name}. {verdict.sentence}",
    }


def _interval(train: Score, unseen: Score) -> tuple[float, float]:
    return newcombe((round(train.accuracy * train.n), train.n), (round(unseen.accuracy * unseen.n), unseen.n))


def _gap_sentence(train: Score, unseen: Score, name: str) -> str:
    low, high = _interval(train, unseen)
    text = (
        f"On the training images accuracy is {train.accuracy:.2%}, on the {name} images {unseen.accuracy:.2%}"
    )
    if low <= 0.0 <= high:
        return f"{text}: no gap that {unseen.n} {name} images could show."
    points = 100 * (train.accuracy - unseen.accuracy)
    if points < 0:
        return f"{text}: the {name} images are easier by {-points:.1f} points."
    interval = f"95% interval {100 * low:.1f} to {100 * high:.1f}"
    return f"{text}: a gap of {points:.1f} points ({interval}). Some gap is normal."
