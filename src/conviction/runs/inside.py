"""What a run or a study writes below its folder stays there: nothing follows a link, and only what we make is removed.

A folder that somebody has sent may have links where we write. It is data at rest: who can change it while a command
runs has the rights of the person who runs it, so names are looked at before they are used, and not held open.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from conviction.errors import RunFileError
from conviction.runs import folder

# As ``tempfile`` draws it for the name of a file beside another.
DRAWN = r"[a-z0-9_]{8}"
_FILES = [Path(name) for name in folder.FILES if not name.endswith("/")]
_BESIDE = re.compile(rf"\.({'|'.join(re.escape(f.stem) for f in _FILES)})-{DRAWN}(\.[a-z]+)")
_EARLIER = re.compile(re.escape(folder.EARLIER_EVALUATION).replace(r"\{\}", r"\d+"))
_OURS = {name.removesuffix("/") for name in folder.FILES}


def is_ours(name: str) -> bool:
    """Whether a run has a file or folder of this name."""
    return name in _OURS or bool(_EARLIER.fullmatch(name))


def is_beside(name: str) -> bool:
    """Whether it is the name of a file that a killed process had started to write beside one of a run.

    >>> is_beside(".report-k2_x81ab.html"), is_beside(".bashrc-old")
    (True, False)
    """
    beside = _BESIDE.fullmatch(name)
    return beside is not None and any((f.stem, f.suffix) == beside.groups() for f in _FILES)


def refuse_links(path: Path, ours: Callable[[str], bool] = is_ours) -> None:
    """Refuses a folder in which a link stands where we read or write.

    Args:
        path: An existing folder; it may be a link itself.
        ours: Which names we use in it.

    Raises:
        RunFileError: There is one, or the folder cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            links = sorted(entry.name for entry in entries if ours(entry.name) and entry.is_symlink())
    except OSError as failure:
        raise RunFileError(f"{path}: the folder cannot be read ({failure.strerror}).", "unreadable") from None
    if links:
        refuse_link(path / links[0])


def refuse_link(path: Path) -> None:
    """Refuses a link in place of a file or folder of a run.

    Raises:
        RunFileError: It is one.
    """
    if path.is_symlink():
        raise RunFileError(
            f"{path}: this is a link, and nothing in a run or study may lead out of it. Put what it points to in its "
            "place, or remove it.",
            "link",
        )


def inner_folder(path: Path, name: str) -> Path:
    """A folder in a run or study to write in, made if it is missing.

    Raises:
        RunFileError: A link stands there.
        OutputError, StorageError: It cannot be made; a file stands there.
    """
    inner = path / name
    refuse_link(inner)
    with folder.storing(inner):
        inner.mkdir(exist_ok=True)
    return inner


def append_line(path: Path, line: bytes) -> None:
    """Adds a line to a file, made if it is missing; it is on disk when this returns, and all of it or nothing is.

    Raises:
        RunFileError: A link stands there.
        OutputError, StorageError: It cannot be written.
    """
    refuse_link(path)
    with folder.storing(path), path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            # A disk that has room for a part of it takes that part without an error.
            while line:
                line = line[file.write(line) or 0 :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def remove_leftovers(path: Path, left: Callable[[str], bool] = is_beside) -> None:
    """Removes files that a killed process had started to write, by the names that we give them."""
    if not path.is_dir() or path.is_symlink():
        return
    for entry in path.iterdir():
        if left(entry.name) and stat.S_ISREG(entry.lstat().st_mode):
            entry.unlink(missing_ok=True)
