"""Archives that learners upload: measured while they arrive, kept under a hash of their content, never unpacked."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path

from conviction.data.decode import SUFFIXES as PICTURES
from conviction.data.decode import UnreadableImageError, declared_size
from conviction.data.decoded import LARGEST_IN_MEMORY
from conviction.data.npz import declared_bytes
from conviction.data.tree import TAR_SUFFIXES, ZIP_SUFFIXES, UnreadableFileError, open_tree
from conviction.errors import SourceError
from conviction.runs import folder
from conviction.runs.data_content import read_source
from conviction.server.limits import Limits
from conviction.web.jobs.records import Job

MOST_BYTES = 200 * 2**20
# The most uploads of one learner; the oldest one that is not needed is removed to make room.
MOST_KEPT = 10
MOST_PIXELS = Limits().pixels
# Of one learner that arrive at the same time.
MOST_AT_ONCE = 3
# An upload that sends nothing for so long is ended, and so is one that is slower than this on average, or takes longer
# in all: a slow line of 1 Mbit/s sends the largest archive in time.
PAUSE_SECONDS, WHOLE_SECONDS = 30.0, 1800.0
SLOWEST_BYTES = 4096
# Files in an archive: reading each takes a fraction of a millisecond, during which other learners share the processor.
MOST_FILES = 20_000
# For looking at what an archive declares, in a process of its own.
CHECK_SECONDS = 120.0
SUFFIXES = (*ZIP_SUFFIXES, *TAR_SUFFIXES, ".npz")
# For the browser, which compares only what follows the last dot.
ACCEPTED = ",".join(dict.fromkeys(f".{suffix.rpartition('.')[2]}" for suffix in SUFFIXES))

# Archives that are being checked right now, and by how many requests; they are neither offered nor removed.
_looked_at: Counter[Path] = Counter()
# How many uploads arrive now, by the folder of their owner.
_arriving: Counter[Path] = Counter()


def uploads_of(root: Path, owner: str) -> list[Path]:
    """The uploads of an owner that passed every check, newest first."""
    return [p for p in _kept(root, owner) if not _looked_at[p]]


def _kept(root: Path, owner: str) -> list[Path]:
    owner_folder = root / _folder(owner)
    files = [p for p in owner_folder.glob("*/*") if p.is_file()] if owner_folder.is_dir() else []
    return sorted(files, key=lambda p: p.parent.stat().st_mtime_ns, reverse=True)


def check_name(name: str) -> str:
    """A file name that is safe to keep.

    Raises:
        SourceError: It does not end like the name of an archive.
    """
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("\\", "/").rpartition("/")[2]).strip("-.")[-80:]
    if not base.lower().endswith(SUFFIXES):
        raise SourceError(f"'{name[-80:]}': expected an archive of pictures ({', '.join(SUFFIXES)}).")
    return base


@contextlib.asynccontextmanager
async def arriving(
    chunks: AsyncIterator[bytes],
    name: str,
    root: Path,
    owner: str,
    needed: Callable[[], Collection[str]],
) -> AsyncIterator[Path]:
    """Keeps an archive, unless the block that checks it fails; then the oldest ones that are not needed are removed.

    Args:
        chunks: Its bytes as they arrive.
        name: As the browser calls it.
        root: The folder of all uploads.
        owner: Whose it is.
        needed: Returns the sources that must stay; called only when there is no room.

    Raises:
        SourceError: As ``receive``; or there are ``MOST_KEPT`` already, and each of them is needed.
        StorageError: No space is left.
    """
    path, is_new = await receive(chunks, name, root, owner)
    _looked_at[path] += 1
    good = False
    try:
        _spare(root, owner, path, needed)
        yield path
        good = True
    finally:
        _looked_at[path] -= 1
        if not good and is_new and not _looked_at[path]:
            _remove(path)
    for old in _spare(root, owner, path, needed):
        _remove(old)


def _spare(root: Path, owner: str, new: Path, needed: Callable[[], Collection[str]]) -> list[Path]:
    """The oldest uploads, as many as have to go so that there is room for a new one.

    Raises:
        SourceError: Too few of them may be removed.
    """
    others = [p for p in _kept(root, owner) if p != new]
    excess = len(others) + 1 - MOST_KEPT
    if excess <= 0:
        return []
    stays = set(needed())
    may_go = [p for p in reversed(others) if not _looked_at[p] and str(p) not in stays]
    if not may_go:
        raise SourceError(
            f"{new.name}: at most {MOST_KEPT} uploads are kept, and all of them are in use: by what you have built, by "
            "a run, or because they are being read right now. Remove the folder of a run that you no longer need, "
            "and upload it again."
        )
    return may_go[:excess]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the same content under another name is still in there
        path.parent.rmdir()


def sources_of(runs: Path, jobs: Iterable[Job]) -> set[str]:
    """The sources of an owner's runs, and of their jobs that wait, run or were paused.

    Args:
        runs: Where the runs are.
        jobs: Of the owner.
    """
    sources = {j.argv[1] for j in jobs if j.kind in ("fit", "explore") and (j.alive or j.state == "paused")}
    # Those of deleted runs as well, which may be brought back.
    written = [*runs.glob(f"*/{folder.DATA}"), *runs.glob(f".deleted/*/*/{folder.DATA}")]
    return sources | {_source(p, p.stat().st_mtime_ns) for p in written if p.is_file()}


@lru_cache(maxsize=1000)
def _source(data: Path, _: int) -> str:
    try:
        # A run writes ``~`` for the home folder.
        return os.path.expanduser(read_source(data))
    except (OSError, ValueError, RecursionError):
        return ""  # a damaged run needs nothing


def check_declared(path: Path) -> None:
    """Refuses an archive that would take too much memory once unpacked, by what its headers declare.

    Raises:
        SourceError: Arrays or a picture are too large for an upload; or the archive cannot be read.
    """
    if path.suffix.lower() == ".npz":
        size = declared_bytes(path)
        if size > LARGEST_IN_MEMORY:
            raise SourceError(
                f"{path.name}: its arrays take {size / 1e9:,.1f} GB of memory; in an upload they may take at most "
                f"{LARGEST_IN_MEMORY / 1e9:.0f}. Save fewer or smaller images, or train with conviction fit."
            )
        return
    with open_tree(path) as tree:
        if len(tree.sizes) > MOST_FILES:
            raise SourceError(
                f"{path.name}: it holds {len(tree.sizes):,} files; an upload may hold at most {MOST_FILES:,}. Choose "
                "fewer, or train with conviction fit."
            )
        for name in tree.sizes:
            if not name.lower().endswith(PICTURES):
                continue
            try:
                width, height = declared_size(tree.read(name))
            except (UnreadableFileError, UnreadableImageError):
                continue  # load_source lists what cannot be read
            if width * height > MOST_PIXELS:
                raise SourceError(
                    f"{path.name}: {name[-80:]} has {width}x{height} pixels; in an upload a picture may "
                    f"have at most {MOST_PIXELS:,}. Make it smaller, or train with conviction fit."
                )


async def receive(chunks: AsyncIterator[bytes], name: str, root: Path, owner: str) -> tuple[Path, bool]:
    """Saves an archive as it arrives.

    Args:
        chunks: Its bytes as they arrive.
        name: As the browser calls it.
        root: The folder of all uploads.
        owner: Whose it is.

    Returns:
        Its path, and whether it is new. Whether it holds images is decided by ``load_source``.

    Raises:
        SourceError: It is too large, too slow, empty, or its name is that of no archive; or too many others of the same
            owner are arriving.
        StorageError: No space is left.
    """
    base = check_name(name)
    owner_folder = root / _folder(owner)
    if _arriving[owner_folder] >= MOST_AT_ONCE:
        raise SourceError(
            f"{base}: {MOST_AT_ONCE} uploads of yours are still arriving. Wait until one of them is complete."
        )
    _arriving[owner_folder] += 1
    try:
        return await _received(_timed(chunks, base), base, owner_folder)
    finally:
        _arriving[owner_folder] -= 1


async def _timed(chunks: AsyncIterator[bytes], base: str) -> AsyncIterator[bytes]:
    """The same chunks, as long as they come.

    Raises:
        SourceError: They are too slow.
    """
    began, size = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise SourceError(
                f"{base}: nothing has arrived for {PAUSE_SECONDS:g} seconds. Upload it again."
            ) from None
        size += len(chunk)
        seconds = time.monotonic() - began
        if seconds > WHOLE_SECONDS or (seconds > PAUSE_SECONDS and size < SLOWEST_BYTES * seconds):
            raise SourceError(
                f"{base}: it arrives too slowly ({size / seconds / 1000:.1f} kB/s). Upload it again."
            )
        yield chunk


async def _received(chunks: AsyncIterator[bytes], base: str, owner_folder: Path) -> tuple[Path, bool]:
    with folder.storing(owner_folder):
        owner_folder.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=owner_folder, prefix=".upload-")
        size, digest = 0, hashlib.blake2b(digest_size=8)
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > MOST_BYTES:
                        raise SourceError(f"{base}: an archive may have at most {MOST_BYTES // 2**20} MB.")
                    digest.update(chunk)
                    file.write(chunk)
            if not size:
                raise SourceError(f"{base}: the file is empty.")
            kept = owner_folder / digest.hexdigest() / base
            is_new = not kept.exists()
            kept.parent.mkdir(exist_ok=True)
            Path(beside).replace(kept)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    return kept, is_new


def _folder(owner: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", owner) or "own"
