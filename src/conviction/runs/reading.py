"""Why a file of a run cannot be read: damage is one reason of many, and only then is the file called damaged."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from conviction.config.text import MOST_SHOWN, read_json, read_json_file, shortened
from conviction.errors import ConvictionError, RunFileError, UnknownKeyError
from conviction.runs.folder import ENVIRONMENT, read_member
from conviction.runs.inside import refuse_link
from conviction.version import __version__

T = TypeVar("T")


def read_run_file(path: Path, reader: Callable[[Path], T]) -> T:
    """What ``reader`` makes of a file.

    Raises:
        RunFileError: It cannot be read; its ``reason`` says why.
        MemoryError: It does not fit into memory, which says nothing about the file.
    """
    try:
        _refuse_what_is_no_file(path)
        # An error of the system is the same for every reader, and some readers would hide it.
        with path.open("rb"):
            pass
        return reader(path)
    except MemoryError:
        raise
    # Keras, h5py, NumPy and zipfile raise whatever a damaged file leads to.
    except Exception as failure:
        raise trouble_with(path, failure) from None


def _refuse_what_is_no_file(path: Path) -> None:
    """Refuses a link, and what could be read for ever."""
    refuse_link(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise RunFileError(f"{path}: expected a file; this is a pipe or a device. Remove it.", "special")


def trouble_with(path: Path, failure: Exception) -> RunFileError:
    """The error that says what ``failure`` means for a person who wants to read ``path``."""
    if isinstance(failure, RunFileError):
        return failure
    if isinstance(failure, OSError) and failure.errno is not None:
        return _refused(path, failure)
    if isinstance(failure, ImportError):
        return _lacking(path, failure)
    newer = _newer(path)
    if newer:
        return RunFileError(f"{path}: {newer}", "newer")
    key = _unknown_key(failure)
    if key:
        return RunFileError(
            f"{path}: it has the key '{shortened(key)}', which conviction {__version__} does not know. If a newer "
            "version wrote it, update conviction; otherwise take the key out of the file.",
            "newer",
        )
    if isinstance(failure, ConvictionError):  # a value that the specification does not take
        return RunFileError(f"{path}: {failure}", "value")
    reason = shortened(str(failure) or type(failure).__name__)
    return RunFileError(f"{path}: the file is damaged ({reason}).", "damaged")


def _refused(path: Path, failure: OSError) -> RunFileError:
    if isinstance(failure, FileNotFoundError):
        return RunFileError(f"{path}: there is no such file.", "missing")
    if isinstance(failure, IsADirectoryError):
        return RunFileError(f"{path}: expected a file; this is a folder.", "folder")
    if isinstance(failure, PermissionError):
        return RunFileError(
            f"{path}: this user has no permission to read the file. Its owner can give it.", "permission"
        )
    return RunFileError(
        f"{path}: the system could not read the file ({failure.strerror}). The file itself may be sound; try again.",
        "unreadable",
    )


def _lacking(path: Path, failure: ImportError) -> RunFileError:
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        package = failure.name.split(".")[0]
        return RunFileError(
            f"{path}: to read it, Python needs the package '{package}', which is not installed here. Install it and "
            "start again.",
            "package",
        )
    reason = shortened(str(failure))
    return RunFileError(f"{path}: what is needed to read it could not be imported ({reason}).", "package")


def _unknown_key(failure: Exception) -> str:
    if isinstance(failure, ValidationError):
        first = failure.errors()[0]
        return ".".join(map(str, first["loc"])) if first["type"] == "extra_forbidden" else ""
    return failure.key if isinstance(failure, UnknownKeyError) else ""


def _newer(path: Path) -> str:
    """Which newer program wrote the file, in a sentence; empty if none did, as far as can be seen."""
    written = {"conviction": (_version_of_run(path.parent), __version__)}
    if path.suffix == ".keras":
        written["Keras"] = (_version_of_keras(path), _installed_keras())
    for name, (theirs, ours) in written.items():
        if _numbers(theirs) > _numbers(ours) > ():
            return f"it was written by {name} {theirs}, and this is {name} {ours}. Update {name}."
    return ""


def _version_of_run(run: Path) -> str:
    try:
        version = str(read_json_file(run / ENVIRONMENT)["versions"]["conviction"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return version if len(version) <= MOST_SHOWN else ""


def _version_of_keras(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            version = str(read_json(read_member(archive, "metadata.json"))["keras_version"])
            return version if len(version) <= MOST_SHOWN else ""
    except Exception:  # a damaged archive; whatever that leads to
        return ""


def _installed_keras() -> str:
    from importlib import metadata

    try:
        return metadata.version("keras")
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
