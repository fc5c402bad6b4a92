"""Decoded pixels on disk, so that a picture is decoded once, and mapped, so that it needs no memory.

An entry is a folder that is made under another name and renamed once it is complete. So a reader only ever sees
complete entries, whoever else is writing or was killed. Each time an entry is opened, a sample of its rows is checked
against their hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from conviction.data.image_set import content_hash
from conviction.errors import RequestError, StorageError

CACHE_VARIABLE = "CONVICTION_CACHE"
LIMIT_VARIABLE = "CONVICTION_CACHE_GB"
DEFAULT_LIMIT_GB = 20.0
# Version of the format: when it changes, older entries are never read again.
VERSION = "1"
# Rows whose hash is checked when an entry is opened, spread evenly. Data lost in a power failure is usually a long
# stretch. Such a sample hits it if it is longer than 1/64 of the rows; a single damaged block of a large set it misses.
CHECKED_ROWS = 64
# A folder that is unfinished after this time belongs to a process that was killed.
ABANDONED_SECONDS = 24 * 3600.0
# Small files about sets of pictures; those used longest ago are removed.
MOST_NOTES = 200
_PIXELS, _THUMBS, _INDEX, _ABOUT = "pixels.bin", "thumbs.bin", "index.npz", "about.json"
# Kinds of entries.
PIXELS, FEATURES = "pixels", "features"
# What was given in memory. It does not give way to other entries, because runs read their images there again.
IN_MEMORY = "in-memory"
# Programs that a backend has compiled.
COMPILED = "compiled"
# Of a piece of an entry of features, all by row.
_ROWS, _HASHES, _SUMS = "rows.npy", "hashes.npy", "sums.npy"


@dataclass(frozen=True)
class Decoded:
    """Decoded rows: pixels (n, h, w, c), thumbs (n, 32, 32, 1 or 3), both uint8 and perhaps mapped.

    ``hashes`` and ``pixel_hashes`` are (n,) of 16 bytes: the content of the file, and of its row of pixels.
    """

    pixels: np.ndarray
    thumbs: np.ndarray
    hashes: np.ndarray
    pixel_hashes: np.ndarray


@dataclass(frozen=True)
class Entry:
    """An entry as ``conviction cache`` lists it: decoded pixels, or the features that a frozen network makes of them.

    ``shape`` begins with the number of pictures.
    """

    kind: str
    key: str
    name: str
    shape: tuple[int, ...]
    bytes: int
    last_used: float

    @property
    def folder(self) -> Path:
        """Where it is."""
        return cache_root() / self.kind / self.key


def cache_root() -> Path:
    """``CONVICTION_CACHE``, by default the platform's user cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("conviction")


def limit_bytes() -> int:
    """How large the cache may become (``CONVICTION_CACHE_GB``, default 20).

    Raises:
        RequestError: The variable is not a number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, "") or str(DEFAULT_LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0.0 < limit < 1e9:
        raise RequestError(f"{LIMIT_VARIABLE}: expected gigabytes, a number above 0; got '{text}'.")
    return int(limit * 1e9)


def key_of(*parts: Any) -> str:
    """The name of an entry: a hash of everything that decides its content."""
    text = "\0".join([VERSION, *map(str, parts)])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Rows:
    """The files of a new entry, in which any process can write any rows.

    Thumbs that are the same array as the pixels are not written: the entry then has one file for both.
    """

    folder: Path

    def write(self, start: int, pixels: np.ndarray, thumbs: np.ndarray) -> None:
        """Writes both from row ``start`` on.

        Raises:
            OSError: There is no room, or the folder no longer exists.
        """
        self._write(_PIXELS, start, pixels)
        if thumbs is not pixels:
            self._write(_THUMBS, start, thumbs)

    def _write(self, name: str, start: int, rows: np.ndarray) -> None:
        # Not appended to and not cut short: other processes write other rows at the same time.
        file = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            os.lseek(file, start * math.prod(rows.shape[1:]), os.SEEK_SET)
            view = np.ascontiguousarray(rows).reshape(-1).data
            while view:  # a write may be partial
                view = view[os.write(file, view) :]
        finally:
            os.close(file)

    def close_gaps(self, kept: Sequence[tuple[int, int]], name: str, row_bytes: int) -> None:
        """Moves rows to the front, so that only those of the (start, count) in ``kept`` are left, in that order."""
        at = 0
        with (self.folder / name).open("r+b") as file:
            for start, count in kept:
                if start != at:
                    file.seek(start * row_bytes)
                    block = file.read(count * row_bytes)
                    file.seek(at * row_bytes)
                    file.write(block)
                at += count
            file.truncate(at * row_bytes)


@dataclass(frozen=True)
class Index:
    """What an entry holds besides its pixels, one row per picture.

    ``shapes`` are those of one row of pixels and of one thumb; ``thumb_sums`` are CRC-32.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    hashes: np.ndarray
    pixel_hashes: np.ndarray
    thumb_sums: np.ndarray


def finish(rows: Rows, key: str, kept: Sequence[tuple[int, int]], index: Index) -> None:
    """Makes an entry visible under its key, and removes older ones if the cache has become too large.

    Args:
        rows: Where its rows were written.
        key: Under which it is found.
        kept: (start, count) of the rows that are part of it, ascending.
        index: What else is known of those.

    Raises:
        OSError: It cannot be written.
    """
    about: dict[str, Any] = {"name": index.name}
    for field, name, shape in zip(("pixels", "thumbs"), (_PIXELS, _THUMBS), index.shapes, strict=True):
        about[field] = None
        if (rows.folder / name).exists():
            about[field] = [len(index.hashes), *shape]
            rows.close_gaps(kept, name, math.prod(shape))
    np.savez(
        rows.folder / _INDEX,
        hashes=index.hashes,
        pixel_hashes=index.pixel_hashes,
        thumb_sums=index.thumb_sums.astype(np.uint32),
    )
    (rows.folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    folder = cache_root() / PIXELS / key
    # Another process may have been first, with the same rows, and be about to open them: they stay.
    if open_entry(key) is None:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)  # damaged
        try:
            rows.folder.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first after all
                raise
    _evict(keep=folder)


@contextlib.contextmanager
def writing() -> Iterator[Rows]:
    """A folder for the rows of a new entry, which disappears unless ``finish`` was called.

    Raises:
        OSError: The cache cannot be written.
    """
    root = cache_root() / PIXELS
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        yield Rows(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Removes what killed processes have left. A folder that is being written has a young file in it."""
    for folder in root.glob(".new-*"):
        with contextlib.suppress(OSError):
            newest = max(p.stat().st_mtime for p in [folder, *folder.iterdir()])
            if time.time() - newest > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def open_entry(key: str) -> Decoded | None:
    """The rows under a key, mapped; None if there are none, or if they are damaged."""
    folder = cache_root() / PIXELS / key
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        # Opened here, because NumPy leaves a file open if it is not a complete zip.
        with (folder / _INDEX).open("rb") as file, np.load(file, allow_pickle=False) as index:
            hashes, pixel_hashes, thumb_sums = (
                index[name] for name in ("hashes", "pixel_hashes", "thumb_sums")
            )
        pixels = _mapped(folder / _PIXELS, about["pixels"])
        thumbs = _mapped(folder / _THUMBS, about["thumbs"]) if about["thumbs"] else pixels
        if not len(hashes) == len(pixel_hashes) == len(thumb_sums) == len(pixels) == len(thumbs):
            return None
    # A torn file counts as none; zipfile, NumPy and json each raise errors of their own.
    except Exception:
        return None
    for row in np.unique(np.linspace(0, len(pixels) - 1, CHECKED_ROWS).astype(int)):
        if content_hash(pixels[row].tobytes()) != pixel_hashes[row].tobytes():
            return None
        if zlib.crc32(thumbs[row].tobytes()) != thumb_sums[row]:
            return None
    with contextlib.suppress(OSError):
        os.utime(folder)
    return Decoded(pixels, thumbs, hashes, pixel_hashes)


def _mapped(path: Path, shape: list[int]) -> np.ndarray:
    rows = np.memmap(path, np.uint8, "r")
    return np.asarray(rows).reshape(shape)  # as a plain array, so that gathered rows are plain too


def save_features(key: str, name: str, hashes: np.ndarray, rows: np.ndarray) -> None:
    """Saves what a network makes of pictures, as one more piece of an entry, if the cache can be written.

    Args:
        key: Of the entry: everything that decides a row besides its picture.
        name: Of the entry, for people.
        hashes: (n,) of 16 bytes, of the pixels of each picture.
        rows: (n, ...) float32.
    """
    entry = cache_root() / FEATURES / key
    with contextlib.suppress(OSError):
        entry.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".new-", dir=entry))
        try:
            np.save(beside / _ROWS, rows, allow_pickle=False)
            np.save(beside / _HASHES, hashes.view(np.uint8).reshape(len(rows), -1), allow_pickle=False)
            np.save(beside / _SUMS, np.array([zlib.crc32(row.tobytes()) for row in rows], np.uint32))
            (beside / _ABOUT).write_text(json.dumps({"name": name}), encoding="utf-8")
            os.replace(beside / _ABOUT, entry / _ABOUT)
            beside.rename(entry / beside.name.removeprefix(".new-"))
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        _evict(keep=entry)


def load_features(key: str, shape: tuple[int, ...]) -> Iterator[tuple[bytes, np.ndarray]]:
    """The hash and row of every picture of an entry; rows of another shape and damaged ones are left out."""
    for piece in sorted((cache_root() / FEATURES / key).glob("[!.]*/")):
        try:
            hashes, sums = (np.load(piece / name, allow_pickle=False) for name in (_HASHES, _SUMS))
            rows = np.load(piece / _ROWS, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue  # gone in the meantime, or damaged
        if not len(hashes) == len(rows) == len(sums) or rows.shape[1:] != shape:
            continue
        for content, row, total in zip(hashes, rows, sums, strict=True):
            if zlib.crc32(row.tobytes()) == total:
                yield content.tobytes(), row
        with contextlib.suppress(OSError):
            os.utime(piece)


def save_note(kind: str, key: str, **arrays: np.ndarray) -> None:
    """Saves small arrays under a key, if the cache can be written; losing them costs only time."""
    folder = cache_root() / kind
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(name, folder / f"{key}.npz")
        except OSError:
            Path(name).unlink(missing_ok=True)
        by_use = sorted(folder.iterdir(), key=lambda p: -p.stat().st_mtime)
        for old in by_use[MOST_NOTES:]:  # leftovers of killed processes end up among them too
            old.unlink()


def load_note(kind: str, key: str) -> dict[str, np.ndarray] | None:
    """What ``save_note`` kept, None if there is nothing or it is damaged."""
    try:
        path = cache_root() / kind / f"{key}.npz"
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        with contextlib.suppress(OSError):
            os.utime(path)
        return arrays
    except Exception:  # as in open_entry
        return None


def entries() -> list[Entry]:
    """Every entry, the one used last first."""
    cached = []
    for kind in (PIXELS, FEATURES):
        for folder in (cache_root() / kind).glob("[!.]*"):
            try:
                cached.append(_entry(kind, folder))
            except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError):
                continue  # gone in the meantime, or damaged, and then written again when it is needed
    return sorted(cached, key=lambda e: -e.last_used)


def _entry(kind: str, folder: Path) -> Entry:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    if kind == PIXELS:
        return Entry(kind, folder.name, about["name"], tuple(about["pixels"]), size, folder.stat().st_mtime)
    pieces = [
        np.load(path, mmap_mode="r", allow_pickle=False).shape for path in folder.glob(f"[!.]*/{_ROWS}")
    ]
    shape = (sum(piece[0] for piece in pieces), *pieces[0][1:])
    return Entry(
        kind, folder.name, about["name"], shape, size, max(p.stat().st_mtime for p in folder.iterdir())
    )


def in_memory_files() -> list[Path]:
    """What was given in memory, the newest first; see ``data.in_memory``."""
    return sorted((cache_root() / IN_MEMORY).glob("[!.]*"), key=lambda path: -path.stat().st_mtime)


def clear() -> int:
    """Removes everything; returns how many bytes that were.

    Raises:
        StorageError: A part cannot be removed.
    """
    freed = 0
    for kind in (PIXELS, FEATURES, IN_MEMORY, COMPILED, "listings", "pairs", "sessions", "copies"):
        folder = cache_root() / kind
        if folder.is_dir():
            freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            try:
                shutil.rmtree(folder)
            except OSError as failure:
                raise StorageError(
                    f"{folder}: cannot be removed ({failure.strerror}). If another run is writing to it, try again "
                    "when it has ended."
                ) from None
    return freed


def _evict(keep: Path) -> None:
    """Removes the entries used longest ago. A process that has one mapped keeps it until it is done."""
    total = 0
    limit = limit_bytes()
    for entry in sorted(entries(), key=lambda e: e.key != keep.name):  # the new one first, then by last use
        total += entry.bytes
        if total > limit and entry.key != keep.name:
            shutil.rmtree(entry.folder, ignore_errors=True)
