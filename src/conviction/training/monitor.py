"""Reads the curves of a training as an expert would, and says what they show: docs/overfitting.md has the method.

The question is always whether a difference of two losses is more than noise. Two kinds of it are told apart. The images
of the validation set are a sample: another sample would move the difference of two epochs by ``sampling_noise``, and
more epochs do not average that away. And the weights jump from step to step, which moves single epochs against their
neighbours: ``jitter``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from conviction.training.record import EpochRow

Kind = Literal["fitting well", "overfitting", "underfitting", "still improving", "unstable"]

# So many standard errors, for 12 epochs. A run is looked at after every epoch, and one look must hardly ever err; at
# its end it is looked at once.
BEYOND_NOISE = 1.7
BEYOND_NOISE_LIVE = 2.4
# The same images score both epochs, so their difference varies less than a loss does.
PAIRED = 0.6
# Training loss must have fallen by this share since the turn: a network that learns nothing more does not overfit.
LEARNED = 0.05
# The last epochs stand for the end of a curve by their mean.
LAST = 3
# A fall of the validation loss by less than this share over the last third of the epochs is not worth waiting for.
WORTHWHILE = 0.02
# Fewer epochs show no trend.
TREND = 4
# Of ln(classes), the loss of guessing. A training loss above it that falls no further has not been fitted.
POOR = 0.35
# Of what the training loss had fallen: a rise by more is no jitter.
BROKEN = 0.5
# A schedule whose rate is below this share of its highest has ended; the loss stops falling because the rate does.
ENDED = 0.05


@dataclass(frozen=True)
class Verdict:
    """What the curves show.

    Attributes:
        kind: One of five.
        since: For overfitting, the epoch of the lowest validation loss; else None.
        sentence: The verdict with its numbers.
        evidence: The numbers by name.
        remedy: Keys to change, ``("training.early_stopping=3",)``; empty where nothing need be.
        resumes: Whether the remedy goes on with the same run, instead of beginning another.
    """

    kind: Kind
    since: int | None
    sentence: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    remedy: tuple[str, ...] = ()
    resumes: bool = False

    @property
    def name(self) -> str:
        """``overfitting since epoch 6``, or the kind alone."""
        return f"{self.kind} since epoch {self.since}" if self.since is not None else self.kind

    def to_json(self) -> dict[str, Any]:
        """For ``evaluation.json``."""
        return {
            "verdict": self.kind,
            "since": self.since,
            "evidence": {k: v for k, v in self.evidence.items() if math.isfinite(v)},
        }


def read_curves(
    history: Sequence[EpochRow], *, classes: int, validation_images: int, finished: bool = True
) -> Verdict:
    """The verdict on the epochs so far.

    Args:
        history: At least one epoch.
        classes: At least 2.
        validation_images: In the validation set, at least 1.
        finished: Whether training has ended, so that this is not one look of many.
    """
    curves = _Curves(history, classes, validation_images)
    curves.beyond = BEYOND_NOISE if finished else BEYOND_NOISE_LIVE
    for look in (_unstable, _begun, _overfitting, _underfitting, _still_improving):
        verdict = look(curves)
        if verdict is not None:
            return verdict
    return _fitting_well(curves)


def sampling_noise(row: EpochRow, images: int) -> float:
    """The standard error of the difference between this epoch's validation loss and another's.

    From what a history holds: if a share w of the images is wrong and the loss comes from them alone, in equal parts,
    the loss of an image has the standard deviation v sqrt((1 - w) / w) for a mean of v. Of that the share ``PAIRED``.
    """
    wrong = min(max(1.0 - row.val_accuracy, 1.0 / images), 0.999)
    return PAIRED * row.val_loss * math.sqrt((1.0 - wrong) / wrong) / math.sqrt(images)


def jitter(values: np.ndarray) -> float:
    """The standard deviation of single values (n,) about their trend; 0 for fewer than 4.

    Second differences of a smooth curve are nearly 0, and those of independent errors have the standard deviation
    sqrt(6) times theirs (von Neumann et al., 1941, for first differences). The first third, where every curve is steep,
    is left out.
    """
    second = np.diff(values[max(1, len(values) // 3) :], 2)
    return float(np.sqrt(np.mean(second**2) / 6.0)) if len(second) else 0.0


class _Curves:
    """A history as arrays, with what every look needs."""

    def __init__(self, history: Sequence[EpochRow], classes: int, images: int) -> None:
        self.rows = history
        self.beyond = BEYOND_NOISE
        self.images = images
        self.chance = math.log(classes)
        self.epochs = len(history)
        self.train = np.array([row.loss for row in history])
        self.validation = np.array([row.val_loss for row in history])
        self.turn = int(np.nanargmin(self.validation)) if np.isfinite(self.validation).any() else 0
        self.lowest = float(self.validation[self.turn])
        rates = [row.learning_rate for row in history]
        self.highest_rate = max(rates)
        self.ended = rates[-1] < ENDED * self.highest_rate
        self.rising = self.epochs > 1 and rates[-1] > rates[-2]

    def noise(self, row: int, of: int) -> float:
        """The standard error of the mean of ``of`` epochs against one other, about this row."""
        single = jitter(self.validation)
        return math.hypot(sampling_noise(self.rows[row], self.images), single * math.sqrt(1.0 / of + 0.5))


def _unstable(c: _Curves) -> Verdict | None:
    last = c.rows[-1]
    # A schedule may have brought the last epoch's rate to nearly 0; what was too high is its highest.
    rate = f"training.learning_rate={c.highest_rate / 10:g}"
    if not (math.isfinite(last.loss) and math.isfinite(last.val_loss)):
        return Verdict(
            "unstable", None, f"The loss is no longer a number in epoch {last.epoch}.", {}, (rate,)
        )
    best = int(c.train.argmin())
    fallen = float(c.train[0] - c.train[best])
    rise = float(c.train[-1] - c.train[best])
    # While a schedule raises the rate, training loss may rise with it and come down later.
    if c.epochs < 3 or c.rising or rise <= max(BROKEN * fallen, 0.1 * float(c.train[best])):
        return None
    return Verdict(
        "unstable",
        None,
        f"Training loss was {c.train[best]:.4f} in epoch {best + 1} and is {last.loss:.4f} now: the steps are too long "
        "to stay where it was low.",
        {"loss_best": float(c.train[best]), "loss_last": last.loss},
        (rate,),
    )


def _begun(c: _Curves) -> Verdict | None:
    """Few epochs have no trend yet; what they can be held against is guessing."""
    if c.epochs >= TREND and not c.rising:
        return None
    last = c.rows[-1]
    fall, noise = c.chance - last.val_loss, sampling_noise(last, c.images)
    after = "one epoch" if c.epochs == 1 else f"{c.epochs} epochs"
    said = f"After {after} validation loss is {last.val_loss:.4f}, where guessing has {c.chance:.4f}"
    evidence = {"fall": fall, "noise": noise, "loss_guessing": c.chance}
    more = (f"training.epochs={max(4, 2 * c.epochs)}",)
    if fall <= max(2.0 * noise, WORTHWHILE * c.chance):
        return Verdict("underfitting", None, f"{said}: nothing has been learned yet.", evidence, more, True)
    if c.epochs > 1:
        return None
    return Verdict(
        "still improving",
        None,
        f"{said}. One epoch shows no more than that it learns; whether it overfits is seen over several.",
        evidence,
        more,
        True,
    )


def _overfitting(c: _Curves) -> Verdict | None:
    after = c.epochs - 1 - c.turn
    if after < LAST or (c.turn == 0 and c.rising):
        return None
    end = float(c.validation[-LAST:].mean())
    rise, noise = end - c.lowest, c.noise(c.turn, LAST)
    learned = float(c.train[c.turn] - c.train[-1]) / float(c.train[c.turn])
    if learned < LEARNED or rise <= c.beyond * _of_many(c.epochs) * noise:
        return None
    first, last = c.rows[c.turn], c.rows[-1]
    accuracy = "rose" if last.val_accuracy > first.val_accuracy else "fell"
    return Verdict(
        "overfitting",
        first.epoch,
        f"Validation loss was lowest in epoch {first.epoch} ({first.val_loss:.4f}) and is {last.val_loss:.4f} now, "
        f"while training loss fell from {first.loss:.4f} to {last.loss:.4f}. The rise of {rise:.4f} is "
        f"{rise / noise:.1f} times what chance explains with {c.images:,} validation images. Validation accuracy "
        f"{accuracy} from {first.val_accuracy:.2%} to {last.val_accuracy:.2%}.",
        {"rise": rise, "noise": noise, "val_loss_best": first.val_loss, "val_loss_last": last.val_loss},
        ("training.early_stopping=3",),
    )


def _of_many(epochs: int) -> float:
    """How much lower the lowest of so many epochs is by chance than that of 12, the steep first third left out.

    The lowest of m independent errors lies about sqrt(2 ln m) standard deviations below their mean.
    """
    return math.sqrt(max(1.0, math.log(max(2, epochs * 2 // 3)) / math.log(8)))


def _underfitting(c: _Curves) -> Verdict | None:
    if c.epochs < TREND or c.rising:
        return None
    last = c.rows[-1]
    w = max(2, c.epochs // 3)
    before, now = float(c.train[-2 * w : -w].mean()), float(c.train[-w:].mean())
    stuck = before - now < WORTHWHILE * before
    if not stuck or now < POOR * c.chance:
        return None
    said = (
        f"Training loss stands at {last.loss:.4f}, where guessing has {c.chance:.4f}, and has hardly fallen since "
        f"epoch {c.epochs - w}; training accuracy is {last.accuracy:.2%}. The network has not learned even the images "
        "it sees."
    )
    # One that cannot learn more goes up and down; one whose steps are short comes down all the way, slowly.
    crawls = not c.ended and bool((np.diff(c.train[-2 * w :]) < 0.0).all())
    return Verdict(
        "underfitting",
        None,
        f"{said} The loss fell in every epoch, by little: its steps may be too short." if crawls else said,
        {"loss_last": last.loss, "loss_guessing": c.chance},
        ("training.learning_rate=auto",) if crawls else ("recipe=best",),
    )


def _still_improving(c: _Curves) -> Verdict | None:
    w = 1 if c.ended or c.epochs < 6 else c.epochs // 3
    before, now = c.validation[-2 * w : -w].mean(), c.validation[-w:].mean()
    fall = float(before - now)
    noise = math.hypot(sampling_noise(c.rows[-1], c.images), jitter(c.validation) * math.sqrt(2.0 / w))
    if fall <= max(WORTHWHILE * float(before), 2.0 * noise):
        return None
    last = c.rows[-1]
    return Verdict(
        "still improving",
        None,
        f"Validation loss was still falling, to {last.val_loss:.4f} in epoch {last.epoch}: by {fall:.4f} in its last "
        f"{'epoch' if w == 1 else f'{w} epochs'}, more than chance explains ({noise:.4f}). More epochs should help.",
        {"fall": fall, "noise": noise},
        (f"training.epochs={2 * c.epochs}",),
        resumes=True,
    )


def _fitting_well(c: _Curves) -> Verdict:
    last = c.rows[-1]
    if c.turn == c.epochs - 1:
        said = f"Validation loss was lowest in the last epoch, {last.epoch} ({last.val_loss:.4f})"
    else:
        said = (
            f"Validation loss was lowest in epoch {c.turn + 1} ({c.lowest:.4f}) and ended at {last.val_loss:.4f}: no "
            f"more than chance can do with {c.images:,} validation images"
        )
    evidence = {"val_loss_last": last.val_loss, "val_loss_best": c.lowest}
    return Verdict("fitting well", None, f"{said}, so nothing speaks of overfitting.", evidence)
