"""What the JSON files of a run hold, as values with named fields; a damaged file is noticed when it is opened.

A file may have more than is listed here, as those of other versions have. What has a default may be missing: earlier
versions, and the run that comes with the lesson, do not have it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

from conviction.data import DecodingRule, ImageSet
from conviction.data.audit import KeptAudit
from conviction.data.doubtful_labels import DoubtfulLabel
from conviction.data.feature_audit import FeatureAudit
from conviction.data.image_set import PARTS
from conviction.data.sessions import Nearest, Sessions
from conviction.errors import RunFileError
from conviction.evaluation import Binary, Calibration, Figure, ReliabilityBin, Slicing, Verdict
from conviction.training import RateSearch, Sweep

# JSON has lists where we have tuples.
Interval = Annotated[tuple[float, float], Field(strict=False)]


class Content(BaseModel):
    """What a JSON file must hold to be read; it may hold more."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class RunCounts(Content):
    """Images per class in each part, in the order of the classes."""

    train: list[int]
    validation: list[int]
    test: list[int]

    @property
    def totals(self) -> dict[str, int]:
        """Images in each part, by its name."""
        return {part: sum(getattr(self, part)) for part in PARTS}


class RunSplit(Content):
    """Which images were in which part: content hashes in hex, by name, in the order of the split.

    ``test_hash`` identifies the test set, whatever its order. The other fields are those of ``Split``, in ``left_out``
    with names.
    """

    test_hash: str
    train: dict[str, str]
    validation: dict[str, str]
    test: dict[str, str]
    test_origin: str = ""
    validation_origin: str = ""
    left_out: dict[str, list[str]] = {}

    def of(self, part: str) -> dict[str, str]:
        """The images of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


class RunUnused(Content):
    """Things of one kind that were supplied and not used; the fields are those of ``Unused``."""

    kind: str
    count: int
    examples: list[str]
    reason: str


class RunNearest(Content):
    """The fields of ``Nearest``."""

    pictures: int
    right: int
    right_apart: int


class RunSessions(Content):
    """The sessions that stay together: content hashes in hex by name; the other fields are those of ``Sessions``."""

    groups: list[dict[str, str]]
    eyes: Literal["features", "pixels"]
    neighbours: int = 0
    near: int = 0
    by_chance: float = 0.0
    bursts: int = 0
    nearest: RunNearest | None = None

    def of(self, images: ImageSet) -> Sessions:
        """The same with the rows of these images; pictures that are gone are in none."""
        groups = []
        for group in self.groups:
            rows = [row for row in images.rows_of(group.values(), group) if row is not None]
            if len(rows) > 1:
                groups.append(tuple(rows))
        nearest = None if self.nearest is None else Nearest(**self.nearest.model_dump())
        rest = self.model_dump(exclude={"groups", "nearest"})
        return Sessions(tuple(groups), **rest, nearest=nearest)


class RunDoubtfulLabel(Content):
    """A label in doubt: the content hash of the image by its name; the rest as ``DoubtfulLabel``."""

    image: dict[str, str]
    likelier: StrictInt
    votes: StrictInt


class RunFeatureAudit(Content):
    """What the audit saw by features: images as content hashes in hex by name, the rest as ``FeatureAudit``."""

    network: str
    sought: StrictInt = 0
    copies: list[dict[str, str]] = []
    asked: StrictInt = 0
    doubtful: list[RunDoubtfulLabel] = []

    def of(self, images: ImageSet) -> FeatureAudit:
        """The same with the rows of these images; pictures that are gone are left out."""

        def rows(named: dict[str, str]) -> list[int]:
            return [row for row in images.rows_of(named.values(), named) if row is not None]

        pairs = [sorted(rows(pair)) for pair in self.copies]
        return FeatureAudit(
            self.network,
            self.sought,
            tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2),
            self.asked,
            tuple(DoubtfulLabel(i, d.likelier, d.votes) for d in self.doubtful for i in rows(d.image)),
        )


class _Source(Content):
    source: str


class RunData(Content):
    """The content of ``data.json``.

    Attributes:
        source: A named set by its name, anything else by its full path.
        name: As ``ImageSet.name``; so are ``location``, ``stored``, ``conversions``, ``unused`` and ``class_names``.
        counts: Images per class in each part.
        decoding: How the images were decoded.
        audit: Names of ``unreadable`` files with reasons, and ``findings``.
        sessions: Pictures that were taken together, if they were kept together or compared by features.
        features: What the audit saw by features; None for pixels alone.
        split: Which image was in which part; ``Run.split`` is the same where it must be known.
    """

    source: str
    name: str = ""
    location: str = ""
    stored: str = ""
    conversions: list[str] = []
    unused: list[RunUnused] = []
    decoding: DecodingRule
    class_names: list[str]
    counts: RunCounts
    audit: dict[str, Any] = {}
    sessions: RunSessions | None = None
    features: RunFeatureAudit | None = None
    split: RunSplit | None = None

    def kept_audit(self, images: ImageSet) -> KeptAudit:
        """What the run keeps of its audit, with the rows of these images."""
        return KeptAudit(
            None if self.sessions is None else self.sessions.of(images),
            None if self.features is None else self.features.of(images),
        )


class RunClassScore(Content):
    """One class of a ``RunScore``; the fields are those of ``ClassScore``."""

    name: str
    support: int
    called: int | None = None
    precision: float | None = None
    recall: float | None
    f1: float | None = None
    precision_ci95: Interval | None = None
    recall_ci95: Interval | None = None
    f1_ci95: Interval | None = None


class RunSuspect(Content):
    """An image whose label may be wrong: its label, the likelier one, and by how much."""

    file: str
    label: str
    likelier: str
    margin: float


class RunScore(Content):
    """How a part was scored: the fields of ``Score``, and of ``Part`` for the part whose pictures are shown."""

    # Lists and objects become the tuples and dataclasses that were written; what is checked strictly says so.
    model_config = ConfigDict(strict=False)

    n: StrictInt
    loss: StrictFloat
    loss_se: StrictFloat | None = None
    accuracy: StrictFloat
    accuracy_ci95: Interval
    per_class: list[RunClassScore] = []
    confusion: list[list[int]] = []
    figures: dict[str, Figure] = {}
    reliability: list[ReliabilityBin] = []
    pairs: str = ""
    suspects: list[RunSuspect] = []
    slices: list[Slicing] = []
    two_classes: Binary | None = None
    calibration: Calibration | None = None


class RunTestScore(RunScore):
    """The score of the test set; ``openings`` is how often it had been opened, this time included."""

    openings: StrictInt


class RunFolds(Content):
    """What cross-validation says of the recipe; the fields are those of ``RecipeEstimate``."""

    model_config = ConfigDict(strict=False)

    folds: StrictInt
    repetitions: StrictInt
    n: StrictInt
    learned: float
    loss: StrictFloat
    accuracy: Figure
    balanced_accuracy: Figure
    accuracies: list[list[float]] = []


class RunVerdict(BaseModel):
    """The verdict's kind and, for overfitting, since which epoch; ``Run.verdict`` is all of it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    verdict: str
    since: int | None

    def whole(self) -> Verdict | None:
        """All of it; None where the file has no more than the two fields.

        Raises:
            ValueError: The rest is damaged.
        """
        rest = self.model_extra or {}
        if not isinstance(rest.get("curves"), dict):
            return None
        return Verdict.from_json({"verdict": self.verdict, **rest})


class RunEvaluation(Content):
    """The content of ``evaluation.json``.

    Attributes:
        train: Scores of the training images.
        validation: Scores of the validation images.
        test: Scores of the test images; None while the test set is sealed.
        overfitting: The verdict on the training.
        folds: What cross-validation says of the recipe; None without it.
    """

    test: RunTestScore | None
    validation: RunScore
    train: RunScore
    overfitting: RunVerdict
    folds: RunFolds | None = None

    @property
    def parts(self) -> dict[str, RunScore]:
        """The scores by part, without the test's while it is sealed."""
        scores = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: score for name, score in scores.items() if score is not None}

    @property
    def openings(self) -> int:
        """How often the test set had been opened, this time included; 0 while it is sealed."""
        return 0 if self.test is None else self.test.openings

    @property
    def accuracy(self) -> float | None:
        """The test's; None while it is sealed."""
        return None if self.test is None else self.test.accuracy

    @property
    def accuracy_ci95(self) -> tuple[float, float] | None:
        """The test's; None while it is sealed."""
        return None if self.test is None else self.test.accuracy_ci95

    @property
    def loss(self) -> float | None:
        """The test's; None while it is sealed."""
        return None if self.test is None else self.test.loss


class RunEnvironment(Content):
    """The content of ``environment.json``: on what the run ran, and how long.

    Attributes:
        versions: Of conviction, Python, Keras and more, by name.
        hardware: Processor, cores and more, by name.
        started: When, in ISO 8601.
        seconds: Of ``training`` and in ``total``.
        peak_memory_bytes: Of the process that made the run.
        precision: In which the network was trained.
        seed: ``training.seed``.
        threads: ``training.threads``.
        trained_on: Where it was trained, if elsewhere.
    """

    versions: dict[str, Any] = {}
    hardware: dict[str, Any] = {}
    started: str | None = None
    seconds: dict[str, float] = {}
    peak_memory_bytes: int | None = None
    precision: str | None = None
    seed: int | None = None
    threads: int | None = None
    trained_on: dict[str, Any] | None = None


class _Sweep(Content):
    rates: list[float]
    losses: list[float]


class _Rates(Content):
    chosen: float
    sweeps: list[_Sweep]


C = TypeVar("C", bound=Content)


def read_data(path: Path) -> RunData:
    """The content of ``data.json``.

    Raises:
        OSError, ValueError, RecursionError: It cannot be read, or does not hold what it should.
    """
    return read_content(path, RunData)


def read_source(path: Path) -> str:
    """``source`` of ``data.json``, whatever the rest of it is; raises as ``read_data``."""
    return read_content(path, _Source).source


def read_evaluation(path: Path) -> RunEvaluation:
    """The content of ``evaluation.json``; raises as ``read_data``."""
    return read_content(path, RunEvaluation)


def read_environment(path: Path) -> RunEnvironment:
    """The content of ``environment.json``; raises as ``read_data``."""
    return read_content(path, RunEnvironment)


def read_rates(path: Path) -> RateSearch:
    """The content of ``learning_rate.json``; raises as ``read_data``."""
    rates = read_content(path, _Rates)
    return RateSearch(tuple(Sweep(np.array(s.rates), np.array(s.losses)) for s in rates.sweeps), rates.chosen)


def read_content(path: Path, model: type[C]) -> C:
    """The content of a JSON file; raises as ``read_data``."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        # A rule of a later version is no damage.
        if first["loc"][:1] == ("decoding",) and first["type"] in ("literal_error", "extra_forbidden"):
            raise RunFileError(f"{path}: cannot be used ({message}).", "value") from None
        raise ValueError(message) from None
