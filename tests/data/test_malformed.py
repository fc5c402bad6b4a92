"""Malformed pictures, archives and arrays: no crash, no hang, nothing written outside, memory within bounds.

What could end or stall the process runs in one of its own.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import DataSpec
from conviction.data import arrays, load_source
from conviction.data import pictures as pictures_module
from conviction.data.decode import DecodingRule, UnreadableImageError, decode, probe
from conviction.data.tree import UnreadableFileError, open_tree
from conviction.errors import SourceError, StorageError
from tests.conftest import Cli, environment
from tests.data import builders
from tests.data.malformed import corpus, good, scan_bomb, valid, zeros
from tests.patience import PATIENCE

RULES = {
    mode: DecodingRule(color_mode=mode, height=32, width=32)  # type: ignore[arg-type]
    for mode in ("rgb", "grayscale")
}
ODD_NAMES = [
    "new\nline.png",
    "tab\t.png",
    "🐜🐝.png",
    "quote'\".png",
    "-rf.png",
    " .png",
    "%s{0}.png",
    "a" * 240 + ".png",
]
PEAK_MIB = 1024

LOAD = """
import json, resource, sys
limit = 8 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from conviction.config import DataSpec
from conviction.data import load_source
from conviction.errors import ConvictionError
from conviction.runs.environment import peak_memory_bytes
try:
    images = load_source(sys.argv[1], DataSpec(image_size=(32, 32), color_mode="rgb"))
    found = {
        "names": images.names,
        "shape": images.pixels.shape,
        "unreadable": {u.name: u.reason for u in images.unreadable},
    }
except ConvictionError as failure:
    found = {"error": str(failure), "kind": type(failure).__name__}
found["peak"] = peak_memory_bytes() // 2**20
print(json.dumps(found))
"""


@cache
def pictures() -> dict[str, bytes]:
    return corpus()


def check_words(reason: str) -> None:
    """A reason is one line that says something."""
    assert reason.strip()
    assert "\n" not in reason


def load(source: Path, tmp_path: Path) -> dict[str, Any]:
    """``load_source`` in a process with little room and little time."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, os.fsencode(source)],
        env=environment(tmp_path / "home", {"CONVICTION_CACHE": str(tmp_path / "cache")}),
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    found = json.loads(done.stdout)
    assert found["peak"] < PEAK_MIB
    for words in [*found.get("unreadable", {}).values(), found.get("error", "one line")]:
        check_words(words)
    return found


def listing(root: Path) -> set[bytes]:
    """Every path below a folder, but for the cache and the ledger of the tests."""
    out = set()
    for folder, names, files in os.walk(os.fsencode(root)):
        if folder == os.fsencode(root):
            names[:] = [n for n in names if n not in (b"cache", b"home")]
        out |= {os.path.join(folder, name) for name in (*names, *files)}
    return out


def members() -> dict[str, bytes]:
    """The corpus in two classes, with five sound pictures in each."""
    out = {
        f"{label}/good{i}.png": good(i + 5 * (label == "dog")) for label in ("cat", "dog") for i in range(5)
    }
    for i, (name, content) in enumerate(pictures().items()):
        out[f"{('cat', 'dog')[i % 2]}/{name}"] = content
    return out


def test_the_corpus_is_large_and_the_same_every_time() -> None:
    assert len(pictures()) >= 300
    first = pictures()
    valid.cache_clear()
    assert corpus() == first
    for kind in ("jpg", "png", "gif", "bmp", "webp", "tif"):
        assert sum(name.endswith(kind) for name in pictures()) >= 30


def test_every_malformed_picture_is_decoded_or_refused_in_one_line() -> None:
    read = 0
    for name, content in pictures().items():
        for rule in RULES.values():
            try:
                probe(content)
                array = decode(content, rule)
            except UnreadableImageError as failure:
                check_words(str(failure))
                continue
            assert (array.shape, array.dtype) == (rule.shape, np.uint8), name
            read += 1
    assert len(valid()) <= read < 2 * len(pictures())


def test_every_valid_odd_picture_is_read() -> None:
    for name, content in valid().items():
        if name == "float.tif":
            continue
        assert decode(content, RULES["rgb"]).shape == (32, 32, 3), name


def test_a_jpeg_with_thousands_of_scans_is_refused_unread() -> None:
    for read in (probe, lambda content: decode(content, RULES["rgb"])):
        with pytest.raises(UnreadableImageError, match="more scans"):
            read(scan_bomb(2_000))


def odd_folder(tmp_path: Path) -> Path:
    root = builders.write_tree(tmp_path / "pictures", members())
    for name in ODD_NAMES:
        (root / "cat" / name).write_bytes(good(50 + ODD_NAMES.index(name)))
    (root / "cat" / "broken\nname.png").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/cat/\xff\xfe.png")).write_bytes(good(70))
    (root / "cat" / "itself.png").symlink_to(root / "cat" / "itself.png")
    (root / "cat" / "nowhere.png").symlink_to(root / "nowhere.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "folder.png").mkdir()
    os.mkfifo(root / "dog" / "pipe.png")
    (root / "dog" / "endless.png").symlink_to("/dev/zero")
    (root / "dog" / "locked.png").write_bytes(good(71))
    (root / "dog" / "locked.png").chmod(0)
    return root


def test_a_folder_of_malformed_pictures_and_odd_files_is_loaded(tmp_path: Path) -> None:
    root = odd_folder(tmp_path)
    before = listing(tmp_path)
    found = load(root, tmp_path)
    assert listing(tmp_path) == before
    names, unreadable = set(found["names"]), found["unreadable"]
    assert {n for n in members() if "/good" in n} <= names
    assert {f"cat/{n}" for n in ODD_NAMES} | {"cat/\udcff\udcfe.png"} <= names
    assert set(members()) <= names | set(unreadable)
    assert not names & set(unreadable)
    assert {"cat/itself.png", "cat/nowhere.png", "cat/broken\nname.png"} <= set(unreadable)
    assert "dog/pipe.png" not in names | set(unreadable)
    if os.geteuid() != 0:  # root may read everything
        assert "ermission" in unreadable["dog/locked.png"]
    assert found["shape"] == [len(names), 32, 32, 3]


def write_zip(path: Path, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members().items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


ARCHIVES: dict[str, Callable[[Path], Path]] = {
    "stored zip": lambda tmp: write_zip(tmp / "a.zip", zipfile.ZIP_STORED),
    "deflated zip": lambda tmp: write_zip(tmp / "a.zip", zipfile.ZIP_DEFLATED),
    "tar.gz": lambda tmp: write_tar(tmp / "a.tar.gz"),
}


@cache
def expected_names() -> frozenset[str]:
    out = set()
    for name, content in members().items():
        try:
            decode(content, RULES["rgb"])
        except UnreadableImageError:
            continue
        out.add(name)
    return frozenset(out)


@pytest.mark.parametrize(
    "kind", ["stored zip", pytest.param("deflated zip", marks=pytest.mark.full), "tar.gz"]
)
def test_an_archive_of_malformed_pictures_gives_the_same_as_each_file_alone(
    kind: str, tmp_path: Path
) -> None:
    path = ARCHIVES[kind](tmp_path)
    before = listing(tmp_path)
    found = load(path, tmp_path)
    assert listing(tmp_path) == before
    assert set(found["names"]) == expected_names()
    assert set(found["unreadable"]) == set(members()) - expected_names()


def test_inspect_takes_a_folder_of_malformed_pictures(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", odd_folder(tmp_path))
    assert result.code == 0, result.err
    assert "Traceback" not in result.out + result.err
    assert "Warning" not in result.err


# Archives.

PICTURES = {path: content for path, content in builders.files().items() if path[-5] in "012"}


def zip_of(path: Path, extra: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytearray:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in {**PICTURES, **extra}.items():
            archive.writestr(name, content)
    return bytearray(path.read_bytes())


def central(content: bytearray, name: str) -> int:
    """Where the entry of a name in the central directory starts."""
    return content.rfind(name.encode()) - 46


def changed_entry(path: Path, at: int, form: str, value: int) -> None:
    content = zip_of(path, {"ant/x.png": good(1)})
    struct.pack_into(form, content, central(content, "ant/x.png") + at, value)
    path.write_bytes(content)


# Offsets in an entry of the central directory (APPNOTE 4.3.12).
ENTRY_CHANGES = {
    "needs version 255": (6, "<H", 255),
    "encrypted": (8, "<H", 1),
    "strongly encrypted": (8, "<H", 0x41),
    "patch data": (8, "<H", 0x20),
    "UTF-8 name that is none": (8, "<H", 0x800),
    "method 1": (10, "<H", 1),
    "method 12, bzip2": (10, "<H", 12),
    "method 14, lzma": (10, "<H", 14),
    "method 93": (10, "<H", 93),
    "method 99": (10, "<H", 99),
    "another CRC": (16, "<I", 1),
    "packed size 0": (20, "<I", 0),
    "packed size 4 GB": (20, "<I", 2**32 - 2),
    "packed size zip64": (20, "<I", 2**32 - 1),
    "size 0": (24, "<I", 0),
    "size 4 GB": (24, "<I", 2**32 - 2),
    "size zip64": (24, "<I", 2**32 - 1),
    "name of no letters": (28, "<H", 0),
    "name of 65535 letters": (28, "<H", 65_535),
    "extra of 65535 bytes": (30, "<H", 65_535),
    "comment of 65535 bytes": (32, "<H", 65_535),
    "a symbolic link": (38, "<I", 0o120777 << 16),
    "offset 0": (42, "<I", 0),
    "offset beyond the end": (42, "<I", 2**31),
    "offset zip64": (42, "<I", 2**32 - 1),
}


def outcome(path: Path) -> str:
    """Loads a source in this process: "refused", or "read" with at most one file more than the good ones."""
    spec = DataSpec(image_size=(30, 30), color_mode="rgb")
    try:
        images = load_source(path, spec)
    except (SourceError, StorageError) as failure:
        check_words(str(failure))
        return "refused"
    assert len(images.class_names) == 3
    assert all(u.reason and "\n" not in u.reason for u in images.unreadable)
    return "read"


@pytest.mark.parametrize("change", ENTRY_CHANGES)
def test_a_zip_with_a_damaged_entry_is_read_without_it_or_refused(change: str, tmp_path: Path) -> None:
    changed_entry(tmp_path / "a.zip", *ENTRY_CHANGES[change])
    before = listing(tmp_path)
    outcome(tmp_path / "a.zip")
    assert listing(tmp_path) == before


def test_the_end_of_a_zip_may_say_anything(tmp_path: Path) -> None:
    whole = zip_of(tmp_path / "a.zip", {})
    end = whole.rfind(b"PK\5\6")
    for at, form in ((4, "<H"), (8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H")):
        for value in (0, 1, 2**15, 2 ** (8 * struct.calcsize(form)) - 1):
            content = bytearray(whole)
            struct.pack_into(form, content, end + at, value)
            (tmp_path / "a.zip").write_bytes(content)
            outcome(tmp_path / "a.zip")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_an_archive_cut_anywhere_is_refused_or_read_in_part(kind: str, tmp_path: Path) -> None:
    path = builders.FILE_SOURCES[kind](tmp_path)
    whole = path.read_bytes()
    for cut in {
        0,
        1,
        10,
        100,
        511,
        512,
        513,
        len(whole) // 3,
        len(whole) // 2,
        len(whole) - 30,
        len(whole) - 1,
    }:
        path.write_bytes(whole[:cut])
        outcome(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_a_zip_is_read(method: int, tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", {}, method)
    assert len(load_source(tmp_path / "a.zip")) == len(PICTURES)


@pytest.mark.parametrize(
    ("method", "declared"),
    [
        (zipfile.ZIP_DEFLATED, 10),
        pytest.param(zipfile.ZIP_DEFLATED, 2**32 - 2, marks=pytest.mark.full),
        pytest.param(zipfile.ZIP_BZIP2, 10, marks=pytest.mark.full),
        pytest.param(zipfile.ZIP_BZIP2, 2**20, marks=pytest.mark.full),
        pytest.param(zipfile.ZIP_LZMA, 10, marks=pytest.mark.full),
        pytest.param(zipfile.ZIP_LZMA, 2**20, marks=pytest.mark.full),
    ],
)
def test_a_zip_bomb_takes_no_more_memory_than_it_declares(method: int, declared: int, tmp_path: Path) -> None:
    size = 200 * 2**20
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method, compresslevel=1) as archive:
        for name, content in PICTURES.items():
            archive.writestr(name, content)
        with archive.open("ant/bomb.png", "w") as file:
            for _ in range(size // 2**22):
                file.write(bytes(2**22))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    struct.pack_into("<I", content, central(content, "ant/bomb.png") + 24, declared)
    (tmp_path / "a.zip").write_bytes(content)
    found = load(tmp_path / "a.zip", tmp_path)
    assert list(found["unreadable"]) == ["ant/bomb.png"]
    assert len(found["names"]) == len(PICTURES)
    assert found["peak"] < 400


def test_zip_members_that_share_bytes_are_left_out(tmp_path: Path) -> None:
    changed_entry(tmp_path / "a.zip", 42, "<I", 0)
    with open_tree(tmp_path / "a.zip") as tree:
        first = next(iter(PICTURES))
        with pytest.raises(UnreadableFileError, match="overlaps"):
            tree.read(first)


def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ant/x.png", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ant/x.png", b"second")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for content in (b"first", b"second"):
            member = tarfile.TarInfo("ant/x.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("a.zip", "a.tar"):
        with open_tree(tmp_path / name) as tree:
            assert tree.read("ant/x.png") == b"second"


def test_a_file_and_a_folder_of_one_name_are_no_crash(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("all", b"x")
        for name, content in PICTURES.items():
            archive.writestr(f"all/{name}", content)
    load_or_refuse(tmp_path / "a.zip")


def load_or_refuse(path: Path) -> None:
    try:
        load_source(path)
    except (SourceError, StorageError) as failure:
        check_words(str(failure))


@pytest.mark.parametrize(
    "name", ["../out.png", "/out.png", "C:\\out.png", "..\\out.png", "a/..\n/../../out.png"]
)
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_nothing_is_written_for_names_that_lead_out(name: str, kind: str, tmp_path: Path) -> None:
    inner = tmp_path / "deep" / "deeper"
    inner.mkdir(parents=True)
    if kind == "zip":
        zip_of(inner / "a.zip", {name: good(1)})
    else:
        with tarfile.open(inner / "a.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(name)
            archive.addfile(member)
    before = listing(tmp_path)
    assert outcome(inner / f"a.{kind}") == "refused"
    assert listing(tmp_path) == before


def tar_header(kind: bytes, size: int, name: str = "ant/x.png") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def _long_header(path: Path, kind: bytes) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [pack.compress(tar_header(kind, 2**31))]
    pieces += [pack.compress(bytes(2**22)) for _ in range(512)]
    path.write_bytes(b"".join([*pieces, pack.flush()]))


@pytest.mark.full
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_with_an_endless_header_takes_little_memory(kind: bytes, tmp_path: Path) -> None:
    _long_header(tmp_path / "a.tar.gz", kind)
    assert load(tmp_path / "a.tar.gz", tmp_path)["peak"] < 400


@pytest.mark.parametrize("size", [-1, -(2**62), 2**33, 2**62, 2**64, 2**80])
@pytest.mark.parametrize("kind", [b"0", b"1", b"3", b"L", b"K", b"S", b"x", b"g", b"X", b"?"])
def test_a_tar_may_declare_any_size_for_any_kind_of_member(kind: bytes, size: int, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_header(kind, size) + bytes(2048))
    load_or_refuse(tmp_path / "a.tar")


def test_a_tar_of_headers_on_headers_is_refused(tmp_path: Path) -> None:
    body = b"9 path=a\n".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes((tar_header(b"x", 9) + body) * 3000)
    assert outcome(tmp_path / "a.tar") == "refused"


# Arrays.

X, Y = np.arange(12 * 8 * 8).reshape(12, 8, 8).astype(np.uint8), np.arange(12) % 3


def npy(header: str, body: bytes = bytes(64), version: bytes = b"\1\0") -> bytes:
    text = header.encode("latin-1")
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + body


def described(descr: str, shape: str) -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")


BAD_MEMBERS = {
    "no array": b"this is no array",
    "empty": b"",
    "half": npy("{'descr': '|u1'")[:9],
    "no dictionary": npy("nothing"),
    "no end": npy("{'descr': '|u1', 'shape': (((("),
    "deep": npy("(" * 5000 + ")" * 5000),
    "indented": npy("  x\n y\n"),
    "version 9": npy("{}", version=b"\x09\0"),
    "long header": npy("{}" + " " * 60_000),
    "other keys": npy("{'a': 1}"),
    "huge": described("'|u1'", "(1000000000000,)"),
    "larger than numbers": described("'|u1'", f"({10**40},)"),
    "overflowing": described("'<f8'", "(4294967296, 4294967296, 4294967296)"),
    "negative": described("'|u1'", "(-5, 8, 8)"),
    "fractions": described("'|u1'", "(5.5, 8, 8)"),
    "100 dimensions": described("'|u1'", str((1,) * 100)),
    "no type": described("'zz'", "(1, 8, 8)"),
    "type of numbers": described("17", "(1, 8, 8)"),
    "objects": described("'|O'", "(1, 8, 8)"),
    "records": described("[('a', '|u1')]", "(1, 8, 8)"),
    "times": described("'<M8[s]'", "(1, 2, 2)"),
    "text": described("'<U1'", "(1, 2, 2)"),
    "a value": described("'|u1'", "()"),
    "short": described("'|u1'", "(12, 8, 8)"),
    "no pixels": described("'|u1'", "(12, 0, 8)"),
    "nothing at all": described("'|u1'", "(0,)"),
    "NaN": described("'<f4'", "(1, 2, 2)")[:-64] + struct.pack("<4f", *[np.nan] * 4),
}


def write_npz(path: Path, **members_: bytes) -> Path:
    whole = {}
    for name, array in (("x", X), ("y", Y)):
        out = io.BytesIO()
        np.save(out, array)
        whole[name] = out.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**whole, **members_}.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("member", ["x", "y", "class_names"])
@pytest.mark.parametrize("kind", BAD_MEMBERS)
def test_an_npz_with_a_bad_member_is_refused(kind: str, member: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", **{member: BAD_MEMBERS[kind]})
    if member == "class_names":  # names may be of any type
        load_or_refuse(path)
        return
    with pytest.raises((SourceError, StorageError)) as caught:
        load_source(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [[1e300, 0.0, 1.0], [2.0**63, 0.0, 1.0], [np.inf, 0.0, 1.0]])
def test_labels_that_no_integer_holds_are_refused(values: list[float], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X[:3], y=np.array(values))
    with pytest.raises(SourceError, match="whole numbers"):
        load_source(tmp_path / "a.npz")


def test_an_npz_that_unpacks_to_more_than_the_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_npz(tmp_path / "a.npz")
    monkeypatch.setattr(arrays, "free_bytes", lambda: 512)
    with pytest.raises(StorageError, match="0 MB are free"):
        load_source(path)


def test_arrays_of_an_npz_that_are_not_read_need_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = np.zeros((20, 30, 30), np.uint8), np.arange(20) % 2
    np.savez_compressed(tmp_path / "a.npz", x=pixels, y=labels, features=np.zeros((10**6,)))
    monkeypatch.setattr(arrays, "free_bytes", lambda: 10**6)
    assert len(load_source(tmp_path / "a.npz")) == 20


def test_an_npz_whose_header_declares_more_than_it_holds_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 30, 30)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
        archive.writestr("y.npy", header.getvalue())
    monkeypatch.setattr(arrays, "free_bytes", lambda: 10**8)
    with pytest.raises(StorageError, match="its arrays take 1,800 MB of memory, and 100 MB are free"):
        load_source(tmp_path / "a.npz")


def test_an_npz_packed_by_other_methods_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", b"x" * 100)
        archive.writestr("y.npy", b"y" * 100)
    with pytest.raises(SourceError, match="method"):
        load_source(tmp_path / "a.npz")


GOOD = builders.idx_bytes(X)
BAD_IDX = {
    "empty": b"",
    "magic": b"\1" + GOOD[1:],
    "type": GOOD[:2] + b"\x0a" + GOOD[3:],
    "no dimensions": GOOD[:3] + b"\0" + GOOD[4:],
    "255 dimensions": b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"\0",
    "short header": GOOD[:9],
    "short": GOOD[:-1],
    "long": GOOD + b"\0",
    "huge": b"\0\0\x08\3" + struct.pack(">III", *[2**32 - 1] * 3) + bytes(100),
    "beyond any number": b"\0\0\x08\xff" + b"\xff" * 4 * 255,
    "empty and huge": b"\0\0\x08\4" + struct.pack(">IIII", 0, *[2**32 - 1] * 3),
    "no images": b"\0\0\x08\3" + struct.pack(">III", 0, 8, 8),
    "no pixels": b"\0\0\x08\3" + struct.pack(">III", 12, 0, 8),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", BAD_IDX)
def test_a_bad_idx_file_is_refused(kind: str, packed: bool, tmp_path: Path) -> None:
    import gzip

    end = ".gz" if packed else ""
    for name, content in (
        ("images-idx3", BAD_IDX[kind]),
        ("labels-idx1", builders.idx_bytes(Y.astype(np.uint8))),
    ):
        whole = gzip.compress(content) if packed else content
        (tmp_path / f"train-{name}-ubyte{end}").write_bytes(whole)
    with pytest.raises((SourceError, StorageError)) as caught:
        load_source(tmp_path)
    assert "\n" not in str(caught.value)


def test_names_in_an_npz_are_told_in_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("\n\x1b[31m.npy", b"")
    with pytest.raises(SourceError, match="expected the arrays") as caught:
        load_source(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_picture_with_an_absurd_side_is_refused_unread() -> None:
    header = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 158, 0, 0, 54, 40, 134_217_752, 1, 1, 24, 0, 0, 0, 0, 0, 0
    )
    for read in (probe, lambda content: decode(content, RULES["rgb"])):
        with pytest.raises(UnreadableImageError, match="134217752x1 pixels"):
            read(header + bytes(100))


def test_a_process_that_may_not_start_others_reads_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures_module, "FEW_FILES", 1)
    monkeypatch.setattr(pictures_module, "FEW_BYTES", 1)
    monkeypatch.setattr(pictures_module, "usable_cores", lambda: 2)
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    builders.write_tree(tmp_path / "a", PICTURES)
    assert len(load_source(tmp_path / "a")) == len(PICTURES)


@pytest.mark.full
def test_a_picture_that_is_as_large_as_is_accepted_takes_bounded_memory(tmp_path: Path) -> None:
    from tests.data.malformed import png_of

    for side, color, depth, samples in ((13_000, 0, 16, 2),):
        bomb = png_of(side, side, zeros(side * (1 + samples * side)), depth=depth, color=color)
        root = builders.write_tree(tmp_path / f"{color}-{depth}", {**PICTURES, "ant/bomb.png": bomb})
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(root)],
            env=environment(tmp_path / "home", {"CONVICTION_CACHE": str(tmp_path / "cache")}),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert json.loads(done.stdout)["peak"] < 4096
