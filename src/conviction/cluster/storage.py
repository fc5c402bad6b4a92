"""A folder that every node sees: one on a shared disk, or behind an address that fsspec understands."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from conviction.artefacts.predict import PictureFile
from conviction.data.listing import LABELS_FILE, kind_of
from conviction.data.tree import MAX_FILE_BYTES, UnreadableFileError
from conviction.data.unused import PassedOver
from conviction.data.walking import walk_folders
from conviction.errors import ClusterError, ConvictionError, RequestError, SourceError, SourceNotFoundError
from conviction.runs import folder

# How many pictures, and how many bytes, are fetched from an address at once: one at a time would wait for the network.
AHEAD, AHEAD_BYTES = 64, 64 * 2**20


@dataclass(frozen=True)
class Storage:
    """A folder, as plain values that can be sent to nodes.

    Attributes:
        address: As it was typed, a path or an address.
        root: The absolute path, or the path as ``fs`` calls it.
        fs: The fsspec file system; None for a path of this machine.
    """

    address: str
    root: str
    fs: Any | None

    def at(self, name: str) -> str:
        """The path of a file in it."""
        return f"{self.root}/{name}"

    def open(self, name: str) -> IO[bytes]:
        """Opens a file in it for reading."""
        return open(self.at(name), "rb") if self.fs is None else self.fs.open(self.at(name), "rb")

    def names(self, inside: str = "") -> set[str]:
        """The names in it, or in a folder inside it; empty if that does not exist."""
        path = self.at(inside).rstrip("/")
        try:
            if self.fs is None:
                return set(os.listdir(path))
            self.fs.invalidate_cache()
            entries = self.fs.ls(path, detail=False)
        except FileNotFoundError:
            return set()
        return {name.rstrip("/").rpartition("/")[2] for name in entries if name.rstrip("/") != path}

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Writes a file in it, which is complete or absent whatever happens.

        An object in a store appears once it is complete; on a disk the file is written beside its path and renamed.
        """
        if self.fs is not None:
            try:
                with self.fs.open(self.at(name), "wb") as file:
                    yield file
            except ConvictionError:
                raise
            except Exception as failure:  # each storage has errors of its own
                raise refused(self.at(name), failure) from None
            return
        path = Path(self.at(name))
        with folder.storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with folder.replacing(path) as beside, beside.open("wb") as file:
            yield file

    def sweep(self, inside: str, *stems: str) -> None:
        """Removes what killed processes were writing beside files whose names begin with ``stems``."""
        if self.fs is None:
            for name in self.names(inside):
                if name.startswith(tuple(f".{stem}-" for stem in stems)):
                    Path(self.at(inside), name).unlink(missing_ok=True)


def open_storage(address: str) -> Storage:
    """A path, or an address such as ``s3://bucket/folder``; nothing is read yet.

    Raises:
        RequestError: fsspec does not know the address, or lacks a package for it.
    """
    if "://" not in address:
        return Storage(address, os.path.abspath(address), None)
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise RequestError(f"{address}: needs fsspec: pip install 'conviction[ray]'") from None
    try:
        fs, root = url_to_fs(address)
    except ImportError as failure:
        package = "s3fs" if address.startswith(("s3:", "s3a:")) else "it"
        raise RequestError(
            f"{address}: fsspec needs a package for it ({failure}): pip install {package}, on every node."
        ) from None
    except ValueError as failure:
        raise RequestError(
            f"{address}: expected a folder or an address that fsspec knows ({failure})."
        ) from None
    if "file" in _protocols(fs):
        return Storage(address, root.rstrip("/"), None)
    return Storage(address, root.rstrip("/"), fs)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


@contextmanager
def asked(storage: Storage, what: str) -> Iterator[None]:
    """Turns whatever a storage raises into a one-sentence error.

    Raises:
        SourceNotFoundError: There is nothing there.
        SourceError: The storage refuses.
    """
    try:
        yield
    except ConvictionError:
        raise
    except FileNotFoundError:
        raise SourceNotFoundError(f"{storage.address}: there is no such folder.") from None
    except Exception as failure:  # each storage has errors of its own
        raise SourceError(f"{storage.address}: {what} ({short_error(failure)}).") from None


def refused(path: str, failure: BaseException) -> ClusterError:
    """The error for a storage that refuses a request."""
    return ClusterError(f"{path}: the storage refuses ({short_error(failure)})")


def short_error(failure: BaseException) -> str:
    """An error of another library in a few words."""
    return " ".join(f"{type(failure).__name__}: {failure}".split())[:300]


def pictures_in(storage: Storage, passed: list[PassedOver]) -> Iterator[tuple[str, int]]:
    """(path below the folder, bytes or -1) of every picture at every depth; one folder is in memory at a time.

    The order is that of ``predict`` without a cluster: by the parts of the path. Other files are added to
    ``passed``.

    Raises:
        SourceNotFoundError: There is no such folder.
        SourceError: It, or a folder in it, cannot be listed.
    """
    with asked(storage, "it cannot be listed"):
        if storage.fs is not None:
            yield from _remote(storage, storage.root, passed)
        else:
            os.scandir(storage.root).close()  # raises if there is no such folder, or no permission
            # Only the folders are listed first, to decide which links to follow; there are fewer folders than pictures.
            folders = {inside for inside, _ in walk_folders(Path(storage.root), passed)}
            yield from _local(storage.root, "", folders, passed)


def _local(
    folder: str, below: str, folders: Collection[str], passed: list[PassedOver]
) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda e: e.name)
    for entry in entries:
        name = below + entry.name
        if name in folders:
            yield from _local(entry.path, name + "/", folders, passed)
        elif entry.is_file():
            if _is_picture(name, passed):
                yield name, -1
        elif not entry.is_dir():  # a link to a folder has already been passed over
            passed.append(("broken_link" if entry.is_symlink() else "special_file", name))


def _remote(storage: Storage, folder: str, passed: list[PassedOver]) -> Iterator[tuple[str, int]]:
    assert storage.fs is not None
    entries = {info["name"].rstrip("/"): info for info in storage.fs.ls(folder, detail=True)}
    for path in sorted(entries, key=lambda n: n.rpartition("/")[2]):
        name = path[len(storage.root) + 1 :]
        if path == folder:
            continue
        if entries[path]["type"] == "directory":
            yield from _remote(storage, path, passed)
        elif _is_picture(name, passed):
            size = entries[path].get("size")
            yield name, -1 if size is None else int(size)


def _is_picture(name: str, passed: list[PassedOver]) -> bool:
    parts = name.split("/")
    kind = kind_of(parts)
    if kind == "picture":
        return True
    if kind != "system" and parts[-1] != LABELS_FILE:
        passed.append((kind, name))
    return False


class ListedPictures:
    """Listed pictures, read in their order; ``unreached`` counts those that could not be reached, ``why`` says why.

    Raises:
        ClusterError: While reading, the storage refuses, which is not the fault of a picture.
    """

    def __init__(self, storage: Storage, names: Sequence[str], sizes: Sequence[int]) -> None:
        self.unreached, self.why = 0, ""
        self._storage, self._names, self._sizes = storage, names, sizes
        self._fetched: dict[int, bytes | BaseException] = {}

    def files(self, prefix: str) -> list[PictureFile]:
        """The files as ``classify`` takes them, with a prefix before their names."""
        read = self._read_path if self._storage.fs is None else self._read_ahead
        return [PictureFile(f"{prefix}/{name}", partial(read, i)) for i, name in enumerate(self._names)]

    def _read_path(self, i: int) -> bytes:
        try:
            return Path(self._storage.at(self._names[i])).read_bytes()
        except OSError as failure:
            raise self._unreachable(failure) from None

    def _read_ahead(self, i: int) -> bytes:
        if self._sizes[i] > MAX_FILE_BYTES:
            raise UnreadableFileError(f"larger than {MAX_FILE_BYTES:,} bytes")
        if i not in self._fetched:
            self._fetched = self._fetch(i)
        content = self._fetched.pop(i)
        if isinstance(content, bytes):
            return content
        if isinstance(content, FileNotFoundError):
            raise self._unreachable(content)
        raise refused(self._storage.at(self._names[i]), content)

    def _fetch(self, start: int) -> dict[int, bytes | BaseException]:
        assert self._storage.fs is not None
        wanted: list[int] = []
        total = 0
        for i in range(start, min(start + AHEAD, len(self._names))):
            if self._sizes[i] > MAX_FILE_BYTES:
                continue
            total += max(0, self._sizes[i])
            if wanted and total > AHEAD_BYTES:
                break
            wanted.append(i)
        # Not fs.cat, which takes a name such as a[1].png for a pattern.
        paths = [self._storage.at(self._names[i]) for i in wanted]
        contents = self._storage.fs.cat_ranges(paths, None, None, on_error="return")
        return dict(zip(wanted, contents, strict=True))

    def _unreachable(self, failure: OSError) -> UnreadableFileError:
        self.unreached += 1
        gone = isinstance(failure, FileNotFoundError)
        self.why = "it was listed, but is gone" if gone else failure.strerror or str(failure)
        return UnreadableFileError(self.why)
