"""A folder and an archive of one, seen alike: relative paths, sizes, bytes. Nothing is ever unpacked."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from conviction.errors import SourceError

# The largest picture file that is read; a 16-bit RGB TIFF of 40 megapixels has 240 MB.
MAX_FILE_BYTES = 256 * 2**20
ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class UnreadableFileError(Exception):
    """These bytes cannot be had; the message says why."""


@dataclass(frozen=True)
class Tree:
    """Files by their relative POSIX path, in an order in which reading them all is one forward pass."""

    location: Path
    sizes: dict[str, int]
    read: Callable[[str], bytes]

    def read_text(self, path: str) -> str:
        """The text of a small file.

        Raises:
            SourceError: It cannot be read, or is not UTF-8.
        """
        try:
            return self.read(path).decode("utf-8-sig")
        except (UnreadableFileError, UnicodeDecodeError) as failure:
            raise SourceError(f"{self.location}: cannot read {path} as UTF-8 text ({failure}).") from None


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive which ``open_tree`` reads."""
    return path.name.lower().endswith(ZIP_SUFFIXES + TAR_SUFFIXES)


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """Opens a folder, a ``.zip`` or a ``.tar`` (plain, gz, bz2, xz) for reading.

    Raises:
        SourceError: It is not a readable archive, or one of its names leads out of it.
    """
    if path.is_dir():
        yield _folder(path)
    elif path.name.lower().endswith(ZIP_SUFFIXES):
        try:
            with zipfile.ZipFile(path) as archive:
                yield _zip(path, archive)
        except zipfile.BadZipFile as failure:
            raise SourceError(f"{path}: not a readable zip archive ({failure}).") from None
    else:
        try:
            with tarfile.open(path) as archive:
                yield _tar(path, archive)
        except (tarfile.TarError, EOFError, zlib.error) as failure:
            raise SourceError(f"{path}: not a readable tar archive ({failure}).") from None


def _checked(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise UnreadableFileError(
            f"it has {size:,} bytes; at most {MAX_FILE_BYTES:,} are accepted for one picture"
        )


def _folder(root: Path) -> Tree:
    sizes: dict[str, int] = {}

    def unreadable(failure: OSError) -> None:
        raise SourceError(f"{failure.filename}: cannot read this folder ({failure.strerror}).")

    # os.walk does not follow links to folders, so a loop of links ends; links to files are followed.
    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        subfolders.sort()
        for file in sorted(files):
            full = Path(folder, file)
            try:
                status = full.stat()
            except OSError:
                sizes[full.relative_to(root).as_posix()] = -1  # reading it will say why
                continue
            if stat.S_ISREG(status.st_mode):  # a FIFO would block for ever
                sizes[full.relative_to(root).as_posix()] = status.st_size

    def read(name: str) -> bytes:
        _checked(sizes[name])
        try:
            return (root / name).read_bytes()
        except OSError as failure:
            raise UnreadableFileError(failure.strerror or str(failure)) from None

    return Tree(root, sizes, read)


def _refuse_escape(location: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise SourceError(
            f"{location}: the name '{name}' in it leads out of the archive. Such an archive is refused as "
            "a whole: make it anew from the folder that holds the images."
        )


def _zip(location: Path, archive: zipfile.ZipFile) -> Tree:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in sorted(archive.infolist(), key=lambda i: i.header_offset):
        _refuse_escape(location, info.filename)
        if not info.is_dir():
            members[PurePosixPath(info.filename).as_posix()] = info

    def read(name: str) -> bytes:
        info = members[name]
        _checked(info.file_size)
        if info.flag_bits & 0x1:
            raise UnreadableFileError("it is encrypted in the archive")
        try:
            with archive.open(info) as file:
                # No more than was declared: a bomb that lies about its size ends in an error here.
                return file.read(info.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as failure:
            raise UnreadableFileError(f"damaged in the archive: {failure}") from None

    return Tree(location, {name: info.file_size for name, info in members.items()}, read)


def _tar(location: Path, archive: tarfile.TarFile) -> Tree:
    members: dict[str, tarfile.TarInfo] = {}
    for info in archive:
        _refuse_escape(location, info.name)
        if info.isfile():  # links and devices are not followed
            members[PurePosixPath(info.name).as_posix()] = info

    def read(name: str) -> bytes:
        _checked(members[name].size)
        try:
            file = archive.extractfile(members[name])
            return file.read() if file else b""
        except (tarfile.TarError, zlib.error, EOFError, OSError) as failure:
            raise UnreadableFileError(f"damaged in the archive: {failure}") from None

    return Tree(location, {name: info.size for name, info in members.items()}, read)
