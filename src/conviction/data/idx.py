"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

Format (LeCun, Cortes and Burges, the MNIST database): two zero bytes, a type code, the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values in C order.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.data.arrays import Arrays, require_memory
from conviction.data.layout import as_text
from conviction.data.listing import kind_of
from conviction.data.origin import Origin
from conviction.data.unused import PassedOver, Unused, count_unused
from conviction.errors import SourceError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIXES = {
    "train": "train",
    "t10k": "test",
    "test": "test",
    "validation": "validation",
    "val": "validation",
}


@dataclass(frozen=True)
class IdxFolder(Origin):
    """A folder of IDX files, and the name of the file of images of each part."""

    path: Path
    images: dict[str, str]


def find_idx(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The (images, labels) files of a folder by part: ``train-images-idx3-ubyte[.gz]`` and so on."""
    files = _idx_files(folder)
    pairs = {}
    for part in dict.fromkeys(_PREFIXES.values()):
        images, labels = files.get((part, "images")), files.get((part, "labels"))
        if images and labels:
            pairs[part] = (images[0], labels[0])
    return pairs


def _idx_files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The files for (part, "images" or "labels"), the one to read first."""
    files: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*-*idx*")):
        # Some copies are named with a dot: train-images.idx3-ubyte.
        match = re.match(r"([a-z0-9]+)-(images|labels)", path.name)
        if match and match[1] in _PREFIXES and path.is_file():
            files.setdefault((_PREFIXES[match[1]], match[2]), []).append(path)
    return files


def read_idx_folder(folder: Path) -> Arrays:
    """Reads the training, validation and test files of a folder of IDX files.

    Raises:
        SourceError: No training pair, images without labels or labels without images, or a file that is damaged.
    """
    pairs, files = find_idx(folder), _idx_files(folder)
    if "train" not in pairs:
        raise SourceError(
            f"{folder}: expected train-images-idx3-ubyte and train-labels-idx1-ubyte (.gz or not)."
        )
    for (part, role), (first, *_) in files.items():
        if part not in pairs:
            raise SourceError(
                f"{folder}: {first.name} has no file of {'labels' if role == 'images' else 'images'} beside it. "
                "Add it, or move this file out of the folder."
            )
    parts = {part: (read_idx(x), read_idx(y)) for part, (x, y) in pairs.items()}
    origin = IdxFolder(folder, {part: x.name for part, (x, _) in pairs.items()})
    return Arrays(as_text(folder.name), str(folder), origin, parts, unused=_unused(folder, files))


def _unused(folder: Path, files: dict[tuple[str, str], list[Path]]) -> tuple[Unused, ...]:
    known = {path for several in files.values() for path in several}
    passed: list[PassedOver] = [("second_file", p.name) for several in files.values() for p in several[1:]]
    for path in folder.iterdir():
        kind = kind_of([path.name])
        if path.is_dir() and kind == "other_file":
            passed.append(("beside_idx", path.name + "/"))
        elif path not in known and kind not in ("system", "hidden_picture"):
            passed.append(("beside_idx", path.name))
    return count_unused(passed)


def read_idx(path: Path) -> np.ndarray:
    """Reads one IDX file to an array of its declared shape and type (native byte order).

    Raises:
        SourceError: Wrong magic number, or fewer or more bytes than its header declares.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
                raise SourceError(f"{path}: not an IDX file (it starts with {magic.hex() or 'nothing'}).")
            header = file.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise SourceError(f"{path}: the IDX header is cut short.")
            shape = struct.unpack(f">{magic[3]}I", header)
            dtype = np.dtype(_TYPES[magic[2]])
            expected = math.prod(shape) * dtype.itemsize
            if path.suffix == ".gz" or expected <= path.stat().st_size:
                require_memory(expected, str(path))
            # Reading one byte more than declared shows a file that is longer than it says.
            content = _read_at_most(file, expected + 1)
    except (OSError, EOFError, zlib.error) as failure:
        raise SourceError(f"{path}: cannot be read ({failure}).") from None
    if len(content) != expected:
        got = f"{len(content):,}" if len(content) < expected else "more"
        raise SourceError(f"{path}: its header declares {shape}, {expected:,} bytes; got {got}.")
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as failure:  # more dimensions than NumPy has
        raise SourceError(f"{path}: its header declares {len(shape)} dimensions ({failure}).") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(file, limit: int) -> bytes:  # type: ignore[no-untyped-def]
    """Reads in pieces, so that an absurd declared size costs no more memory than the file has."""
    pieces = []
    while limit > 0 and (piece := file.read(min(limit, 2**24))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
