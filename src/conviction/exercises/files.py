"""The files that learners write."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from conviction.audience import listening, option
from conviction.errors import ConvictionError, OutputError, RequestError
from conviction.exercises.catalogue import EXERCISES
from conviction.exercises.exercise import Exercise
from conviction.runs import folder

# No solution is larger.
MOST_BYTES = 200_000
# Held from reading a file to writing it, so that no other thread of this process writes in between.
_storing = threading.Lock()


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
    with _reading(path):
        _check_kind(path)
        if path.is_file():
            return path, False
    with folder.storing(path):
        directory.mkdir(parents=True, exist_ok=True)
    folder.write_text(path, stub_file(exercise))
    return path, True


@dataclass(frozen=True)
class LearnerFile:
    """A learner's file, or the task where there is none yet.

    Attributes:
        text: The content, with a line feed at the end of every line.
        version: The hash of its bytes; empty where there is no file.
    """

    text: str
    version: str


class ChangedElsewhereError(RequestError):
    """The file is no longer the version that was edited: another program or tab has changed or deleted it.

    Attributes:
        current: What is there now.
    """

    def __init__(self, path: Path, current: LearnerFile) -> None:
        super().__init__(f"{path} was changed or deleted outside this page.")
        self.current = current


def read(exercise: Exercise, directory: Path) -> str:
    """The content of a learner's file.

    Raises:
        RequestError: It is not there, or no text.
        OutputError: It cannot be read.
    """
    known = load(exercise, directory)
    if not known.version:
        number = EXERCISES.index(exercise) + 1
        raise RequestError(
            f"exercise: {file_of(exercise, directory)} was not found. Write it with: conviction exercise start "
            f"{number}"
        )
    return known.text


def load(exercise: Exercise, directory: Path) -> LearnerFile:
    """A learner's file, or the task where there is none.

    Raises:
        RequestError: It is too large, or no text.
        OutputError: It cannot be read.
    """
    path = file_of(exercise, directory)
    with _reading(path):
        if not path.exists() and not path.is_symlink():
            return LearnerFile(stub_file(exercise), "")
        _check_kind(path)
        if path.stat().st_size > MOST_BYTES:
            raise _too_large(path, path.stat().st_size)
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise RequestError(
            f"{path}: expected UTF-8 text; byte {failure.start + 1} is not valid UTF-8. Save the file as UTF-8 in your "
            "editor."
        ) from None
    return LearnerFile(text.replace("\r\n", "\n").replace("\r", "\n"), _version(content))


def store(exercise: Exercise, directory: Path, text: str, version: str) -> str:
    """Writes what a learner has changed.

    Args:
        exercise: The exercise.
        directory: Where the file is; made if it is not there.
        text: The whole file.
        version: Of the file that was changed, from ``load`` or the last ``store``.

    Returns:
        The version of what is there now.

    Raises:
        ChangedElsewhereError: Another version is there, which stays as it is.
        RequestError: The text is too long, or what is there is no text.
        OutputError, StorageError: It cannot be read or written.
    """
    path = file_of(exercise, directory)
    content = text.encode("utf-8")
    if len(content) > MOST_BYTES:
        raise _too_large(path, len(content))
    with _storing:
        current = load(exercise, directory)
        if current.version and current.text == text:
            return current.version
        if current.version != version:
            raise ChangedElsewhereError(path, current)
        with folder.storing(path):
            directory.mkdir(parents=True, exist_ok=True)
            # Follow a symbolic link, and keep the permissions of the file.
            path = path.resolve()
            mode = path.stat().st_mode if current.version else None
        with folder.replacing(path, mode) as beside:
            beside.write_bytes(content)
            # Once more, because other processes do not wait for this one.
            latest = load(exercise, directory)
            if latest != current:
                raise ChangedElsewhereError(path, latest)
    return _version(content)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns the system's errors of reading into ours."""
    try:
        yield
    except ConvictionError:
        raise
    except OSError as failure:
        raise OutputError(f"{path}: cannot be read ({failure.strerror}). Check its permissions.") from None


def _too_large(path: Path, size: int) -> RequestError:
    return RequestError(
        f"{path}: expected at most {MOST_BYTES:,} bytes; got {size:,}. Delete what the exercise does not need."
    )


def _check_kind(path: Path) -> None:
    """Refuses a path that exists but is not a regular file."""
    if not path.is_file() and (path.exists() or path.is_symlink()):
        raise RequestError(
            f"{path} exists but is not a regular file. Move or rename it"
            + (
                "."
                if listening() == "page"
                else f", or choose another folder with {option('folder', 'directory')}."
            )
        )


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
