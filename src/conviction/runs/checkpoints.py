"""Checkpoints: the last two states of a training, each in a file of its own whose damage is noticed.

A file is a line that names the format, a line with the SHA-256 of the rest, and the rest: an ``.npz`` archive with
every variable as an array, and one JSON text for everything else. Nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from conviction.config.text import open_regular, read_json
from conviction.errors import RunFileError
from conviction.runs.arrays import read_arrays
from conviction.runs.content import Content
from conviction.runs.folder import CHECKPOINTS, replacing
from conviction.runs.inside import DRAWN, inner_folder, refuse_link, remove_leftovers
from conviction.runs.reading import read_run_file, trouble_with
from conviction.training import EpochRow, EpochTiming, TrainingState

_FORMAT = b"conviction checkpoint 1\n"
_OTHER_FORMAT = re.compile(rb"conviction checkpoint (\d{1,9})\n")
_NAME = re.compile(r"(\d{6})-(\d{9})\.ckpt")
_BESIDE = re.compile(rf"\.\d{{6}}-\d{{9}}-{DRAWN}\.ckpt")
# Four times the largest network that trains on one machine with its optimizer, in bytes.
MOST_CHECKPOINT = 8 * 2**30
# The one before the last is used if the last is damaged.
_KEPT = 2


def write_checkpoint(run: Path, state: TrainingState, about: Mapping[str, Any]) -> None:
    """Adds a checkpoint to the run folder, and removes all but the last two.

    Args:
        run: The run folder.
        state: What to keep.
        about: What the state belongs to (specification, versions), in JSON.

    Raises:
        StorageError, OutputError: It cannot be written; the ones before are untouched.
    """
    folder = inner_folder(run, CHECKPOINTS)
    path = folder / f"{state.epoch:06d}-{state.step:09d}.ckpt"
    payload = _pack(state, about)
    with replacing(path) as beside:
        beside.write_bytes(_FORMAT + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    for old in _names(run)[_KEPT:]:
        old.unlink(missing_ok=True)


def read_checkpoint(run: Path) -> tuple[TrainingState, dict[str, Any], list[Path]] | None:
    """The last whole checkpoint, what it belongs to, and the damaged ones after it; None if there is no whole one.

    Raises:
        RunFileError: One cannot be read although it may be whole, such as one of another user or a newer version.
    """
    damaged: list[Path] = []
    for path in _names(run):
        try:
            return (*read_run_file(path, _unpack), damaged)
        except RunFileError as failure:
            if failure.reason != "damaged":
                raise  # going back to the one before would lose work that may be whole
            damaged.append(path)
    return None


def clear_leftovers(run: Path) -> None:
    """Removes what a killed process had started to write beside a file, in the run folder and its checkpoints."""
    remove_leftovers(run)
    remove_leftovers(run / CHECKPOINTS, lambda name: _BESIDE.fullmatch(name) is not None)


def _names(run: Path) -> list[Path]:
    """The checkpoints, newest first."""
    folder = run / CHECKPOINTS
    refuse_link(folder)
    try:
        checkpoints = [p for p in folder.iterdir() if _NAME.fullmatch(p.name)] if folder.is_dir() else []
    except OSError as failure:
        raise trouble_with(folder, failure) from None
    return sorted(checkpoints, reverse=True)


def _pack(state: TrainingState, about: Mapping[str, Any]) -> bytes:
    arrays: dict[str, Any] = {
        f"{kind}/{i:05d}": value for kind, values in state.variables.items() for i, value in enumerate(values)
    }
    arrays |= {f"best/{i:05d}": value for i, value in enumerate(state.best)}
    text = {
        "epoch": state.epoch,
        "step": state.step,
        "running": dict(state.running),
        "history": [asdict(row) for row in state.history],
        "timing": [asdict(row) for row in state.timing],
        "seconds": state.seconds,
        "kinds": list(state.variables),
        "about": about,
    }
    out = io.BytesIO()
    np.savez(out, **arrays, text=np.frombuffer(json.dumps(text).encode(), np.uint8))
    return out.getvalue()


class _About(Content):
    """What a state belongs to; see ``write_checkpoint``."""

    specification: dict[str, Any]
    versions: dict[str, Any]
    processor: str

    @model_validator(mode="after")
    def _has_epochs(self) -> _About:
        training = self.specification.get("training")
        if not isinstance(training, dict) or not isinstance(training.get("epochs"), int):
            raise ValueError("the specification has no training.epochs")
        return self


class _Text(Content):
    """A state, besides its arrays."""

    # Rows become the dataclasses that were written.
    model_config = ConfigDict(strict=False)

    epoch: Annotated[int, Field(ge=0)]
    step: Annotated[int, Field(ge=0)]
    running: dict[str, float]
    history: list[EpochRow]
    timing: list[EpochTiming]
    seconds: Annotated[float, Field(ge=0.0)]
    kinds: list[Literal["model", "optimizer", "metrics"]]
    about: _About

    @model_validator(mode="after")
    def _has_its_rows(self) -> _Text:
        if not len(self.history) == len(self.timing) == self.epoch:
            raise ValueError("it has not one row for each epoch")
        return self


def _unpack(path: Path) -> tuple[TrainingState, dict[str, Any]]:
    with open_regular(path) as file:
        head = file.readline(100)
        other = _OTHER_FORMAT.fullmatch(head)
        if other and int(other[1]) > 1:
            raise RunFileError(
                f"{path}: a newer version of conviction wrote this checkpoint. Update conviction.", "newer"
            )
        written = file.readline(100)
        begins = file.tell()
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
        if head != _FORMAT or written != digest.hexdigest().encode() + b"\n":
            raise ValueError("its content does not have the hash that was written with it")
        file.seek(begins)
        arrays = read_arrays(file, MOST_CHECKPOINT)
    # A validation loss may be infinite, and that is not what ends a training.
    content = read_json(arrays.pop("text").tobytes(), finite=False)
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    text = _Text.model_validate(content)

    def group(kind: str) -> list[np.ndarray]:
        return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]

    state = TrainingState(
        epoch=text.epoch,
        step=text.step,
        variables={kind: group(kind) for kind in text.kinds},
        running=text.running,
        history=tuple(text.history),
        timing=tuple(text.timing),
        seconds=text.seconds,
        best=tuple(group("best")),
    )
    return state, text.about.model_dump()
