"""The cache of decoded pictures: saves work, never serves what is damaged, and is never needed.

Who writes it may be killed, may be two at once, may have no room or no permission.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conviction.config import DataSpec
from conviction.data import ImageSet, cache, decode, decoded, load_source, pictures
from conviction.data.decode import DecodingRule
from conviction.data.image_set import content_hash
from conviction.errors import RequestError, StorageError
from tests.data import builders
from tests.patience import PATIENCE

SOURCES = {k: builders.FILE_SOURCES[k] for k in ("folder", "zip", "tar", "tar.gz")}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    folder = tmp_path / "the cache"
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(folder))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)
    return folder


@pytest.fixture
def no_decoding() -> Iterator[Callable[[], pytest.MonkeyPatch]]:
    """From the call on, whoever decodes a file fails the test."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object) -> None:
            pytest.fail("files were read although their pixels are in the cache")

        def forbid() -> pytest.MonkeyPatch:
            patch.setattr(pictures, "read_chunk", refuse)
            patch.setattr(decoded, "read_pictures", refuse)
            patch.setattr(decoded, "_some_probes", refuse)
            return patch

        yield forbid


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[DecodingRule]:
    """The rule of each pass over the files."""
    seen = []
    real = decoded.read_pictures

    def spy(tree: object, names: object, rule: DecodingRule, thumbs: DecodingRule) -> object:
        seen.append(rule)
        return real(tree, names, rule, thumbs)  # type: ignore[arg-type]

    monkeypatch.setattr(decoded, "read_pictures", spy)
    return seen


def seen_by_name(images: ImageSet) -> dict[str, tuple[bytes, ...]]:
    """Everything about each picture, whatever its row."""
    rows = zip(
        images.names,
        images.pixels,
        images.thumbs,
        images.hashes,
        images.pixel_hashes,
        images.labels,
        images.headers,
        strict=True,
    )
    return {
        name: (
            p.tobytes(),
            t.tobytes(),
            h.tobytes(),
            ph.tobytes(),
            str(label).encode(),
            repr(header).encode(),
        )
        for name, p, t, h, ph, label, header in rows
    }


def assert_same(got: ImageSet, want: ImageSet) -> None:
    assert seen_by_name(got) == seen_by_name(want)
    assert got.unreadable == want.unreadable
    assert got.rule == want.rule
    assert got.class_names == want.class_names


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while base is not None and not isinstance(base, (np.memmap, mmap.mmap)):
        base = getattr(base, "base", None)
    return base is not None


def only_entry() -> Path:
    (entry,) = cache.entries()
    return cache.cache_root() / "pixels" / entry.key


def unfinished() -> list[Path]:
    return list((cache.cache_root() / "pixels").glob(".new-*"))


def said_about_the_cache(images: ImageSet) -> list[str]:
    return [s for s in images.conversions if "cache" in s]


# What is in it is not decoded again.


@pytest.mark.parametrize("kind", SOURCES)
def test_what_was_decoded_once_is_mapped_and_not_decoded_again(
    kind: str, tmp_path: Path, no_decoding: Callable[[], object]
) -> None:
    source = SOURCES[kind](tmp_path)
    first = load_source(source)
    no_decoding()
    again = load_source(source)
    assert_same(again, first)
    assert len(again) == 24
    for images in (first, again):
        assert is_mapped(images.pixels)
        assert is_mapped(images.thumbs)
        assert said_about_the_cache(images) == []


def test_broken_files_are_remembered_with_their_reasons(
    tmp_path: Path, no_decoding: Callable[[], object]
) -> None:
    source = builders.write_tree(
        tmp_path / "animals",
        {**builders.files(), "ant/empty.png": b"", "bee/text.png": b"text", "cow/cut.png": cut_png()},
    )
    first = load_source(source)
    assert len(first.unreadable) == 3
    no_decoding()
    assert_same(load_source(source), first)


def cut_png() -> bytes:
    content = builders.png(builders.image(2, 99))
    return content[: len(content) // 2]


def test_the_same_pictures_elsewhere_and_under_other_names_are_the_same_entry(tmp_path: Path) -> None:
    first = load_source(builders.folder(tmp_path))
    files = {p.name: p.stat().st_ino for p in only_entry().iterdir()}
    for other in ("renamed folder", "zip", "labels.csv", "tar.xz"):
        images = load_source(builders.FILE_SOURCES[other](tmp_path))
        pixels = {row[0] for row in seen_by_name(images).values()}
        assert pixels == {row[0] for row in seen_by_name(first).values()}
        # Whoever has it mapped or is about to open it is not disturbed: it is the very one.
        assert {p.name: p.stat().st_ino for p in only_entry().iterdir()} == files


def test_another_size_is_another_entry(tmp_path: Path, no_decoding: Callable[[], object]) -> None:
    source = builders.folder(tmp_path)
    small = load_source(source, DataSpec(image_size=16))
    large = load_source(source, DataSpec(image_size=40))
    assert {e.shape for e in cache.entries()} == {(24, 16, 16, 3), (24, 40, 40, 3)}
    no_decoding()
    assert_same(load_source(source, DataSpec(image_size=16)), small)
    assert_same(load_source(source, DataSpec(image_size=40)), large)


def bmp(label: int, i: int) -> bytes:
    """Of one length whatever the pixels are."""
    out = io.BytesIO()
    Image.fromarray(builders.image(label, i)).save(out, "BMP")
    return out.getvalue()


def test_new_content_is_noticed_although_size_and_time_of_change_are_the_old_ones(tmp_path: Path) -> None:
    source = builders.write_tree(
        tmp_path / "animals", {f"{label}/{i}.bmp": bmp(label, i) for label in range(2) for i in range(8)}
    )
    load_source(source)
    changed = source / "0" / "3.bmp"
    before = changed.stat()
    changed.write_bytes(bmp(0, 50))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    images = load_source(source)
    row = images.names.index("0/3.bmp")
    assert np.array_equal(images.pixels[row], builders.image(0, 50))


def test_a_file_that_is_added_or_removed_is_noticed(tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    assert len(load_source(source)) == 24
    (source / "ant" / "new.png").write_bytes(builders.png(builders.image(0, 77)))
    assert len(load_source(source)) == 25
    (source / "ant" / "new.png").unlink()
    (source / "ant" / "0.png").unlink()
    assert len(load_source(source)) == 23


# Damage.


def cut_short(entry: Path, name: str) -> None:
    os.truncate(entry / name, (entry / name).stat().st_size // 2)


def zero_a_block(entry: Path, name: str) -> None:
    with (entry / name).open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))


def flip_a_bit(entry: Path, name: str) -> None:
    content = bytearray((entry / name).read_bytes())
    content[len(content) // 2] ^= 1
    (entry / name).write_bytes(content)


def remove(entry: Path, name: str) -> None:
    (entry / name).unlink()


def empty(entry: Path, name: str) -> None:
    (entry / name).write_bytes(b"")


def write(text: str) -> Callable[[Path, str], None]:
    def damage(entry: Path, name: str) -> None:
        (entry / name).write_text(text)

    return damage


DAMAGES: dict[str, tuple[Callable[[Path, str], None], str]] = {
    f"{damage.__name__} {name}": (damage, name)
    for name in ("pixels.bin", "thumbs.bin", "index.npz", "about.json")
    for damage in (cut_short, remove, empty)
} | {
    "zeroed block of pixels": (zero_a_block, "pixels.bin"),
    "zeroed block of thumbs": (zero_a_block, "thumbs.bin"),
    "zeroed block of the index": (zero_a_block, "index.npz"),
    "flipped bit of pixels": (flip_a_bit, "pixels.bin"),
    "flipped bit of thumbs": (flip_a_bit, "thumbs.bin"),
    "flipped bit of the index": (flip_a_bit, "index.npz"),
    "text as index": (write("no index"), "index.npz"),
    "text as about": (write("no json {"), "about.json"),
    "a list as about": (write("[]"), "about.json"),
    "null as about": (write("null"), "about.json"),
    "about without pixels": (write('{"name": "animals"}'), "about.json"),
    "about with a wrong shape": (
        write('{"name": "animals", "pixels": [24, 31, 30, 3], "thumbs": [24, 32, 32, 3]}'),
        "about.json",
    ),
    "about with too few rows": (
        write('{"name": "animals", "pixels": [12, 60, 30, 3], "thumbs": [12, 64, 32, 3]}'),
        "about.json",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_not_served_but_written_anew(
    damage: str, tmp_path: Path, no_decoding: Callable[[], object]
) -> None:
    source = builders.folder(tmp_path)
    want = seen_by_name(load_source(source))
    how, name = DAMAGES[damage]
    how(only_entry(), name)
    cache.entries()  # listing it is no error
    mended = load_source(source)
    assert seen_by_name(mended) == want
    assert said_about_the_cache(mended) == []
    assert len(cache.entries()) == 1
    assert unfinished() == []
    no_decoding()
    assert seen_by_name(load_source(source)) == want


@pytest.mark.parametrize("where", [0.0, 0.37, 0.98])
def test_of_many_rows_a_damaged_stretch_is_noticed(where: float) -> None:
    n = 2000
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    hashes = np.frombuffer(b"".join(content_hash(p.tobytes()) for p in pixels), "V16")
    sums = np.array([zlib.crc32(p.tobytes()) for p in pixels])
    with cache.writing() as rows:
        rows.write(0, pixels, pixels)
        shape = pixels.shape[1:]
        cache.finish(rows, "key", [(0, n)], cache.Index("many", (shape, shape), hashes, hashes, sums))
    assert cache.open_entry("key") is not None
    with (only_entry() / "pixels.bin").open("r+b") as file:
        file.seek(int(where * n) * 64)
        file.write(
            bytes(n // cache.CHECKED_ROWS * 64 + 64)
        )  # no longer than the way from one sample to the next
    assert cache.open_entry("key") is None


@pytest.mark.parametrize("how", [cut_short, empty, flip_a_bit, remove, write("no survey")])
def test_a_damaged_list_of_files_is_made_anew(how: Callable[[Path, str], None], tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    want = load_source(source)
    (note,) = (cache.cache_root() / "listings").iterdir()
    how(note.parent, note.name)
    assert_same(load_source(source), want)
    assert cache.load_note("listings", note.stem) is not None


def test_lists_of_files_are_bounded_and_the_one_used_longest_ago_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_NOTES", 3)
    for age, key in enumerate(("used", "old", "new")):
        cache.save_note("listings", key, value=np.array(age))
        os.utime(root / "listings" / f"{key}.npz", (1000 + age, 1000 + age))
    (root / "listings" / ".new-killed.npz").write_bytes(b"half")
    os.utime(root / "listings" / ".new-killed.npz", (999, 999))
    assert cache.load_note("listings", "used") is not None
    cache.save_note("listings", "newest", value=np.array(9))
    left = {p.name for p in (root / "listings").iterdir()}
    assert left == {"used.npz", "new.npz", "newest.npz"}


def test_a_file_where_the_entry_should_be_is_no_reason_to_fail(tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    want = seen_by_name(load_source(source))
    place = only_entry()
    shutil.rmtree(place)
    place.write_text("in the way")
    assert seen_by_name(load_source(source)) == want


# Others who write, and who are killed.

LOADER = """
import hashlib, sys
from conviction.data import load_source
print("ready", flush=True)
sys.stdin.readline()
images = load_source(sys.argv[1])
rows = sorted(zip(images.names, (p.tobytes() for p in images.pixels), images.labels.tolist()))
print(hashlib.sha256(repr(rows).encode()).hexdigest(), [s for s in images.conversions if "cache" in s])
"""

STUCK_WRITER = """
import signal, sys
from conviction.data import cache, load_source, pictures
pictures.CHUNK_FILES = 5
write, calls = cache.Rows.write, []
def stop_at_the_second(self, start, pixels, thumbs):
    write(self, start, pixels, thumbs)
    calls.append(1)
    if len(calls) == 2:
        print("in the middle", flush=True)
        signal.pause()
cache.Rows.write = stop_at_the_second
load_source(sys.argv[1])
"""


@contextlib.contextmanager
def started(script: str, source: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def expect(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    assert readable, f"it did not say '{line}'"
    assert process.stdout.readline().strip() == line


def test_two_at_once_both_succeed_and_leave_one_entry(tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    with started(LOADER, source) as one, started(LOADER, source) as other:
        both = (one, other)
        for process in both:
            expect(process, "ready")
        for process in both:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        results = [process.communicate(timeout=PATIENCE) for process in both]
    assert [p.returncode for p in both] == [0, 0], results
    images = load_source(source)
    rows = sorted(
        zip(images.names, (p.tobytes() for p in images.pixels), images.labels.tolist(), strict=True)
    )
    want = f"{hashlib.sha256(repr(rows).encode()).hexdigest()} []"
    assert [out.strip() for out, _ in results] == [want, want]
    assert len(cache.entries()) == 1
    assert unfinished() == []


def test_whoever_finishes_second_leaves_the_first_one_its_entry(tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    real = cache.finish
    entered = []

    def let_another_be_first(*arguments: object) -> None:
        if not entered:
            entered.append(1)
            load_source(source)
            entered.append(only_entry().stat().st_ino)
        real(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "finish", let_another_be_first)
        images = load_source(source)
    assert len(images) == 24
    assert said_about_the_cache(images) == []
    assert only_entry().stat().st_ino == entered[1]
    assert unfinished() == []


def test_a_killed_writer_leaves_nothing_that_is_seen_and_is_swept_a_day_later(tmp_path: Path) -> None:
    source = builders.folder(tmp_path)
    with started(STUCK_WRITER, source) as process:
        expect(process, "in the middle")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (left,) = unfinished()
    assert (left / "pixels.bin").stat().st_size == 10 * 30 * 30 * 3
    assert cache.entries() == []

    images = load_source(source)
    assert len(images) == 24
    assert said_about_the_cache(images) == []
    # Young as it is, somebody might still be writing it.
    assert unfinished() == [left]

    long_ago = time.time() - cache.ABANDONED_SECONDS - 60
    for path in (*left.iterdir(), left):
        os.utime(path, (long_ago, long_ago))
    load_source(source, DataSpec(image_size=16))
    assert unfinished() == []
    assert len(cache.entries()) == 2


def test_an_old_folder_in_which_a_file_grows_is_not_swept(tmp_path: Path, root: Path) -> None:
    folder = root / "pixels" / ".new-slow"
    folder.mkdir(parents=True)
    (folder / "pixels.bin").write_bytes(b"rows")
    long_ago = time.time() - cache.ABANDONED_SECONDS - 60
    os.utime(folder, (long_ago, long_ago))
    load_source(builders.folder(tmp_path))
    assert unfinished() == [folder]


# The bound on its size.


def many(tmp_path: Path, first: int) -> Path:
    """A folder of 16 pictures that no other ``first`` has."""
    return builders.write_tree(
        tmp_path / f"set {first}",
        {
            f"{label}/{i}.png": builders.png(builders.image(label, first + i))
            for label in range(2)
            for i in range(8)
        },
    )


def last_used(name: str, seconds_ago: float) -> None:
    (key,) = (e.key for e in cache.entries() if e.name == name)
    then = time.time() - seconds_ago
    os.utime(cache.cache_root() / "pixels" / key, (then, then))


def test_what_was_used_longest_ago_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = (many(tmp_path, first) for first in (0, 100, 200))
    load_source(a)
    load_source(b)
    size = max(e.bytes for e in cache.entries())
    last_used("set 0", 7200)
    last_used("set 100", 3600)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, str(2.5 * size / 1e9))
    load_source(a)  # and so b is the one used longest ago
    load_source(c)
    assert [e.name for e in cache.entries()] == ["set 200", "set 0"]
    assert sum(e.bytes for e in cache.entries()) <= cache.limit_bytes()


def test_the_newest_stays_however_small_the_bound_and_evicted_pixels_can_be_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "1e-9")
    first = load_source(many(tmp_path, 0))
    second = load_source(many(tmp_path, 100))
    assert [e.name for e in cache.entries()] == ["set 100"]
    for images, start_at in ((first, 0), (second, 100)):
        assert is_mapped(images.pixels)
        assert said_about_the_cache(images) == []
        want = {builders.image(k, start_at + i).tobytes() for k in range(2) for i in range(8)}
        assert {p.tobytes() for p in images.pixels} == want


@pytest.mark.parametrize("text", ["0", "-3", "much", "nan", "inf", "20 GB"])
def test_a_bound_that_is_no_number_above_0_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = builders.folder(tmp_path)
    load_source(source)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, text)
    for spec in (DataSpec(), DataSpec(image_size=16)):  # whether it is in the cache or not
        with pytest.raises(RequestError, match=f"{cache.LIMIT_VARIABLE}: .*'{text}'"):
            load_source(source, spec)


def test_an_empty_bound_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "")
    assert cache.limit_bytes() == 20 * 10**9


# Without a cache.


def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "a file").write_text("")
    return tmp_path / "a file"


@pytest.mark.parametrize("where", [below_a_file, lambda _: Path("/proc/conviction-cache")])
def test_without_a_cache_pixels_are_in_memory_and_it_is_said(
    where: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = builders.folder(tmp_path)
    want = load_source(source)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(where(tmp_path)))
    for _ in range(2):
        images = load_source(source)
        assert_same(images, want)
        (said,) = said_about_the_cache(images)
        assert str(where(tmp_path)) in said
        assert cache.CACHE_VARIABLE in said
    assert cache.entries() == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.Rows, "write", no_room)


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_pixels_are_in_memory_and_it_is_said(tmp_path: Path) -> None:
    images = load_source(builders.folder(tmp_path))
    got = {(int(y), p.tobytes()) for y, p in zip(images.labels, images.pixels, strict=True)}
    assert got == {(label, builders.image(label, i).tobytes()) for label in range(3) for i in range(8)}
    (said,) = said_about_the_cache(images)
    assert os.strerror(errno.ENOSPC) in said
    assert cache.entries() == []
    assert unfinished() == []


@pytest.mark.usefixtures("full_disk")
def test_what_neither_disk_nor_memory_can_hold_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "LARGEST_IN_MEMORY", 1)
    source = builders.write_tree(tmp_path / "few", {f"{i % 2}/{i}.bmp": bmp(0, i) for i in range(5)})
    with pytest.raises(StorageError) as refused:
        load_source(source, DataSpec(image_size=2048))
    message = str(refused.value)
    assert "0.1 GB" in message  # 5 x 2048 x 2048 x 3
    assert str(root) in message
    assert os.strerror(errno.ENOSPC) in message


# The order of work changes nothing.


@pytest.mark.parametrize("kind", ["folder", pytest.param("zip", marks=pytest.mark.full)])
def test_several_processes_give_what_one_gives(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = dict(builders.files())
    for i, content in enumerate([b"", b"text", cut_png(), builders.png(builders.image(0, 0))[:40]]):
        tree[f"{builders.CLASSES[i % 3]}/{i}-broken.png"] = content
    source = builders.write_tree(tmp_path / "animals", tree)
    if kind == "zip":
        source = tmp_path / "animals.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in tree.items():
                archive.writestr(name, content)
    alone = load_source(source)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "another cache"))
    monkeypatch.setattr(pictures, "FEW_FILES", 1)
    monkeypatch.setattr(pictures, "FEW_BYTES", 1)
    monkeypatch.setattr(pictures, "CHUNK_FILES", 7)
    monkeypatch.setattr(pictures, "usable_cores", lambda: 2)
    readers = tmp_path / "readers"
    monkeypatch.setattr(pictures, "read_chunk", Recorded(pictures.read_chunk, readers))
    together = load_source(source)
    assert len(set(readers.read_text().split())) == 2
    assert len(alone.unreadable) == 4
    assert_same(together, alone)
    assert together.names == alone.names
    assert np.array_equal(together.pixels, alone.pixels)
    (entry,) = cache.entries()
    assert entry.shape[0] == len(alone)  # without gaps where files could not be read


@dataclass(frozen=True)
class Recorded:
    """``read_chunk`` that writes down which process has read."""

    real: Callable[..., object]
    readers: Path

    def __call__(self, *task: object) -> object:
        with self.readers.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.real(*task)


def test_what_fails_in_another_process_fails_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = builders.folder(tmp_path)
    want = load_source(source)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "another cache"))
    monkeypatch.setattr(pictures, "FEW_FILES", 1)
    monkeypatch.setattr(pictures, "CHUNK_FILES", 7)
    monkeypatch.setattr(pictures, "usable_cores", lambda: 2)
    monkeypatch.setattr(pictures, "read_chunk", NoRoomElsewhere(pictures.read_chunk, os.getpid()))
    images = load_source(source)
    assert_same(images, want)
    (said,) = said_about_the_cache(images)
    assert os.strerror(errno.ENOSPC) in said


@dataclass(frozen=True)
class NoRoomElsewhere:
    """``read_chunk`` that cannot write in any process but one."""

    real: Callable[..., object]
    here: int

    def __call__(self, start: int, places: object, rule: object, rows: object) -> object:
        if rows is not None and os.getpid() != self.here:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(start, places, rule, rows)


def test_a_wrong_guess_from_a_few_headers_gives_what_all_headers_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[DecodingRule]
) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (40, 40, 40), dtype=np.uint8)
    odd = np.random.default_rng(1).integers(0, 256, (52, 60, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(40):
            archive.writestr(f"{'ab'[i % 2]}/{i}.png", builders.png(odd if i == 21 else gray[i]))
    monkeypatch.setattr(decoded, "GUESSED_FROM", 3)  # the first, one in the middle, the last
    guessed = load_source(tmp_path / "a.zip")
    assert [r.color_mode for r in readings] == ["grayscale", "rgb"]
    readings.clear()
    monkeypatch.setattr(decoded, "GUESSED_FROM", 1000)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "another cache"))
    known = load_source(tmp_path / "a.zip")
    assert [r.color_mode for r in readings] == ["rgb"]
    assert_same(guessed, known)
    assert guessed.conversions == known.conversions


def test_a_guess_when_every_header_looked_at_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "GUESSED_FROM", 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ant/first.png", b"broken")
        for name, content in builders.files().items():
            archive.writestr(name, content)
        archive.writestr("cow/last.png", b"broken")
    images = load_source(tmp_path / "a.zip")
    assert images.pixels.shape == (24, 30, 30, 3)
    assert {u.name for u in images.unreadable} == {"ant/first.png", "cow/last.png"}


# Large JPEG files.


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(h, w, 3) uint8: soft shapes with some grain, as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (9, 11, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(soft + rng.integers(-6, 7, soft.shape), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


SCALES = [
    ((512, 640), 64, 4),
    ((512, 640), 28, 4),
    ((1024, 1200), 64, 8),
    ((301, 257), 64, 2),
    ((250, 900), 64, 1),
]


@pytest.mark.parametrize(("size", "side", "scale"), SCALES)
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(size: tuple[int, int], side: int, scale: int) -> None:
    content = jpeg(scene(*size))
    rule = DecodingRule(color_mode="rgb", height=side, width=side)
    with Image.open(io.BytesIO(content)) as picture:
        if scale > 1:
            picture.draft(None, (size[1] // scale, size[0] // scale))
        assert picture.size == (-(-size[1] // scale), -(-size[0] // scale))
        want = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))
    got = decode.decode(content, rule)
    assert np.array_equal(got, want)
    whole = decode.decode(content, rule.model_copy(update={"version": 1}))
    assert np.abs(got.astype(int) - whole).mean() < 2


KINDS: dict[str, Callable[[np.ndarray], bytes]] = {
    "4:2:0": lambda x: jpeg(x, subsampling="4:2:0"),
    "4:2:2": lambda x: jpeg(x, subsampling="4:2:2"),
    "4:4:4": lambda x: jpeg(x, subsampling="4:4:4"),
    "progressive": lambda x: jpeg(x, progressive=True),
    "gray": lambda x: jpeg(x[..., 0]),
    "progressive gray": lambda x: jpeg(x[..., 0], progressive=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_for_jpeg_gives_the_pixels_of_pillow(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(1, 1), (7, 30), (30, 30), (33, 47), (131, 128), (257, 301), (511, 513), (1031, 777)]
    rules = [
        DecodingRule(color_mode=mode, height=height, width=width, version=version)
        for mode in ("grayscale", "rgb")
        for height, width in ((30, 30), (64, 48))
        for version in (1, 2)
    ]
    rules += [rules[-1].model_copy(update={"fit": fit}) for fit in ("crop", "pad")]
    contents = [KINDS[kind](scene(*size)) for size in sizes]
    assert all(decode._plain_jpeg(c) for c in contents)
    short = [decode.probe_and_decode(c, rules) for c in contents]
    probes = [decode.probe(c) for c in contents]
    monkeypatch.setattr(decode, "_plain_jpeg", lambda content: None)
    for content, header, size, (found, got) in zip(contents, probes, sizes, short, strict=True):
        assert decode.probe(content) == header == found
        for rule, pixels in zip(rules, got, strict=True):
            assert np.array_equal(pixels, decode.decode(content, rule)), (size, rule)


def test_what_is_cheap_to_ask_of_a_large_jpeg_is_what_is_true() -> None:
    """EXIF anywhere before the pixels, and the number of scans, with look-alikes inside other segments."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + (2 + len(body)).to_bytes(2, "big") + body

    plain = KINDS["4:2:0"](scene(520, 300))
    large = plain + bytes(2**16)
    lookalike = segment(0xE2, b"\xff\xda Exif\0 \xff\xe1" + bytes(50_000))
    exif = segment(0xE1, b"Exif\0\0" + bytes(20))
    for between, has in ((b"", False), (lookalike, False), (exif, True), (lookalike + exif, True)):
        assert decode._may_have_exif(large[:2] + between + large[2:]) is has
    assert decode._may_have_exif(b"\xff\xd8\xff" + bytes(2**16))  # not understood: Pillow is asked
    assert decode._may_have_exif(large[:2] + segment(0xE2, bytes(2**15))[:-3])  # ends inside a segment
    progressive = KINDS["progressive"](scene(520, 300))
    assert decode._scanned(progressive, 10**9) == progressive.count(b"\xff\xda") * 10**9
    assert decode._scanned(progressive, 1) >= progressive.count(b"\xff\xda")


Turn = Callable[[np.ndarray], np.ndarray]
# From upright to stored, and back.
ORIENTATIONS: dict[int, tuple[Turn, Turn]] = {
    1: (lambda x: x, lambda x: x),
    2: (lambda x: x[:, ::-1], lambda x: x[:, ::-1]),
    3: (lambda x: x[::-1, ::-1], lambda x: x[::-1, ::-1]),
    4: (lambda x: x[::-1], lambda x: x[::-1]),
    5: (lambda x: x.transpose(1, 0, 2), lambda x: x.transpose(1, 0, 2)),
    6: (lambda x: np.rot90(x, 1), lambda x: np.rot90(x, -1)),
    7: (lambda x: x[::-1, ::-1].transpose(1, 0, 2), lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
    8: (lambda x: np.rot90(x, -1), lambda x: np.rot90(x, 1)),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_large_rotated_jpeg_stands_upright(orientation: int) -> None:
    store, upright = ORIENTATIONS[orientation]
    pixels = scene(520, 300)
    stored = np.ascontiguousarray(store(pixels))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = jpeg(stored, exif=exif)
    found = decode.probe(content)
    assert (found.width, found.height) == (300, 520)
    # Half the size is enough as it stands, 150 x 260, and would not be as it lies.
    rule = DecodingRule(color_mode="rgb", height=100, width=40)
    got = decode.decode(content, rule)
    with Image.open(io.BytesIO(jpeg(stored))) as picture:
        picture.draft(None, (picture.width // 2, picture.height // 2))
        half = upright(np.asarray(picture))
    assert half.shape == (260, 150, 3)
    assert np.array_equal(got, decode.decode_array(half, rule))
    assert np.abs(got.astype(int) - decode.decode_array(pixels, rule)).mean() < 2


def test_the_small_copy_does_not_depend_on_the_size_that_is_asked_for(tmp_path: Path) -> None:
    tree = {f"{'ab'[i % 2]}/{i}.jpg": jpeg(scene(300 + 40 * i, 420, i)) for i in range(6)}
    tree |= {f"{'ab'[i % 2]}/{i}.png": builders.png(scene(80, 70, i)) for i in range(6)}
    source = builders.write_tree(tmp_path / "photos", tree)
    small, large, gray = (
        load_source(source, spec)
        for spec in (
            DataSpec(image_size=28),
            DataSpec(image_size=200),
            DataSpec(image_size=28, color_mode="grayscale"),
        )
    )
    thumbs = [dict(zip(s.names, (t.tobytes() for t in s.thumbs), strict=True)) for s in (small, large, gray)]
    assert thumbs[0] == thumbs[1] == thumbs[2]
    assert small.pixels.shape[1:] == (28, 28, 3)
    assert large.pixels.shape[1:] == (200, 200, 3)
    # Nor on the version of the rule, which a saved model brings along.
    old = small.rule.model_copy(update={"version": 1})
    assert pictures.thumb_rule(old) == pictures.thumb_rule(small.rule)


def test_what_is_listed_is_what_is_there(tmp_path: Path) -> None:
    load_source(builders.folder(tmp_path))
    place = only_entry()
    (entry,) = cache.entries()
    assert entry.name == "animals"
    assert entry.shape == (24, 30, 30, 3)
    assert entry.bytes == sum(p.stat().st_size for p in place.iterdir())
    shutil.copytree(place, place.with_name(".new-not-yet-renamed"))
    assert cache.entries() == [entry]
    assert json.loads((place / "about.json").read_text())["thumbs"] == [24, 32, 32, 3]
    assert cache.clear() > entry.bytes
    assert cache.entries() == []
    assert cache.clear() == 0
