"""What a model file may hold at most, and reading no more than that. docs/security.md gives the reasons."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from conviction.errors import ArtefactError, SourceNotFoundError, listed_names

# Neither a protobuf nor a flatbuffer can be larger.
MOST_FILE_BYTES = 2**31 - 1
# A card has some 5 kB, and 100 more for each class.
MOST_CARD_BYTES = 4_000_000
# A SavedModel has 11,000 operations for the 270 layers of the largest backbone; 200 layers may follow.
MOST_NODES = 50_000

ONLY_OURS = (
    "conviction opens what 'conviction export' wrote; for a model of another program use that program."
)


def read_bytes(path: Path, most: int = MOST_FILE_BYTES) -> bytes:
    """The content of a model file.

    Nothing is waited for, as at a pipe, and nothing is read without end, as from a device.

    Args:
        path: Of a regular file, or of a link to one.
        most: Bytes.

    Raises:
        SourceNotFoundError: There is none.
        ArtefactError: It is not a regular file, has more bytes, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            about = os.fstat(descriptor)
            _check_kind(about, path, most)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(about.st_size + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise SourceNotFoundError(f"{path}: there is no such file.") from None
    except OSError as failure:
        raise ArtefactError(f"{path}: cannot be read ({failure.strerror or failure}).") from None
    if len(content) != about.st_size:
        raise ArtefactError(f"{path}: cannot be read; it changes meanwhile.")
    return content


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The content of a member of an archive, which ours hold as it is, so that none is larger than its file.

    Raises:
        KeyError: There is none, or there are several.
        zipfile.BadZipFile: It is compressed or larger, or its checksum is another.
    """
    each = [info for info in archive.infolist() if info.filename == name]
    if len(each) != 1:
        raise KeyError(name)
    if each[0].compress_type != zipfile.ZIP_STORED or each[0].file_size > most:
        raise zipfile.BadZipFile(name)
    return archive.read(each[0])


def _check_kind(about: os.stat_result, path: Path, most: int) -> None:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    if not stat.S_ISREG(about.st_mode):
        kind = next((name for matches, name in kinds if matches(about.st_mode)), "a device")
        raise ArtefactError(f"{path}: expected a regular file; this is {kind}.")
    if about.st_size > most:
        raise ArtefactError(
            f"{path}: has {about.st_size:,} bytes; at most {most:,} are read. Export the model again."
        )


def check_parts(odd: Iterable[str], path: object, what: str = "operations") -> None:
    """Refuses a file that has anything beyond what ours have.

    Raises:
        ArtefactError: There is something in ``odd``; the message lists it.
    """
    names = listed_names(odd)
    if names:
        raise ArtefactError(
            f"{path}: has {what} that none of our networks has ({names}), so it is not opened. {ONLY_OURS}"
        )


def too_large(path: object) -> ArtefactError:
    """The error for a network with more parts than any of ours."""
    return ArtefactError(f"{path}: describes a larger network than any of ours, so it is not opened.")


def check_finite(weights: np.ndarray, path: object) -> None:
    """Refuses weights that are not numbers.

    Raises:
        ArtefactError: There is a NaN or an infinity among them.
    """
    if np.issubdtype(weights.dtype, np.floating) and not np.isfinite(weights).all():
        raise ArtefactError(f"{path}: has weights that are not finite numbers. Export the model again.")
