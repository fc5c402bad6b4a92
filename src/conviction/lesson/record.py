"""What `make bench-lesson` measured: the record that the texts quote, so that text and measurement cannot differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

Direction = Literal["lower", "higher", "no detectable difference"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

# What is compared: its name in sentences, the factor of its unit, and decimals.
MEASURES: dict[str, tuple[str, float, int, str]] = {
    "accuracy": ("validation accuracy at the end", 100, 1, " points"),
    "loss": ("validation loss at the end", 1, 3, ""),
    "lowest_loss": ("lowest validation loss", 1, 3, ""),
    "lowest_epoch": ("epoch of the lowest validation loss", 1, 1, " epochs"),
    "rise": ("rise of the validation loss after its lowest point", 1, 3, ""),
    "training_loss": ("training loss at the end", 1, 3, ""),
    "first_training_loss": ("training loss of the first epoch", 1, 3, ""),
    "first_loss": ("validation loss after the first epoch", 1, 3, ""),
    "first_accuracy": ("validation accuracy after the first epoch", 100, 1, " points"),
    "gap": ("training minus validation accuracy at the end", 100, 1, " points"),
}


class ContradictionError(ValueError):
    """A text predicts what the record contradicts."""


@dataclass(frozen=True)
class Effect:
    """One measure of a comparison: the means of both sides, and the mean paired difference with its 95% interval."""

    here: float
    there: float
    mean: float
    low: float
    high: float

    @property
    def direction(self) -> Direction:
        """What the interval says."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no detectable difference"


@dataclass(frozen=True)
class Experiment:
    """How ``explore`` measures a change, so that anybody can measure it again on other images.

    Attributes:
        keys: Of the base, over those of ``recipe=lab``.
        epochs: Of each training.
        images: Training images of each epoch.
        question: The lab's question to which the arm belongs; empty if it varies a key.
        arm: Its label, or KEY=VALUE.
    """

    keys: Mapping[str, Any]
    epochs: int
    images: int
    question: str
    arm: str


@dataclass(frozen=True)
class Measurement:
    """A change against its base, over paired seeds.

    Attributes:
        name: The study and the arm, ``long.twice_filters``.
        question: What was changed.
        data: The images.
        setting: The base and how long it was trained.
        seeds: Pairs.
        date: ISO 8601.
        versions: Of the packages that made it.
        differences: By a name in ``MEASURES``.
        experiment: None if ``explore`` cannot measure it.
    """

    name: str
    question: str
    data: str
    setting: str
    seeds: int
    date: str
    versions: Mapping[str, str]
    differences: Mapping[str, Effect]
    experiment: Experiment | None

    def quote(self, measure: str, predicted: Direction) -> str:
        """``-0.031 [-0.040, -0.022]``, in the measure's unit.

        Args:
            measure: A name in ``MEASURES``.
            predicted: What the text says about it.

        Raises:
            ContradictionError: The interval says something else.
            KeyError: This was not measured.
        """
        effect = self.differences[measure]
        if effect.direction != predicted:
            raise ContradictionError(
                f"{self.name}, {measure}: the text predicts '{predicted}'; the record says '{effect.direction}' "
                f"({self.numbers(measure)})."
            )
        return self.numbers(measure)

    def numbers(self, measure: str) -> str:
        """The difference and its interval."""
        return effect_numbers(measure, self.differences[measure])

    def about(self) -> str:
        """Where the numbers come from, for the end of a page."""
        return (
            f"{self.question}: {self.data}; {self.setting}; {self.seeds} paired seeds; {self.date}, "
            f"Keras {self.versions['keras']}"
        )


def effect_numbers(measure: str, effect: Effect) -> str:
    """The difference and its interval, in the unit of the measure; the interval of a single pair is not known."""
    _, factor, digits, unit = MEASURES[measure]
    mean, low, high = (f"{value * factor:+.{digits}f}" for value in (effect.mean, effect.low, effect.high))
    known = math.isfinite(effect.low) and math.isfinite(effect.high)
    return f"{mean}{unit} [{low}, {high}]" if known else f"{mean}{unit}"


@cache
def measurements() -> Mapping[str, Measurement]:
    """All of the record, by name."""
    file = resources.files("conviction.lesson") / "findings.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["findings"]
    return {name: _measurement(name, entry) for name, entry in content.items()}


def _measurement(name: str, entry: Mapping[str, Any]) -> Measurement:
    effects = {measure: Effect(**numbers) for measure, numbers in entry["differences"].items()}
    how = entry["experiment"]
    experiment = None if how is None else Experiment(**how)
    return Measurement(name=name, **{**entry, "differences": effects, "experiment": experiment})
