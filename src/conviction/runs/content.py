"""What the JSON files of a run must hold, so that a damaged one is noticed when it is opened, not later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from conviction.runs.reading import trouble_with


class _Held(BaseModel):
    """The keys of an object that are read; it may have others, as in the files of other versions."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Counts(_Held):
    train: list[int]
    validation: list[int]
    test: list[int]


class _Rule(_Held):
    color_mode: str
    height: int
    width: int


class _Split(_Held):
    test_hash: str
    train: dict[str, str]
    validation: dict[str, str]
    test: dict[str, str]


class _Data(_Held):
    source: str
    class_names: list[str]
    counts: _Counts
    decoding: _Rule
    # The run that comes with the lesson does not say which images it had.
    split: _Split | None = None


class _Class(_Held):
    name: str
    support: int
    recall: float | None


class _Part(_Held):
    n: int
    loss: float
    accuracy: float
    accuracy_ci95: list[float]
    per_class: list[_Class] = []


class _Overfitting(_Held):
    verdict: str
    since: int | None


class _Evaluation(_Held):
    # None while the test set is sealed.
    test: _Part | None
    validation: _Part
    train: _Part
    overfitting: _Overfitting


class _Object(dict[str, Any]):
    """A JSON object of a run; a key that it lacks is an error that says which file is damaged."""

    where = "data.json"

    def __missing__(self, key: str) -> Any:
        raise trouble_with(Path(self.where), ValueError(f"it has no '{key}'"))


def read_data(path: Path) -> dict[str, Any]:
    """The content of ``data.json``.

    Raises:
        OSError, ValueError, RecursionError: It cannot be read, or does not hold what it should.
    """
    return _checked(path, _Data)


def read_evaluation(path: Path) -> dict[str, Any]:
    """The content of ``evaluation.json``; raises as ``read_data``."""
    return _checked(path, _Evaluation)


def read_object(path: Path) -> dict[str, Any]:
    """Any JSON object; raises as ``read_data``."""

    def made(values: dict[str, Any]) -> _Object:
        record = _Object(values)
        record.where = str(path)
        return record

    content = json.loads(path.read_text(encoding="utf-8"), object_hook=made)
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    return content


def _checked(path: Path, held: type[_Held]) -> dict[str, Any]:
    content = read_object(path)
    try:
        held.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return content
