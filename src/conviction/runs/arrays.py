"""NumPy archives in a run: what they unpack to is bounded before anything is unpacked."""

from __future__ import annotations

import math
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from conviction.data.image_set import HASH_BYTES

# A network of 200 layers, its optimizer and the best weights so far have a few thousand.
MOST_ARRAYS = 20_000


def read_arrays(file: IO[bytes], most: int) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` by name; nothing is unpickled.

    Args:
        file: Open to read, at the beginning of the archive.
        most: How many bytes all of them together may take in memory.

    Raises:
        ValueError: They take more, by their headers or by what the archive says; one holds objects or is not an array.
        OSError, zipfile.BadZipFile: It is damaged.
    """
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it is not an archive of arrays")
    with archive:
        assert archive.zip is not None  # before it is closed
        members = archive.zip.infolist()
        if len(members) > MOST_ARRAYS:
            raise ValueError(f"it has {len(members):,} arrays, more than {MOST_ARRAYS:,}")
        total = 0
        for member in members:
            # ``zipfile`` bounds what it unpacks for these methods alone, and NumPy writes no other.
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ValueError("it is compressed by a method that NumPy does not use")
            with archive.zip.open(member) as opened:
                total += max(member.file_size, _declared_bytes(opened))
        if total > most:
            raise ValueError(f"its arrays take {total:,} bytes, more than {most:,}")
        arrays = {name: archive[name] for name in archive.files}
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):  # a member that is no array comes as bytes
            raise ValueError(f"{name[:100]} is not an array")
    return arrays


def _declared_bytes(file: IO[bytes]) -> int:
    """What the header at the beginning says that the array takes; 0 for what has no header."""
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        return 0
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return int(math.prod(shape) * dtype.itemsize)


def check_answers(
    probabilities: np.ndarray,
    labels: np.ndarray,
    hashes: np.ndarray,
    classes: int,
    *,
    missing: bool = False,
) -> None:
    """Refuses arrays that cannot be answers to images.

    Args:
        probabilities: To be (..., n, classes) from 0 to 1.
        labels: To be (n,) whole numbers below ``classes``.
        hashes: To be (n, 16) uint8.
        classes: How many there are.
        missing: Whether probabilities may be missing, that is, not a number.

    Raises:
        ValueError: They are something else.
    """
    n = len(labels) if labels.ndim == 1 else -1
    if probabilities.dtype.kind != "f" or probabilities.shape[-2:] != (n, classes):
        raise ValueError(f"expected the probabilities of {classes} classes for each image")
    if labels.dtype.kind not in "iu" or hashes.dtype != np.uint8 or hashes.shape != (n, HASH_BYTES):
        raise ValueError("its arrays do not belong together")
    if n and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"a label is not one of {classes} classes")
    # Rows add up to 1, to within what float32 rounds.
    fine = (probabilities >= 0) & (probabilities <= 1.001)
    if not (fine | np.isnan(probabilities) if missing else fine).all():
        raise ValueError("a probability is not between 0 and 1")
