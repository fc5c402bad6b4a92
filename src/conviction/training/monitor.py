"""Reads the curves of a training as an expert would, and returns what they show: docs/overfitting.md has the method.

The question is always whether a difference of two losses is more than noise. There are two kinds of noise. The images
of the validation set are a sample: another sample would move the difference of two epochs by ``sampling_noise``, and
more epochs do not average that away. And the weights jump from step to step, which moves single epochs against their
neighbours: ``jitter``.

Curves are one part of a verdict; ``evaluation/verdict.py`` puts the others beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from conviction.training.record import EpochRow

Shape = Literal["turned", "unstable", "underfitting", "still improving", "settled"]
Case = Literal[
    "turned",
    "not a number",
    "training loss rose",
    "nothing learned",
    "stuck",
    "crawling",
    "one epoch",
    "falling",
    "settled",
]

# Number of standard errors, for 12 epochs. A run is checked after every epoch, so a single check must hardly ever be
# wrong; at its end it is checked once.
BEYOND_NOISE = 1.7
BEYOND_NOISE_LIVE = 2.4
# The same images score both epochs, so their difference varies less than a loss does.
PAIRED = 0.6
# Chosen on planted curves: with it, flat curves of 10 validation images are read as rightly as those of 1,000.
FEW = 25.0
# Training loss must have fallen by this share since the turn: a network that no longer learns does not overfit.
LEARNED = 0.05
# The last epochs stand for the end of a curve by their mean.
LAST = 3
# A fall of the validation loss by less than this share over the last third of the epochs is not worth waiting for.
WORTHWHILE = 0.02
# With fewer epochs there is no trend.
TREND = 4
# Of ln(classes), the loss of guessing. A training loss above it that falls no further has not been fitted.
POOR = 0.35
# Of ln(classes): a training loss below it is not that of guessing.
PLAINLY = 0.8
# Of what the training loss had fallen: a rise by more is not jitter.
BROKEN = 0.5
# A schedule whose rate is below this share of its highest has ended; the loss stops falling because the rate does.
ENDED = 0.05


# Of the lowest validation loss: a rise that is worth seeing. The lab's own turns on Fashion-MNIST and CIFAR-10 are half
# as large after 12 epochs.
TURN = 0.25


@dataclass(frozen=True)
class Curves:
    """What the curves show.

    Attributes:
        kind: One of five. ``settled`` is none of the others: no turn can be seen, and no fall.
        case: Which of the reasons for it holds.
        epochs: That have been made, at least 1.
        images: In the validation set, at least 1.
        since: For curves that have turned, the epoch of the lowest validation loss; otherwise None.
        numbers: By name, all finite. ``loss``, ``val_loss`` and ``val_loss_lowest`` are always among them where they
            are numbers, as training counts them, with ``training.label_smoothing``.
        turn_power: The probability, 0 to 1, that a validation loss which has risen by ``TURN`` since its lowest would
            be called a turn.
    """

    kind: Shape
    case: Case
    epochs: int
    images: int
    since: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    turn_power: float = 0.0


def read_curves(
    history: Sequence[EpochRow], *, classes: int, validation_images: int, finished: bool = True
) -> Curves:
    """What the epochs so far show.

    Args:
        history: At least one epoch.
        classes: At least 2.
        validation_images: In the validation set, at least 1.
        finished: Whether training has ended, so that this is not one look of many.
    """
    curves = _Curves(history, classes, validation_images)
    curves.beyond = BEYOND_NOISE if finished else BEYOND_NOISE_LIVE
    for look in (_unstable, _begun, _overfitting, _underfitting, _still_improving):
        shown = look(curves)
        if shown is not None:
            return shown
    return curves.show("settled", "settled")


def sampling_noise(row: EpochRow, images: int) -> float:
    """The standard error of the difference between this epoch's validation loss and another's.

    From what a history holds: if a share w of the images is wrong and the loss comes from them alone, in equal parts,
    the loss of an image has the standard deviation v sqrt((1 - w) / w) for a mean of v. Of that the share ``PAIRED``.
    Both v and w come from the same few images, so for n of them it is taken larger by sqrt(1 + ``FEW`` / n).
    """
    wrong = min(max(1.0 - row.val_accuracy, 1.0 / images), 0.999)
    spread = PAIRED * row.val_loss * math.sqrt((1.0 - wrong) / wrong)
    return spread * math.sqrt((1.0 + FEW / images) / images)


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

    @property
    def turn_power(self) -> float:
        """How likely a rise by ``TURN`` is to be called a turn; 0 before there are enough epochs for one."""
        if self.epochs <= LAST or not math.isfinite(self.lowest):
            return 0.0
        noise = self.noise(self.turn, LAST)
        return _normal(TURN * self.lowest / noise - self.beyond * _of_many(self.epochs)) if noise else 1.0

    def show(
        self, kind: Shape, case: Case, numbers: Mapping[str, float] | None = None, since: int | None = None
    ) -> Curves:
        """The value, with the numbers that every one has."""
        last = self.rows[-1]
        usual = {
            "loss": last.loss,
            "val_loss": last.val_loss,
            "val_loss_lowest": self.lowest,
            "lowest_epoch": self.rows[self.turn].epoch,
            "highest_rate": self.highest_rate,
        }
        finite = {name: v for name, v in (usual | dict(numbers or {})).items() if math.isfinite(v)}
        return Curves(kind, case, self.epochs, self.images, since, finite, self.turn_power)


def _normal(z: float) -> float:
    """The share of the standard normal distribution below z."""
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def _unstable(c: _Curves) -> Curves | None:
    last = c.rows[-1]
    if not (math.isfinite(last.loss) and math.isfinite(last.val_loss)):
        return c.show("unstable", "not a number")
    best = int(c.train.argmin())
    fallen = float(c.train[0] - c.train[best])
    rise = float(c.train[-1] - c.train[best])
    # While a schedule raises the rate, training loss may rise with it and come down later.
    if c.epochs < 3 or c.rising or rise <= max(BROKEN * fallen, 0.1 * float(c.train[best])):
        return None
    lowest = {"loss_lowest": float(c.train[best]), "loss_lowest_epoch": best + 1}
    return c.show("unstable", "training loss rose", lowest)


def _begun(c: _Curves) -> Curves | None:
    """Few epochs have no trend yet; they can only be compared with guessing."""
    if c.epochs >= TREND and not c.rising:
        return None
    last = c.rows[-1]
    fall, noise = c.chance - last.val_loss, sampling_noise(last, c.images)
    numbers = {"fall": fall, "noise": noise, "loss_guessing": c.chance}
    # Few validation images cannot tell a network from guessing that has plainly learned from its training images.
    if fall <= max(2.0 * noise, WORTHWHILE * c.chance) and c.train[-1] > PLAINLY * c.chance:
        return c.show("underfitting", "nothing learned", numbers)
    if c.epochs > 1:
        return None
    return c.show("still improving", "one epoch", numbers)


def _overfitting(c: _Curves) -> Curves | None:
    after = c.epochs - 1 - c.turn
    if after < LAST or (c.turn == 0 and c.rising):
        return None
    end = float(c.validation[-LAST:].mean())
    rise, noise = end - c.lowest, c.noise(c.turn, LAST)
    learned = float(c.train[c.turn] - c.train[-1]) / float(c.train[c.turn])
    if learned < LEARNED or rise <= c.beyond * _of_many(c.epochs) * noise:
        return None
    first, last = c.rows[c.turn], c.rows[-1]
    return c.show(
        "turned",
        "turned",
        {
            "rise": rise,
            "noise": noise,
            "loss_at_turn": first.loss,
            "val_accuracy_at_turn": first.val_accuracy,
            "val_accuracy": last.val_accuracy,
        },
        first.epoch,
    )


def _of_many(epochs: int) -> float:
    """How much lower, by chance, the lowest of this many epochs is than that of 12, without the steep first third.

    The lowest of m independent errors is about sqrt(2 ln m) standard deviations below their mean.
    """
    return math.sqrt(max(1.0, math.log(max(2, epochs * 2 // 3)) / math.log(8)))


def _underfitting(c: _Curves) -> Curves | None:
    if c.epochs < TREND or c.rising:
        return None
    last = c.rows[-1]
    w = max(2, c.epochs // 3)
    before, now = float(c.train[-2 * w : -w].mean()), float(c.train[-w:].mean())
    stuck = before - now < WORTHWHILE * before
    if not stuck or now < POOR * c.chance:
        return None
    # One that cannot learn more goes up and down; one whose steps are short comes down all the way, slowly.
    crawls = not c.ended and bool((np.diff(c.train[-2 * w :]) < 0.0).all())
    return c.show(
        "underfitting",
        "crawling" if crawls else "stuck",
        {"loss_guessing": c.chance, "stuck_since": c.epochs - w, "accuracy": last.accuracy},
    )


def _still_improving(c: _Curves) -> Curves | None:
    w = 1 if c.ended or c.epochs < 6 else c.epochs // 3
    before, now = c.validation[-2 * w : -w].mean(), c.validation[-w:].mean()
    fall = float(before - now)
    noise = math.hypot(sampling_noise(c.rows[-1], c.images), jitter(c.validation) * math.sqrt(2.0 / w))
    if fall <= max(WORTHWHILE * float(before), 2.0 * noise):
        return None
    return c.show("still improving", "falling", {"fall": fall, "noise": noise, "over": w})
