"""NumPy archives: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (and ``x_validation``), or ``x``, ``y``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from conviction.data.arrays import Arrays
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
                class_names = [str(c) for c in archive[CLASS_NAMES]] if CLASS_NAMES in names else None
                parts = {p: (archive[x], archive[y]) for p, x, y in _pairs(path, names)}
    except SourceError:
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
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as failure:
        raise SourceError(f"{path}: not a readable npz file ({failure}).") from None
    return Arrays(path.stem, str(path), parts, class_names)


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
            f"and y; got {', '.join(sorted(names)) or 'none'}."
        )
    return pairs
