"""What an experiment keeps: a design that does not change, and a line for every finished trial."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasPath, ConfigDict, Field, TypeAdapter, model_validator

from conviction.audience import option
from conviction.config.text import newer_schema, read_bounded, read_json, read_json_file, shortened
from conviction.errors import RequestError, RunFileError
from conviction.lesson.record import Effect
from conviction.runs import folder
from conviction.runs.content import C, Content, read_content, validated
from conviction.runs.inside import DRAWN, append_line, refuse_links, remove_leftovers
from conviction.runs.reading import read_run_file
from conviction.training import EpochRow

DESIGN, TRIALS, RESULT, REPORT = "design.json", "trials.jsonl", "result.json", "report.html"
EPOCHS = "epochs.json"
# What ``tune`` writes besides; SQLite has the others while it works.
SPECIFICATION, RUN, DATABASE = "best.yaml", "run", "study.db"
OF_A_SEARCH = (
    SPECIFICATION,
    RUN,
    DATABASE,
    *(f"{DATABASE}-{suffix}" for suffix in ("journal", "wal", "shm")),
)
# Thousands of trials with hundreds of epochs each.
MOST_TRIALS = 2**28

_STEMS = "|".join(Path(name).stem for name in (DESIGN, EPOCHS, RESULT, REPORT, SPECIFICATION))
_BESIDE = re.compile(rf"\.(?:{_STEMS})-{DRAWN}\.(?:json|html|yaml)")


# JSON has lists where we have tuples.
KeptArm = Annotated[tuple[str, str, str | None], Field(strict=False)]


class ExplorationDesign(Content):
    """How many trials an exploration has, from its ``design.json``.

    ``arms`` has question, label and key of each arm, the key None where it is not tried; ``base`` is the base's key.
    """

    arms: list[KeptArm]
    base: str
    seeds: int

    @property
    def trials(self) -> int:
        """Each specification once with each seed."""
        return len({self.base, *(key for _, _, key in self.arms if key)}) * self.seeds


class KeptDifference(Content):
    """As ``Difference``; an end of the interval is None where it is infinite."""

    mean: float
    low: float | None = None
    high: float | None = None


class KeptFinding(Content):
    """As ``ArmFinding``; ``label`` is that of the arm."""

    label: str = Field(validation_alias=AliasPath("arm", "label"))
    accuracy: KeptDifference
    detected: bool
    sentence: str


class KeptRefusal(Content):
    """An arm that was not tried, and why."""

    label: str
    reason: str


class KeptEffect(Content):
    """As ``Effect``; an end of the interval is None where it is infinite."""

    here: float
    there: float
    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def effect(self) -> Effect:
        """With infinite ends again."""
        low = -math.inf if self.low is None else self.low
        return Effect(self.here, self.there, self.mean, low, math.inf if self.high is None else self.high)


class KeptClaim(Content):
    """As ``ClaimFinding``."""

    name: str
    seeds: int
    effects: dict[str, KeptEffect]


class ExplorationResult(Content):
    """The content of ``result.json``; an earlier version tested no claims."""

    arms: list[KeptFinding]
    untried: list[KeptRefusal]
    about: list[str]
    claim: KeptClaim | None = None


def read_design(study: Path) -> ExplorationDesign | None:
    """The design of an exploration; None where there is none yet.

    Raises:
        RunFileError: It cannot be read, or is damaged.
    """
    return _read_if_there(study / DESIGN, ExplorationDesign)


def read_result(study: Path) -> ExplorationResult | None:
    """The result of an exploration; as ``read_design``."""
    return _read_if_there(study / RESULT, ExplorationResult)


def _read_if_there(file: Path, model: type[C]) -> C | None:
    return read_run_file(file, lambda path: read_content(path, model)) if os.path.lexists(file) else None


class TrialValue(Content):
    """What of the value of ``run_trial`` is used afterwards; all of it is kept."""

    model_config = ConfigDict(extra="allow", strict=False)

    history: Annotated[list[EpochRow], Field(min_length=1)]
    kept_epoch: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0.0)]
    params: Annotated[int, Field(ge=0)]
    multiply_adds: Annotated[int, Field(ge=0)]
    validation_images: Annotated[int, Field(ge=1)]
    rank_accuracy: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    rank_images: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _kept_is_an_epoch(self) -> TrialValue:
        epochs = [row.epoch for row in self.history]
        if epochs != list(range(1, len(epochs) + 1)) or (self.kept_epoch or 1) > len(epochs):
            raise ValueError("its epochs are not counted from 1")
        return self


class _Trial(Content):
    """A line of ``trials.jsonl``."""

    key: Annotated[str, Field(pattern=r"^[^/]{1,100}/\d{1,9}$")]
    value: TrialValue | None
    failure: str | None
    seconds: float
    attempts: int = 1

    @model_validator(mode="after")
    def _has_ended(self) -> _Trial:
        if (self.value is None) == (self.failure is None):
            raise ValueError("expected either a value or a failure")
        return self


def is_ours(name: str) -> bool:
    """Whether a study has a file or folder of this name; also one that a killed process has left behind."""
    if name in (DESIGN, TRIALS, RESULT, REPORT, EPOCHS, *OF_A_SEARCH):
        return True
    return bool(_BESIDE.fullmatch(name) or re.fullmatch(rf"\.images-{DRAWN}", name))


def is_begun(path: Path) -> bool:
    """Whether a folder has a study, or what is left of one that ended before it had begun, and nothing else."""
    if (path / DESIGN).is_file():
        return True
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError:  # whoever writes there says why that cannot be done
        return False
    return bool(names) and all(map(is_ours, names))


def clear_study(path: Path) -> None:
    """Refuses a folder in which a link stands where a study reads or writes; removes what a killed process has left.

    Raises:
        RunFileError: There is one.
    """
    refuse_links(path, is_ours)
    remove_leftovers(path, lambda name: _BESIDE.fullmatch(name) is not None)


def open_study(path: Path, design: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Begins a study, or continues one of the same design; the caller has claimed the folder.

    Args:
        path: Its folder, which exists.
        design: The plain values that decide the results.

    Returns:
        The trials that were finished before, by key.

    Raises:
        RequestError: The folder holds a study of another design, which the message names; a file of it is damaged.
        OutputError, StorageError: The design cannot be written.
    """
    clear_study(path)
    file = path / DESIGN
    if not file.exists():
        folder.write_record(file, design)
        return {}
    try:
        before = read_run_file(file, _object)
    except RunFileError as failure:
        raise RequestError(f"{failure} Give another folder with {option('out')}.") from None
    plain = json.loads(json.dumps(design))
    differing = [key for key in plain if plain[key] != before.get(key)]
    if differing:
        differences = ", ".join(_difference(key, before.get(key), plain[key]) for key in differing)
        raise RequestError(
            f"{path}: holds a study with another design; {differences}. "
            f"Give another folder with {option('out')}, or the old request to continue that study."
        )
    return read_trials(path)


def _object(path: Path) -> dict[str, Any]:
    content = read_json_file(path)
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    if reason := newer_schema(content):
        raise RunFileError(f"{path}: {reason}", "newer")
    return content


def _difference(key: str, before: Any, now: Any) -> str:
    texts = [json.dumps(value) for value in (before, now)]
    if max(map(len, texts)) > 80:
        return f"{key} differs"
    return f"{key} was {texts[0]} and is {texts[1]}"


def read_trials(path: Path) -> dict[str, dict[str, Any]]:
    """The finished trials by key; removes a last line that was cut off when the process was killed.

    Raises:
        RunFileError: The file cannot be read, or a line of it is damaged.
    """
    file = path / TRIALS
    if not os.path.lexists(file):
        return {}
    content = read_run_file(file, lambda p: read_bounded(p, MOST_TRIALS))
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with folder.storing(file), file.open("r+b") as opened:
            opened.truncate(len(whole))
    return _trials(whole, file)


def watch_trials(path: Path) -> dict[str, dict[str, Any]]:
    """As ``read_trials``, while another process writes them: a last line that is not whole yet is left alone."""
    file = path / TRIALS
    if not os.path.lexists(file):
        return {}
    content = read_run_file(file, lambda p: read_bounded(p, MOST_TRIALS))
    return _trials(content[: content.rfind(b"\n") + 1], file)


def _trials(whole: bytes, file: Path) -> dict[str, dict[str, Any]]:
    trials: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        try:
            trial = validated(read_json(line), _Trial, file).model_dump(exclude_unset=True)
        except ValueError as failure:
            raise RunFileError(
                f"{file}: line {number} is damaged ({shortened(str(failure))}). Take it out; its trial is run again."
            ) from None
        trials[trial["key"]] = trial
    return trials


def read_epochs(path: Path) -> dict[str, int]:
    """How many epochs of each specification fit into the time of a trial, as ``epochs.json`` has it; empty without one.

    Raises:
        RunFileError: The file cannot be read, or is damaged.
    """
    file = path / EPOCHS
    if not os.path.lexists(file):
        return {}
    kind = TypeAdapter(dict[str, Annotated[int, Field(ge=1, strict=True)]])
    try:
        return read_run_file(file, lambda p: kind.validate_python(_object(p)))
    except RunFileError as failure:
        raise RunFileError(
            f"{failure} Remove it, and the epochs are measured again.", failure.reason
        ) from None


def add_trial(path: Path, trial: Mapping[str, Any]) -> None:
    """Appends a finished trial; all of it is on disk when this returns, or nothing.

    Raises:
        StorageError: It cannot be written.
    """
    append_line(path / TRIALS, (json.dumps(trial, allow_nan=False) + "\n").encode())
