"""Claims: what lessons say about a change of the network or its training, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from conviction.audience import option
from conviction.errors import RequestError, did_you_mean
from conviction.lesson.record import MEASURES, Direction, Effect, Experiment, Measurement, measurements
from conviction.lesson.shelf import sheets, table

# The chapter in which hyperparameters are discussed.
TUNING = "hyperparameters"
BASE = "the lab's network"


@dataclass(frozen=True)
class Claim:
    """What lessons say about a change, and the measurements that it stands beside.

    Attributes:
        name: What a user types.
        subject: A sheet of "what to expect", or a chapter.
        change: What is changed.
        against: What it is compared with.
        measure: What of it is asked about; a name in ``MEASURES``.
        taught: What one reads elsewhere.
        says: What that predicts of the measure.
        records: Names of measurements; the first is the one that a guess is about.
        why: What explains what was measured.
    """

    name: str
    subject: str
    change: str
    measure: str
    taught: str
    says: Direction
    records: tuple[str, ...]
    why: str
    against: str = BASE

    @property
    def chapter(self) -> str:
        """The chapter to which it belongs."""
        return TUNING if self.subject in {sheet.name for sheet in sheets()} else self.subject

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What was measured, on one or more data sets."""
        return tuple(measurements()[name] for name in self.records)

    @property
    def effect(self) -> Effect:
        """What was measured first."""
        return self.measurements[0].differences[self.measure]

    @property
    def experiment(self) -> Experiment | None:
        """How anybody can measure it again; None if ``explore`` cannot."""
        return self.measurements[0].experiment

    @property
    def measure_name(self) -> str:
        """What is measured, in words: ``validation accuracy at the end``."""
        return MEASURES[self.measure][0]


@cache
def claims() -> Mapping[str, Claim]:
    """All claims by name, in the order of the chapters and sheets."""
    return {
        entry["name"]: Claim(**{**entry, "records": tuple(entry["records"])}) for entry in table("claims")
    }


def claims_about(subject: str) -> list[Claim]:
    """The claims of a sheet, or of a chapter; that about hyperparameters has those of all sheets."""
    return [claim for claim in claims().values() if subject in (claim.subject, claim.chapter)]


def experiment_of(name: str) -> tuple[Claim, Experiment]:
    """A claim that can be tested, and how.

    Raises:
        RequestError: There is no such claim, or nothing that ``explore`` changes tests it.
    """
    testable = [claim.name for claim in claims().values() if claim.experiment is not None]
    claim = claims().get(name)
    if claim is None:
        raise RequestError(
            f"{option('claim')}: there is no claim called '{name}'.{did_you_mean(name, testable)} Claims: "
            f"{', '.join(testable)}."
        )
    if claim.experiment is None:
        raise RequestError(
            f"{option('claim')} {name}: it was measured with Keras alone or between two changes, and no key of a "
            f"specification tests it. Claims that you can test: {', '.join(testable)}."
        )
    return claim, claim.experiment
