"""NumPy archives: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (and ``x_validation``), or ``x``, ``y``."""

from __future__ import annotations

from pathlib import Path
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
                _check_members(archive, path)
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


def _check_members(archive: np.lib.npyio.NpzFile, path: Path) -> None:
    members = archive.zip.infolist() if archive.zip else []
    # ``zipfile`` bounds what it unpacks for these methods alone, and NumPy writes no other.
    if any(i.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for i in members):
        raise SourceError(f"{path}: it is compressed by a method that NumPy does not use.")
    require_memory(sum(i.file_size for i in members), str(path))


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
