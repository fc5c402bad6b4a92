"""Folders and archives seen alike: nothing leads out, nothing hangs, nothing is trusted."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from conviction.data import load_source
from conviction.data.tree import MAX_FILE_BYTES, UnreadableFileError, open_tree
from conviction.errors import SourceError
from tests.data import builders

ESCAPES = ["../out.png", "a/../../out.png", "/out.png", "..\\out.png", "C:\\out.png", "cat/../../../out.png"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/1.png", builders.png(builders.image(0, 0)))
            archive.writestr(name, b"x")
    else:
        with tarfile.open(path, "w") as archive_tar:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive_tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(SourceError, match="leads out of the archive"):
        load_source(path)
    assert not (tmp_path.parent / "out.png").exists()


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(builders.png(builders.image(0, 0)))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("cat/link.png", tarfile.SYMTYPE), ("cat/hard.png", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = str(secret)
            archive.addfile(member)
        fifo = tarfile.TarInfo("cat/fifo.png")
        fifo.type = tarfile.FIFOTYPE
        archive.addfile(fifo)
    with open_tree(tmp_path / "a.tar") as tree:
        assert tree.sizes == {}


def test_a_file_that_is_too_large_by_its_declared_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    huge = tmp_path / "pictures" / "x.png"
    with huge.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no room
    with open_tree(tmp_path / "pictures") as tree, pytest.raises(UnreadableFileError, match="at most"):
        tree.read("x.png")


def lying_zip(path: Path) -> Path:
    """A member that unpacks to 50 MB and declares 10 bytes, as zip bombs do."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/x.png", b"\0" * 50_000_000)
    content = bytearray(path.read_bytes())
    size = struct.pack("<I", 50_000_000)
    while (at := content.find(size)) >= 0:
        content[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(content)
    return path


def test_a_zip_that_lies_about_sizes_gives_no_more_than_it_declares(tmp_path: Path) -> None:
    with open_tree(lying_zip(tmp_path / "a.zip")) as tree:
        assert tree.sizes == {"cat/x.png": 10}
        with contextlib.suppress(UnreadableFileError):
            assert len(tree.read("cat/x.png")) <= 11


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"])
@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 half", b"\x1f\x8b\x08 half"])
def test_what_is_no_archive_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(SourceError, match=r"not a readable|expected one subfolder"):
        load_source(tmp_path / f"a{suffix}")


def test_a_truncated_archive_is_refused_or_its_missing_files_are_listed(tmp_path: Path) -> None:
    for kind in ("zip", "tar", "tar.gz", "tar.xz"):
        path = builders.FILE_SOURCES[kind](tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        try:
            images = load_source(path)
        except SourceError:
            continue
        assert len(images) + len(images.unreadable) <= 24


def test_a_damaged_member_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that a byte can be changed in place
        for name, content in builders.files().items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    at = content.find(builders.files()["bee/3.png"]) + 60
    content[at] ^= 0xFF
    path.write_bytes(content)
    images = load_source(path)
    assert len(images) == 23
    assert [(u.name, "CRC" in u.reason) for u in images.unreadable] == [("bee/3.png", True)]


def test_an_encrypted_member_is_left_out(tmp_path: Path) -> None:
    path = builders.zipped(tmp_path)
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(magic) + offset] |= 1
    path.write_bytes(content)
    images = load_source(path)
    assert len(images.unreadable) == 1
    assert "encrypted" in images.unreadable[0].reason


def test_loops_fifos_and_dangling_links_do_not_hang(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    (root / "ant" / "loop").symlink_to(root)
    (root / "ant" / "dangling.png").symlink_to(root / "nowhere.png")
    (root / "ant" / "itself.png").symlink_to(root / "ant" / "itself.png")
    os.mkfifo(root / "ant" / "pipe.png")
    (root / "ant" / "folder.png").mkdir()
    images = load_source(root)
    assert len(images) == 24
    assert {u.name for u in images.unreadable} == {"ant/dangling.png", "ant/itself.png"}


@pytest.mark.parametrize(
    "name", ["new\nline.png", "ünïcode 🐜.png", "quote'\".png", "-rf.png", "a" * 200 + ".png"]
)
def test_names_may_be_anything(name: str, tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    (root / "ant" / "0.png").rename(root / "ant" / name)
    assert f"ant/{name}" in load_source(root).names


def test_names_need_not_be_unicode(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    os.rename(root / "ant" / "0.png", os.fsencode(root / "ant") + b"/\xff\xfe.png")
    (root / "ant" / "broken\udcff.png").write_text("x")
    images = load_source(root)
    assert len(images) == 24
    assert images.unreadable[0].name == "ant/broken\udcff.png"
