"""What the JSON files of a run hold, as values with named fields; a damaged file is noticed when it is opened.

A file may have more than is listed here, as those of other versions have. What has a default may be missing: earlier
versions, and the run that comes with the lesson, do not have it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from conviction.config.text import MOST_JSON, newer_schema, read_json_file, shortened
from conviction.errors import RunFileError
from conviction.evaluation import Binary, Calibration, Figure, ReliabilityBin, Slicing, Verdict
from conviction.training import RateSearch, Sweep

Count = Annotated[int, Field(ge=0)]


def _any_text(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError as failure:
        if failure.errors()[0]["type"] == "string_unicode":
            return value
        raise


# The name of a file or folder; one that is not Unicode on disk has lone surrogates, which pydantic takes for no text.
Name = Annotated[str, WrapValidator(_any_text)]
# JSON has lists where we have tuples.
Interval = Annotated[tuple[float, float], Field(strict=False)]


class Content(BaseModel):
    """What a JSON file must hold to be read; it may hold more."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


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

    file: Name
    label: str
    likelier: str
    margin: float


class RunScore(Content):
    """How a part was scored: the fields of ``Score``, and of ``Part`` for the part whose pictures are shown."""

    # Lists and objects become the tuples and dataclasses that were written; what is checked strictly says so.
    model_config = ConfigDict(strict=False)

    n: Annotated[StrictInt, Field(ge=1)]
    loss: StrictFloat
    loss_se: StrictFloat | None = None
    accuracy: Annotated[StrictFloat, Field(ge=0.0, le=1.0)]
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

    openings: Annotated[StrictInt, Field(ge=1)]


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
    """The verdict's kind and, for overfitting, since which epoch; ``RunFolder.verdict`` is all of it."""

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
    rates: list[Annotated[float, Field(gt=0.0)]]
    losses: list[float]

    @model_validator(mode="after")
    def _belong_together(self) -> _Sweep:
        if len(self.rates) != len(self.losses):
            raise ValueError("expected a loss for each rate")
        return self


class _Rates(Content):
    chosen: Annotated[float, Field(gt=0.0)]
    sweeps: Annotated[list[_Sweep], Field(min_length=1)]


C = TypeVar("C", bound=Content)


def read_evaluation(path: Path) -> RunEvaluation:
    """The content of ``evaluation.json``; raises as ``read_content``."""
    return read_content(path, RunEvaluation)


def read_environment(path: Path) -> RunEnvironment:
    """The content of ``environment.json``; raises as ``read_content``."""
    return read_content(path, RunEnvironment)


def read_rates(path: Path) -> RateSearch:
    """The content of ``learning_rate.json``; raises as ``read_content``."""
    rates = read_content(path, _Rates)
    return RateSearch(tuple(Sweep(np.array(s.rates), np.array(s.losses)) for s in rates.sweeps), rates.chosen)


def read_content(path: Path, model: type[C], most: int = MOST_JSON) -> C:
    """The content of a JSON file of at most ``most`` bytes.

    Raises:
        OSError, ValueError, RecursionError: It cannot be read, or does not hold what it should.
    """
    return validated(read_json_file(path, most), model, path)


def validated(content: Any, model: type[C], path: Path) -> C:
    """The value of a JSON text that came from a file; raises as ``read_content``."""
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    if reason := newer_schema(content):
        raise RunFileError(f"{path}: {reason}", "newer")
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        where = shortened(".".join(map(str, first["loc"])))
        message = f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
        # A rule of a later version is no damage.
        if first["loc"][:1] == ("decoding",) and first["type"] in ("literal_error", "extra_forbidden"):
            raise RunFileError(f"{path}: cannot be used ({message}).", "value") from None
        raise ValueError(message) from None
