"""What learners do with their runs: rename, delete, bring back."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from conviction.errors import RequestError
from conviction.runs import folder
from conviction.web.jobs.starts import EXPLORATIONS, MOST_NAME, is_run_name, next_name, run_folder
from conviction.web.work.lab import LEARNERS, Lab

# Names that the page needs beside those of the runs.
RESERVED = (EXPLORATIONS, LEARNERS, "learning.json", "guesses.jsonl")


@dataclass(frozen=True)
class DeletedRun:
    """A run that can still be brought back: its name, and where it is."""

    name: str
    path: Path


def rename_run(lab: Lab, owner: str, name: str, new: str) -> None:
    """Renames a run, and what is known about it.

    Raises:
        RequestError: It has not begun or is worked on, or the new name is none, or that of something else.
        RunError: Another process works on it.
        OutputError, StorageError: The folder cannot be renamed.
    """
    root = lab.root(owner)
    path = run_folder(root, name)
    if not is_run_name(new):
        raise RequestError(
            f"'{new[:80]}' cannot be the name of a run. Type a name of up to {MOST_NAME} characters without / and \\ "
            "that does not begin with a dot."
        )
    target = root / new
    if new == name:
        return
    _refuse_while_worked_on(lab, path)
    if not (path / folder.CONFIG).is_file():
        raise RequestError(f"{name} has not begun, so there is nothing to rename yet.")
    if new in RESERVED or target.exists() or lab.jobs.at(target) is not None:
        raise RequestError(f"The name {new} is taken; choose another one.")
    with folder.claimed(path), folder.storing(target):
        path.rename(target)
    lab.jobs.forget(target)  # of an earlier run that never began
    lab.jobs.move(path, target)


def delete_run(lab: Lab, owner: str, name: str) -> None:
    """Puts a run where it can be brought back from.

    Raises:
        RequestError, RunError: Something works on it.
        OutputError, StorageError: The folder cannot be moved.
    """
    path = run_folder(lab.root(owner), name)
    _refuse_while_worked_on(lab, path)
    if not path.is_dir():
        lab.jobs.forget(path)
        return
    target = lab.deleted(owner) / f"{time.time_ns():x}" / name
    with folder.claimed(path), folder.storing(target):
        target.parent.mkdir(parents=True)
        path.rename(target)
    lab.jobs.move(path, target)


def deleted_runs(lab: Lab, owner: str) -> list[DeletedRun]:
    """The runs that can be brought back, the last one that was deleted first."""
    paths = sorted(lab.deleted(owner).glob("*/*"), key=lambda p: p.parent.name, reverse=True)
    return [DeletedRun(path.name, path) for path in paths if path.is_dir()]


def bring_back(lab: Lab, owner: str, run: DeletedRun) -> str:
    """Undoes a deletion.

    Returns:
        The name that the run has now: its own, or one with a number if that is taken.

    Raises:
        OutputError, StorageError: The folder cannot be moved.
    """
    target = run_folder(lab.root(owner), run.name)
    if target.exists() or lab.jobs.last_at(target) is not None:
        target = target.with_name(next_name(target.parent, run.name, lab.jobs))
    with folder.storing(target):
        run.path.rename(target)
        run.path.parent.rmdir()
    lab.jobs.move(run.path, target)
    return target.name


def discard(lab: Lab, run: DeletedRun) -> None:
    """Deletes a run for good.

    Raises:
        OutputError, StorageError: It cannot be removed.
    """
    with folder.storing(run.path):
        shutil.rmtree(run.path.parent)
    lab.jobs.forget(run.path)


def _refuse_while_worked_on(lab: Lab, path: Path) -> None:
    if lab.jobs.at(path) is not None:
        raise RequestError(f"Something is still working on {path.name}; wait until it is done, or pause it.")
