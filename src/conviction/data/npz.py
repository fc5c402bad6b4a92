"""NumPy archives: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (and ``x_validation``), or ``x``, ``y``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from conviction.data.arrays import Arrays, require_memory
from conviction.errors import SourceError, StorageError

_PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
CLASS_NAMES = "class_names"


def read_npz(path: Path) -> Arrays:
    """Reads an npz file; pickled content is refused.

    Raises:
        SourceError: Not an npz file, damaged, pickled, or without the expected arrays.
    """
    try:
        # Opened here, because np.load leaves a damaged file open.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise SourceError(f"{path}: expected an npz archive; this is a single .npy array.")
            with archive:
                names = set(archive.files)
                pairs = _pairs(path, names)
                wanted = [CLASS_NAMES, *(name for _, *both in pairs for name in both)]
                require_memory(_declared(archive, path, names.intersection(wanted)), str(path))
                class_names = None
                if CLASS_NAMES in names:
                    class_names = [str(c) for c in np.atleast_1d(_array(archive, CLASS_NAMES))]
                parts = {p: (_array(archive, x), _array(archive, y)) for p, x, y in pairs}
    except (SourceError, StorageError, PermissionError):
        raise
    except ValueError as failure:
        if "pickle" in str(failure).lower() or "object" in str(failure).lower():
            raise SourceError(
                f"{path}: it holds Python objects (pickled), which are never loaded because they can run "
                "code. Save plain arrays: x.astype('uint8'), y.astype('int64')."
            ) from None
        raise SourceError(f"{path}: not a readable npz file ({failure}).") from None
    except MemoryError:
        raise StorageError(f"{path}: its arrays do not fit into memory.") from None
    except Exception as failure:  # zipfile and numpy raise whatever a broken header leads to
        raise SourceError(f"{path}: not a readable npz file ({' '.join(str(failure).split())}).") from None
    return Arrays(path.stem, str(path), parts, class_names)


def declared_bytes(path: Path) -> int:
    """What all arrays of an npz take in memory by what their headers say; 0 where that cannot be read.

    Nothing of them is unpacked, and ``read_npz`` says what is wrong with a file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return _declared(archive, path, set(archive.files))
    except Exception:  # as below
        return 0


def _declared(archive: np.lib.npyio.NpzFile, path: Path, names: set[str]) -> int:
    """In bytes: the larger of what the header of each array and what the archive says."""
    assert archive.zip is not None  # before it is closed
    members = archive.zip.infolist()
    # ``zipfile`` bounds what it unpacks for these methods alone, and NumPy writes no other.
    if any(i.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for i in members):
        raise SourceError(f"{path}: it is compressed by a method that NumPy does not use.")
    total = 0
    for member in members:
        if member.filename.removesuffix(".npy") in names:
            with archive.zip.open(member) as file:
                total += max(member.file_size, _header_bytes(file))
    return total


def _header_bytes(file: IO[bytes]) -> int:
    """What the header at the beginning says that the array takes."""
    first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return int(math.prod(shape) * dtype.itemsize)


def _array(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    found = archive[name]
    if not isinstance(found, np.ndarray):  # a member that is no array comes as bytes
        raise ValueError(f"{name} is no array")
    return found


def _pairs(path: Path, names: set[str]) -> list[tuple[str, str, str]]:
    pairs = [
        (part, f"x_{suffix}", f"y_{suffix}")
        for suffix, part in _PARTS.items()
        if {f"x_{suffix}", f"y_{suffix}"} <= names
    ]
    if {"x", "y"} <= names and not pairs:
        return [("", "x", "y")]
    if not any(part == "train" for part, _, _ in pairs):
        raise SourceError(
            f"{path}: expected the arrays x_train and y_train (with x_test and y_test if there are), or x "
            f"and y; got {', '.join(map(repr, sorted(names)[:10])) or 'none'}."
        )
    return pairs
