"""Training beside validation and test: what the difference says, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conviction.evaluation.metrics import Score
from conviction.training import EpochRow


def best_epoch(history: Sequence[EpochRow]) -> EpochRow:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda row: (row.val_loss, row.epoch))


def describe_gap(
    history: Sequence[EpochRow], train: Score, validation: Score, test: Score | None
) -> dict[str, Any]:
    """The gap between training and unseen images, and whether validation loss has turned.

    A gap alone is not overfitting: images that a network has learned from are always somewhat easier.
    Overfitting is when validation loss rises while training loss still falls; then the epochs after the
    turn made the network worse.

    Returns:
        ``unseen`` (which part), ``gap`` (accuracy on training minus accuracy there), ``best_epoch``,
        ``last_epoch``, ``val_loss_best``, ``val_loss_last``, ``sentence``.
    """
    name, unseen = ("test", test) if test is not None else ("validation", validation)
    gap = train.accuracy - unseen.accuracy
    best, last = best_epoch(history), history[-1]
    return {
        "unseen": name,
        "gap": gap,
        "best_epoch": best.epoch,
        "last_epoch": last.epoch,
        "val_loss_best": best.val_loss,
        "val_loss_last": last.val_loss,
        "sentence": f"{_gap_sentence(train, unseen, name)} {_turn_sentence(history, validation)}",
    }


def _gap_sentence(train: Score, unseen: Score, name: str) -> str:
    low, high = unseen.accuracy_ci95
    text = (
        f"On the training images accuracy is {train.accuracy:.2%}, on the {name} images {unseen.accuracy:.2%}"
    )
    if low <= train.accuracy <= high:
        return f"{text}: no gap that {unseen.n} {name} images could show."
    points = 100 * (train.accuracy - unseen.accuracy)
    if points < 0:
        return f"{text}: the {name} images are easier by {-points:.1f} points."
    return f"{text}: a gap of {points:.1f} points. Some gap is normal."


def _turn_sentence(history: Sequence[EpochRow], validation: Score) -> str:
    best, last = best_epoch(history), history[-1]
    if best.epoch == last.epoch:
        return (
            f"Validation loss was lowest in the last epoch ({last.epoch}), so nothing yet speaks of "
            "overfitting, and more epochs may still help."
        )
    rise = (
        f"Validation loss was lowest in epoch {best.epoch} ({best.val_loss:.3f}) and ended at "
        f"{last.val_loss:.3f}"
    )
    # Both losses are means over the same images, so two standard errors of one is a cautious bound.
    noise = 2.0 * validation.loss_se
    if last.val_loss - best.val_loss <= noise:
        return f"{rise}: no more than chance can do with {validation.n} validation images."
    if last.loss >= best.loss:
        return f"{rise}, and training loss rose too: the learning rate may be too high."
    return (
        f"{rise} while training loss went on falling: that is what overfitting looks like. Fewer epochs "
        f"(training.epochs={best.epoch}), dropout, or more images are remedies."
    )
