"""Planted trainings: curves with real noise and accuracies drawn from a true gap, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from conviction.config import load_recipe
from conviction.evaluation import Gap, Verdict, judge, measure_gap
from conviction.evaluation.gap import LARGE, NORMAL, OF_THE_ERROR
from conviction.evaluation.verdict import ENOUGH_POWER
from conviction.training import Curves, read_curves
from tests.training.curves import CLASSES, plant

IMAGES = (10, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000)
GAPS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
RECIPE = load_recipe(["recipe=lab"])
# Training images for each validation image.
TRAIN = 10


@dataclass(frozen=True)
class Case:
    """A training whose truth is known, and its verdict.

    Attributes:
        images: In the validation set.
        gap: The true one.
        turn: Whether the true validation loss turns, far enough that it can be seen with so many images.
        train: The true accuracy on training images.
        verdict: On what was drawn.
    """

    images: int
    gap: float
    turn: bool
    train: float
    verdict: Verdict

    @property
    def error(self) -> float:
        """The standard error of the gap, from the truth."""
        unseen = self.train - self.gap
        each = [(self.train, TRAIN * self.images), (unseen, self.images)]
        return float(np.sqrt(sum(p * (1 - p) / n for p, n in each)))

    @property
    def right(self) -> bool:
        """Whether the verdict says nothing that is not so, and whatever so many images can show."""
        if self.turn:
            return self.verdict.kind == "overfitting"
        kind = "memorising" if self.gap >= OF_THE_ERROR * (1 - self.train + self.gap) else "large gap"
        if self.gap > NORMAL:
            # A gap that is plain must be named. Where chance can hide it, the verdict may be silent; from 10 points on
            # it may not praise.
            plain = self.gap - NORMAL > 4 * max(self.error, 0.5 / self.images)
            silent = {"cannot tell"} | ({"fitting well"} if self.gap < LARGE else set())
            # Where the gap is about half of the error, either name is as right.
            close = abs(self.gap - OF_THE_ERROR * (1 - self.train + self.gap)) < 3 * self.error
            names = {"memorising", "large gap"} if close else {kind}
            return self.verdict.kind in (names if plain else names | silent)
        power = self.verdict.power
        plain = min(power.turn, power.gap) > ENOUGH_POWER and LARGE - self.gap > 4 * self.error
        return self.verdict.kind in ({"fitting well"} if plain else {"fitting well", "cannot tell"})


@lru_cache(maxsize=100_000)
def gap_of(train_right: int, train: int, unseen_right: int, unseen: int) -> Gap:
    """``measure_gap`` of counts; the same few come up again and again with small sets."""
    return measure_gap((train_right / train, train), (unseen_right / unseen, unseen), "validation")


def planted_curves(n: int, turn: bool, rng: np.random.Generator) -> Curves:
    """Of one planted training with n validation images."""
    planted = plant("turned" if turn else "settled", rng, n)
    return read_curves(planted.history, classes=CLASSES, validation_images=n)


def draw(n: int, gap: float, turn: bool, each: int, rng: np.random.Generator) -> list[Case]:
    """Cases of one size and gap.

    The curves and the accuracies are drawn independently, as those of a validation set and of a test set of as many
    images are.

    Args:
        n: Images in the validation and in the test set.
        gap: The true one, 0 to 0.5.
        turn: Whether the true validation loss turns.
        each: How many.
        rng: Draws them.
    """
    train = rng.uniform(max(0.7, gap + 0.2), 1.0, each)
    train_right = rng.binomial(TRAIN * n, train)
    unseen_right = rng.binomial(n, train - gap)
    cases = []
    for p, a, b in zip(train, train_right.tolist(), unseen_right.tolist(), strict=True):
        curves = planted_curves(n, turn, rng)
        verdict = judge(curves, gap_of(a, TRAIN * n, b, n), RECIPE)
        cases.append(Case(n, gap, turn, float(p), verdict))
    return cases
