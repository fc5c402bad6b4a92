"""A folder or an archive of one, treated alike: relative paths, sizes, bytes. Nothing is ever unpacked."""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from conviction.data.origin import Origin
from conviction.data.unused import PassedOver
from conviction.data.walking import walk_folders
from conviction.errors import SourceError

# The largest picture file that is read; a 16-bit RGB TIFF of 40 megapixels takes 240 MB.
MAX_FILE_BYTES = 256 * 2**20
# An extended header of a tar holds a name and some attributes.
MAX_HEADER_BYTES = 2**20
ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class UnreadableFileError(Exception):
    """These bytes are not available; the message says why."""


@dataclass(frozen=True)
class FileSlice:
    """Where the bytes of a zip member are and how they are compressed.

    ``packed`` bytes after the local header at ``offset``; ``method`` as ``zipfile`` numbers them.
    """

    archive: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int


# Where content is: a file, a slice of an archive, the content itself, or why it is not available. Plain
# values, so that another process can fetch it.
ContentLocation = str | FileSlice | bytes | UnreadableFileError


Container = Literal["folder", "zip", "tar"]


@dataclass(frozen=True)
class PictureFiles(Origin):
    """Picture files, in a folder or in an archive of one."""

    path: Path
    container: Container


@dataclass(frozen=True)
class Tree:
    """Files by their relative POSIX path, in an order in which reading them all is one forward pass.

    ``locate`` says where the content of a path is. ``stamps`` change when the content of a path may have
    changed; an archive has one for all. ``passed`` is what is there but is not a file: links that are not
    followed, pipes, devices.
    """

    location: Path
    container: Container
    sizes: dict[str, int]
    stamps: dict[str, str]
    locate: Callable[[str], ContentLocation]
    passed: tuple[PassedOver, ...] = ()

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            UnreadableFileError: It is not available.
        """
        return fetch(self.locate(path))

    def read_text(self, path: str) -> str:
        """The text of a small file.

        Raises:
            SourceError: It cannot be read, or is not UTF-8.
        """
        try:
            return self.read(path).decode("utf-8-sig")
        except (UnreadableFileError, UnicodeDecodeError) as failure:
            raise SourceError(f"{self.location}: cannot read {path} as UTF-8 text ({failure}).") from None


def fetch(location: ContentLocation) -> bytes:
    """The bytes at a location.

    Raises:
        UnreadableFileError: They are not available; the message says why.
    """
    if isinstance(location, bytes):
        return location
    if isinstance(location, UnreadableFileError):
        raise location
    try:
        return _unpack(location) if isinstance(location, FileSlice) else _read_file(location)
    except OSError as failure:
        raise UnreadableFileError(failure.strerror or str(failure)) from None
    except (ValueError, OverflowError) as failure:  # an offset that no file has
        raise UnreadableFileError(f"damaged in the archive: {failure}") from None


def peek(location: ContentLocation) -> bytes:
    """The first 64 KiB, or all.

    Raises:
        UnreadableFileError: They are not available; the message says why.
    """
    if not isinstance(location, str):
        return fetch(location)
    try:
        with open(location, "rb", buffering=0) as file:
            return file.read(_FIRST_READ)
    except (OSError, ValueError) as failure:
        raise UnreadableFileError(str(failure)) from None


def _read_file(path: str) -> bytes:
    # Uses the system's own calls: a file object costs as much as decoding a small picture.
    file = os.open(path, _READ_ONLY)
    try:
        # In growing pieces, because a read reserves what it is asked for; and no further than the limit, because a
        # file may have grown, or become a device without end, since it was listed.
        content = os.read(file, _FIRST_READ)
        if len(content) < _FIRST_READ:
            return content
        pieces = [content]
        while sum(map(len, pieces)) <= MAX_FILE_BYTES and (piece := os.read(file, 2**22)):
            pieces.append(piece)
    finally:
        os.close(file)
    content = b"".join(pieces)
    check_size(len(content))
    return content


_FIRST_READ = 2**16
_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # otherwise Windows translates line ends
_LOCAL_HEADER = struct.Struct("<4s22xHH")


def _unpack(part: FileSlice) -> bytes:
    """A zip member by its position alone: ``zipfile`` needs ten times as long for small files."""
    with open(part.archive, "rb", buffering=0) as file:
        # A name and an extra field of usual length come with the first read.
        file.seek(part.offset)
        head = file.read(_LOCAL_HEADER.size + 256 + part.packed)
        if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
            raise UnreadableFileError("damaged in the archive: its local header is missing")
        _, name, extra = _LOCAL_HEADER.unpack_from(head)
        start = _LOCAL_HEADER.size + name + extra
        if start + part.packed > len(head):
            file.seek(part.offset + start)
            head, start = file.read(part.packed), 0
    content = head[start : start + part.packed]
    if len(content) < part.packed:
        raise UnreadableFileError("damaged in the archive: it is cut short")
    content = _inflate(content, part)
    if len(content) != part.size or zlib.crc32(content) != part.crc:
        raise UnreadableFileError("damaged in the archive: its size or CRC-32 is not what it declares")
    return content


def _inflate(content: bytes, part: FileSlice) -> bytes:
    """No more than was declared: a bomb that lies about its size ends in an error after this."""
    try:
        if part.method == zipfile.ZIP_STORED:
            return content
        if part.method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, part.size + 1)
        if part.method == zipfile.ZIP_BZIP2:
            return _all(bz2.BZ2Decompressor(), content, part.size + 1)
        if part.method == zipfile.ZIP_LZMA:
            # A zip has two bytes of version and two of length before the five of properties, and no size.
            unpack = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_FILE_BYTES)
            return _all(unpack, content[4:9] + b"\xff" * 8 + content[9:], part.size + 1)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as failure:
        raise UnreadableFileError(f"damaged in the archive: {failure}") from None
    raise UnreadableFileError(
        f"it is compressed in the archive by a method that is not supported ({part.method})"
    )


def _all(unpack: bz2.BZ2Decompressor | lzma.LZMADecompressor, content: bytes, limit: int) -> bytes:
    out = unpack.decompress(content, limit)
    while len(out) < limit and not unpack.eof and (more := unpack.decompress(b"", limit - len(out))):
        out += more
    return out


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive which ``open_tree`` reads."""
    return path.name.lower().endswith(ZIP_SUFFIXES + TAR_SUFFIXES)


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """Opens a folder, a ``.zip`` or a ``.tar`` (plain, gz, bz2, xz) for reading.

    Raises:
        SourceError: It is not a readable archive, or one of its names leads out of it.
    """
    with ExitStack() as stack:
        yield _folder(path) if path.is_dir() else _archive(path, stack)


_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """Refuses what ``tarfile`` would read into memory whole, however long it is: the extended headers."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _EXTENDED and header.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def _archive(path: Path, stack: ExitStack) -> Tree:
    kind = "zip" if path.name.lower().endswith(ZIP_SUFFIXES) else "tar"
    try:
        if kind == "zip":
            return _zip(path, stack.enter_context(zipfile.ZipFile(path)))
        return _tar(path, stack.enter_context(tarfile.open(path, tarinfo=_Member)))
    except (SourceError, PermissionError):
        raise
    except Exception as failure:  # both modules raise whatever a broken header leads to
        reason = " ".join(str(failure).split()) or type(failure).__name__
        raise SourceError(f"{path}: not a readable {kind} archive ({reason}).") from None


def check_size(size: int) -> None:
    """Refuses a file that is larger than pictures are.

    Raises:
        UnreadableFileError: It is.
    """
    if size > MAX_FILE_BYTES:
        raise UnreadableFileError(
            f"it has {size:,} bytes; at most {MAX_FILE_BYTES:,} are accepted for one picture"
        )


def _folder(root: Path) -> Tree:
    sizes: dict[str, int] = {}
    stamps: dict[str, str] = {}
    passed: list[PassedOver] = []
    base = str(root)
    for inside, files in walk_folders(root, passed):
        for file in files:
            name = f"{inside}/{file}" if inside else file
            try:
                status = os.stat(os.path.join(base, name))
            except OSError:
                sizes[name], stamps[name] = -1, ""  # reading it will say why
                continue
            if stat.S_ISREG(status.st_mode):
                sizes[name], stamps[name] = status.st_size, stamp_of(status)
            else:  # reading a pipe would block forever
                passed.append(("special_file", name))

    def locate(name: str) -> ContentLocation:
        try:
            check_size(sizes[name])
        except UnreadableFileError as failure:
            return failure
        return os.path.join(base, name)

    return Tree(root, "folder", sizes, stamps, locate, tuple(passed))


def stamp_of(status: os.stat_result) -> str:
    """What changes when the content of a file may have changed."""
    # The change time cannot be set back, so content that was replaced under an old date shows.
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _relative(location: Path, name: str) -> str:
    """The name of a member as a path below the archive, "" for the archive itself.

    Raises:
        SourceError: It leads out of it, here or on Windows.
    """
    # Plain text and not PurePosixPath, which costs 10 microseconds per name.
    parts = [p for p in name.split("/") if p not in ("", ".")]
    windows = parts if "\\" not in name else name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in windows or (parts and windows[0].endswith(":")):
        raise SourceError(
            f"{location}: the name {name!r} in it leads out of the archive. Such an archive is refused as "
            "a whole: pack it again from the folder that holds the images."
        )
    return "/".join(parts)


def _zip(location: Path, archive: zipfile.ZipFile) -> Tree:
    members: dict[str, zipfile.ZipInfo] = {}
    infos = sorted(archive.infolist(), key=lambda i: i.header_offset)
    overlapping = set()
    passed: list[PassedOver] = []
    for info, following in zip(infos, [*infos[1:], None], strict=True):
        name = _relative(location, info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not packed on Unix
        if name and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            passed.append(("archive_link" if kind == stat.S_IFLNK else "special_file", name))
        elif name and not info.is_dir():
            if name in members:
                passed.append(("replaced_member", name))
            members[name] = info
        end = info.header_offset + _LOCAL_HEADER.size + info.compress_size
        if following is not None and end > following.header_offset:
            overlapping.add(info)

    def locate(name: str) -> ContentLocation:
        info = members[name]
        try:
            check_size(info.file_size)
            check_size(info.compress_size)
        except UnreadableFileError as failure:
            return failure
        if info.flag_bits & 0x1:
            return UnreadableFileError("it is encrypted in the archive")
        if info in overlapping:  # as in bombs, in which thousands of members share the same bytes
            return UnreadableFileError("damaged in the archive: it overlaps the next file in it")
        return FileSlice(
            str(location),
            info.header_offset,
            info.compress_size,
            info.file_size,
            info.compress_type,
            info.CRC,
        )

    sizes = {name: info.file_size for name, info in members.items()}
    return Tree(
        location, "zip", sizes, dict.fromkeys(sizes, stamp_of(location.stat())), locate, tuple(passed)
    )


def _tar(location: Path, archive: tarfile.TarFile) -> Tree:
    members: dict[str, tarfile.TarInfo] = {}
    passed: list[PassedOver] = []
    for info in archive:
        name = _relative(location, info.name)
        if name and info.isfile():
            if name in members:
                passed.append(("replaced_member", name))
            members[name] = info
        elif name and not info.isdir():  # links could lead out of it
            passed.append(("archive_link" if info.issym() or info.islnk() else "special_file", name))

    def locate(name: str) -> ContentLocation:
        # Compressed archives cannot be entered in the middle, so this process reads them, from front to back.
        try:
            check_size(members[name].size)
            file = archive.extractfile(members[name])
            return file.read() if file else b""
        except UnreadableFileError as failure:
            return failure
        except Exception as failure:  # as in _archive
            return UnreadableFileError(f"damaged in the archive: {failure}")

    sizes = {name: info.size for name, info in members.items()}
    return Tree(
        location, "tar", sizes, dict.fromkeys(sizes, stamp_of(location.stat())), locate, tuple(passed)
    )
