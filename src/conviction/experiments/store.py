"""What an experiment keeps: a design that does not change, and a line for every finished trial."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasPath, Field

from conviction.audience import option
from conviction.errors import RequestError, RunFileError
from conviction.runs import folder
from conviction.runs.content import C, Content, read_content
from conviction.runs.reading import read_run_file

DESIGN, TRIALS, RESULT, REPORT = "design.json", "trials.jsonl", "result.json", "report.html"
EPOCHS = "epochs.json"


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


class ExplorationResult(Content):
    """The content of ``result.json``."""

    arms: list[KeptFinding]
    untried: list[KeptRefusal]
    about: list[str]


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
    return read_run_file(file, lambda path: read_content(path, model)) if file.exists() else None


def open_study(path: Path, design: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Begins a study, or continues one of the same design; the caller has claimed the folder.

    Args:
        path: Its folder, which exists.
        design: The plain values that decide the results.

    Returns:
        The trials that were finished before, by key.

    Raises:
        RequestError: The folder holds a study of another design; the message names what differs.
    """
    file = path / DESIGN
    if not file.exists():
        folder.write_json(file, dict(design))
        return {}
    try:
        before = read_run_file(file, lambda path: json.loads(path.read_text(encoding="utf-8")))
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


def _difference(key: str, before: Any, now: Any) -> str:
    texts = [json.dumps(value) for value in (before, now)]
    if max(map(len, texts)) > 80:
        return f"{key} differs"
    return f"{key} was {texts[0]} and is {texts[1]}"


def read_trials(path: Path) -> dict[str, dict[str, Any]]:
    """The finished trials by key; removes a last line that was cut off when the process was killed."""
    file = path / TRIALS
    trials: dict[str, dict[str, Any]] = {}
    if not file.exists():
        return trials
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with file.open("r+b") as opened:
            opened.truncate(len(whole))
    for line in whole.splitlines():
        trial = json.loads(line)
        trials[trial["key"]] = trial
    return trials


def add_trial(path: Path, trial: Mapping[str, Any]) -> None:
    """Appends a finished trial; it is on disk when this returns.

    Raises:
        StorageError: It cannot be written.
    """
    file = path / TRIALS
    with folder.storing(file), file.open("ab", buffering=0) as opened:
        opened.write((json.dumps(trial, allow_nan=False) + "\n").encode())
        os.fsync(opened.fileno())
