"""The files that learners write."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from conviction.errors import OutputError, RequestError
from conviction.exercises.catalogue import EXERCISES
from conviction.exercises.exercise import Exercise
from conviction.runs import folder

# Larger files are no solutions.
MOST_BYTES = 200_000


def file_of(exercise: Exercise, directory: Path) -> Path:
    """Where the solution of an exercise is kept: ``07_conv2d.py``."""
    return directory / f"{EXERCISES.index(exercise) + 1:02}_{exercise.name}.py"


def stub_file(exercise: Exercise) -> str:
    """What a learner begins with: the task as a comment, and the function without its body."""
    number = EXERCISES.index(exercise) + 1
    comment = [
        f"Exercise {number} of {len(EXERCISES)}: {exercise.title}",
        "",
        *wrap(exercise.task, 100),
        "",
        f"Check it:      conviction exercise check {number}",
        f"For a nudge:   conviction exercise hint {number}",
    ]
    return "\n".join(f"# {line}".rstrip() for line in comment) + "\n\n" + exercise.stub


def start(exercise: Exercise, directory: Path) -> tuple[Path, bool]:
    """Writes the file of an exercise if it is not there yet.

    Returns:
        The file, and whether it is new.

    Raises:
        RequestError: Something else has its name.
        StorageError: It cannot be written.
        OutputError: The folder cannot be made.
    """
    path = file_of(exercise, directory)
    if path.is_file():
        return path, False
    if path.exists() or path.is_symlink():
        raise RequestError(
            f"exercise: {path} is there, and is no file. Move it away, or name another folder."
        )
    with folder.storing(path):
        directory.mkdir(parents=True, exist_ok=True)
    folder.write_text(path, stub_file(exercise))
    return path, True


def read(exercise: Exercise, directory: Path) -> str:
    """The content of a learner's file.

    Raises:
        RequestError: It is not there, or no text.
        OutputError: It cannot be read.
    """
    path = file_of(exercise, directory)
    number = EXERCISES.index(exercise) + 1
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RequestError(
            f"exercise: {path} was not found. Write it with: conviction exercise start {number}"
        ) from None
    except OSError as failure:
        raise OutputError(f"{path}: cannot be read ({failure.strerror}).") from None
    if len(content) > MOST_BYTES:
        raise RequestError(f"exercise: {path}: expected at most {MOST_BYTES:,} bytes; got {len(content):,}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise RequestError(
            f"exercise: {path}: expected text in UTF-8; byte {failure.start + 1} is none."
        ) from None
