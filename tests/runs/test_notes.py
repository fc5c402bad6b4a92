"""The note of a run: whatever stands in its place, the run is not damaged by it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conviction.errors import RequestError
from conviction.runs.notes import MOST_NOTE, read_note, write_note


def test_a_note_is_read_as_it_was_written_and_goes_with_its_last_word(tmp_path: Path) -> None:
    assert read_note(tmp_path) == ""
    write_note(tmp_path, "  a higher rate, twice as wild: ünï \n")
    assert read_note(tmp_path) == "a higher rate, twice as wild: ünï"
    write_note(tmp_path, "x" * MOST_NOTE)
    assert read_note(tmp_path) == "x" * MOST_NOTE
    with pytest.raises(RequestError, match="at most 500 characters; this one has 501"):
        write_note(tmp_path, "x" * (MOST_NOTE + 1))
    assert read_note(tmp_path) == "x" * MOST_NOTE
    write_note(tmp_path, " ")
    assert os.listdir(tmp_path) == []
    write_note(tmp_path, "")


@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("/etc/hostname"),
        lambda path: path.write_bytes(b"x" * 10**6),
    ],
    ids=["folder", "pipe", "link", "a book"],
)
def test_what_is_no_note_is_none(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "note.txt")
    assert read_note(tmp_path) == ""


def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"good \xff\xfe rate")
    assert read_note(tmp_path) == "good \ufffd\ufffd rate"
