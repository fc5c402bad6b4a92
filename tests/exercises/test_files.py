"""A learner's file, which the page and other programs write."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.errors import OutputError, RequestError
from conviction.exercises import files
from conviction.exercises.catalogue import exercise_named
from conviction.exercises.exercise import Exercise
from conviction.exercises.files import (
    ChangedElsewhereError,
    LearnerFile,
    file_of,
    load,
    read,
    store,
    stub_file,
)

_, EXERCISE = exercise_named("normalise")


def test_where_there_is_no_file_there_is_the_task_and_nothing_is_written(tmp_path: Path) -> None:
    known = load(EXERCISE, tmp_path / "new")
    assert (known.text, known.version) == (stub_file(EXERCISE), "")
    assert not (tmp_path / "new").exists()
    with pytest.raises(RequestError, match="was not found"):
        read(EXERCISE, tmp_path / "new")
    version = store(EXERCISE, tmp_path / "new", "x = 1\n", "")
    assert load(EXERCISE, tmp_path / "new").version == version
    assert read(EXERCISE, tmp_path / "new") == "x = 1\n"


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_stored_is_loaded(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("files")
    version = store(EXERCISE, directory, text, "")
    loaded = load(EXERCISE, directory)
    without_mark = text.removeprefix("\ufeff")
    assert (loaded.text, loaded.version) == (without_mark.replace("\r\n", "\n").replace("\r", "\n"), version)


def test_an_editor_of_another_system_changes_nothing_but_the_ends_of_lines(tmp_path: Path) -> None:
    path = file_of(EXERCISE, tmp_path)
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    known = load(EXERCISE, tmp_path)
    assert known.text == "a = 1\nb = 2\n"
    # Nothing was changed, so nothing is written.
    assert store(EXERCISE, tmp_path, known.text, known.version) == known.version
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    store(EXERCISE, tmp_path, "a = 3\nb = 2\n", known.version)
    assert path.read_bytes() == b"a = 3\nb = 2\n"


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    path = file_of(EXERCISE, tmp_path)
    first = store(EXERCISE, tmp_path, "1\n", "")
    path.write_text("2\n")
    for version in ("", first):
        with pytest.raises(
            ChangedElsewhereError, match="was changed or deleted outside this page"
        ) as refusal:
            store(EXERCISE, tmp_path, "3\n", version)
        assert refusal.value.current == load(EXERCISE, tmp_path)
        assert path.read_text() == "2\n"
    # The same text from two sides is no conflict.
    assert store(EXERCISE, tmp_path, "2\n", first) == refusal.value.current.version
    # A file that was deleted meanwhile is not created again without asking.
    path.unlink()
    with pytest.raises(ChangedElsewhereError):
        store(EXERCISE, tmp_path, "3\n", first)


def test_only_one_of_many_simultaneous_writes_succeeds(tmp_path: Path) -> None:
    version = store(EXERCISE, tmp_path, "0\n", "")
    written: list[str] = []
    start = threading.Barrier(8)

    def write(text: str) -> None:
        start.wait()
        try:
            store(EXERCISE, tmp_path, text, version)
        except ChangedElsewhereError:
            return
        written.append(text)

    threads = [threading.Thread(target=write, args=(f"{n}\n",)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert read(EXERCISE, tmp_path) == written[0]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.py"
    real.write_text("1\n")
    real.chmod(0o640)
    file_of(EXERCISE, tmp_path).symlink_to(real)
    store(EXERCISE, tmp_path, "2\n", load(EXERCISE, tmp_path).version)
    assert file_of(EXERCISE, tmp_path).is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("2\n", 0o640)


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    path = file_of(EXERCISE, tmp_path)
    path.mkdir()
    for ask in (lambda: load(EXERCISE, tmp_path), lambda: store(EXERCISE, tmp_path, "x", "")):
        with pytest.raises(RequestError, match="is not a regular file"):
            ask()
    path.rmdir()
    os.mkfifo(path)  # reading it would wait for ever
    with pytest.raises(RequestError, match="is not a regular file"):
        load(EXERCISE, tmp_path)
    path.unlink()
    path.write_bytes(b"x = '\xe4'\n")
    with pytest.raises(RequestError, match="byte 6 is not valid UTF-8"):
        load(EXERCISE, tmp_path)
    path.write_bytes(b"#" * 200_001)
    with pytest.raises(RequestError, match="at most 200,000 bytes"):
        load(EXERCISE, tmp_path)
    path.unlink()
    with pytest.raises(RequestError, match="at most 200,000 bytes"):
        store(EXERCISE, tmp_path, "#" * 200_001, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        store(EXERCISE, tmp_path / "file", "x", "")


def test_what_other_processes_write_in_between_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store(EXERCISE, tmp_path, "1\n", "")
    path = file_of(EXERCISE, tmp_path)
    looks = []

    def look(exercise: Exercise, directory: Path) -> LearnerFile:
        looks.append(load(exercise, directory))
        if len(looks) == 1:
            path.write_text("2\n")
        return load(exercise, directory) if len(looks) > 1 else looks[0]

    monkeypatch.setattr(files, "load", look)
    with pytest.raises(ChangedElsewhereError):
        store(EXERCISE, tmp_path, "3\n", version)
    assert path.read_text() == "2\n"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
