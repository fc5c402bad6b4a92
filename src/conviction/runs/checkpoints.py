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
from typing import Any

import numpy as np

from conviction.errors import RunFileError
from conviction.runs.folder import CHECKPOINTS, replacing, storing
from conviction.runs.reading import read_run_file, trouble_with
from conviction.training import EpochRow, EpochTiming, TrainingState

_FORMAT = b"conviction checkpoint 1\n"
_OTHER_FORMAT = re.compile(rb"conviction checkpoint (\d{1,9})\n")
_NAME = re.compile(r"(\d{6})-(\d{9})\.ckpt")
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
    folder = run / CHECKPOINTS
    with storing(folder):
        folder.mkdir(exist_ok=True)
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
    for folder in (run, run / CHECKPOINTS):
        for leftover in folder.glob(".*-*"):
            if leftover.is_file():
                leftover.unlink(missing_ok=True)


def _names(run: Path) -> list[Path]:
    """The checkpoints, newest first."""
    folder = run / CHECKPOINTS
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


def _unpack(path: Path) -> tuple[TrainingState, dict[str, Any]]:
    content = path.read_bytes()
    other = _OTHER_FORMAT.match(content)
    if other and int(other[1]) > 1:
        raise RunFileError(
            f"{path}: a newer version of conviction wrote this checkpoint. Update conviction.", "newer"
        )
    digest, newline, payload = content[len(_FORMAT) :].partition(b"\n")
    whole = content.startswith(_FORMAT) and newline and hashlib.sha256(payload).hexdigest().encode() == digest
    if not whole:
        raise ValueError("its content does not have the hash that was written with it")
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    text = json.loads(arrays.pop("text").tobytes())

    def group(kind: str) -> list[np.ndarray]:
        return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]

    state = TrainingState(
        epoch=text["epoch"],
        step=text["step"],
        variables={kind: group(kind) for kind in text["kinds"]},
        running=text["running"],
        history=tuple(EpochRow(**row) for row in text["history"]),
        timing=tuple(EpochTiming(**row) for row in text["timing"]),
        seconds=text["seconds"],
        best=tuple(group("best")),
    )
    return state, text["about"]
