"""NumPy archives: ``x_train``, ``y_train``, ``x_test``, ``y_test``, ``x_validation``, or ``x``, ``y``, under the names
that people use.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from conviction.data.arrays import Arrays, require_memory
from conviction.data.image_set import PARTS
from conviction.data.layout import PART_WORDS, as_text
from conviction.data.origin import Origin
from conviction.data.unused import count_unused
from conviction.errors import SourceError, StorageError

CLASS_NAMES = "class_names"
_ROLES = {"x": "x", "y": "y"}
_ROLES |= dict.fromkeys(("image", "images", "img", "imgs", "data", "pixels"), "x")
_ROLES |= dict.fromkeys(("label", "labels", "target", "targets"), "y")
_PART_WORDS = PART_WORDS | {"dev": "validation"}
_JOINED = re.compile(rf"(x|y)_?({'|'.join(_PART_WORDS)})|({'|'.join(_PART_WORDS)})_?(x|y)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class NpzFile(Origin):
    """A NumPy archive, and the name of the array of images of each part; the part is "" where there is one pair."""

    path: Path
    images: dict[str, str]


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
                pairs = array_pairs(names, str(path))
                used = {CLASS_NAMES, *(name for both in pairs.values() for name in both)}
                require_memory(_declared(archive, path, names & used), str(path))
                class_names = None
                if CLASS_NAMES in names:
                    class_names = [str(c) for c in np.atleast_1d(_array(archive, CLASS_NAMES))]
                    _check_once(class_names, path)
                parts = {p: (_array(archive, x), _array(archive, y)) for p, (x, y) in pairs.items()}
                unused = count_unused(("unknown_array", name) for name in names - used)
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
    origin = NpzFile(path, {part: x for part, (x, _) in pairs.items()})
    return Arrays(as_text(path.stem), str(path), origin, parts, class_names, keys=pairs, unused=unused)


def declared_bytes(path: Path) -> int:
    """What all arrays of an npz take in memory according to their headers; 0 where that cannot be read.

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
    member = archive[name]
    if not isinstance(member, np.ndarray):  # a member that is no array comes as bytes
        raise ValueError(f"{name} is not an array")
    return member


def array_pairs(names: Collection[str], where: str) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each part: "train", "validation", "test", or "" where there is one pair only.

    Args:
        names: Of all arrays; ``X_val``, ``xTest`` and ``train_images`` are understood.
        where: For messages.

    Raises:
        SourceError: Images without labels or labels without images, two arrays for one thing, or nothing to learn
            from.
    """
    known: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        meaning = _meaning(name)
        if meaning is not None and known.setdefault(meaning, name) != name:
            raise SourceError(
                f"{where}: the arrays {known[meaning]} and {name} stand for the same thing; expected one of them. Save "
                "the file without the other."
            )
    pairs = {}
    for part in ("", *PARTS):
        x, y = known.get(("x", part)), known.get(("y", part))
        if x and y:
            pairs[part] = (x, y)
        elif part not in ("", "train") and (x or y):
            other = "labels" if x else "images"
            raise SourceError(
                f"{where}: the array {x or y} has no array of {other} beside it; expected "
                f"{'y' if x else 'x'}_{part}. Add it, or save the file without {x or y}."
            )
    if "train" in pairs:
        pairs.pop("", None)  # which is then named as not used
    elif "" in pairs and len(pairs) > 1:
        pairs = {"train": pairs.pop(""), **pairs}
    if not pairs.keys() & {"", "train"}:
        raise SourceError(
            f"{where}: expected the arrays x_train and y_train (with x_test and y_test if there are any), or x and y; "
            f"got {', '.join(map(repr, sorted(names)[:10])) or 'none'}."
        )
    return pairs


def _meaning(name: str) -> tuple[str, str] | None:
    """("x" or "y", part or "") for a name that says both; None for any other."""
    plain = "_".join(w for w in re.split(r"[\W_]+", _CAMEL.sub("_", name).lower()) if w)
    joined = _JOINED.fullmatch(plain)
    if joined:
        return joined[1] or joined[4], _PART_WORDS[joined[2] or joined[3]]
    words = plain.split("_")
    roles = [_ROLES[w] for w in words if w in _ROLES]
    parts = [_PART_WORDS[w] for w in words if w in _PART_WORDS]
    if len(roles) != 1 or len(parts) > 1 or len(words) != len(roles) + len(parts):
        return None
    return roles[0], parts[0] if parts else ""


def _check_once(class_names: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(class_names).items() if count > 1]
    if twice:
        raise SourceError(
            f"{path}: class_names has '{twice[0]}' more than once; expected a different name for each class."
        )
