"""What a person has written about a run, in its folder: ``note.txt``."""

from __future__ import annotations

import contextlib
from pathlib import Path

from conviction.config.text import read_bounded
from conviction.errors import RequestError
from conviction.runs import folder

# Characters; more is a document, which belongs elsewhere.
MOST_NOTE = 500


def read_note(run: Path) -> str:
    """The note of a run; empty if it has none, or none that can be read: a run is not damaged by its note."""
    file = run / folder.NOTE
    with contextlib.suppress(OSError, ValueError):
        if file.is_symlink():  # to somebody else's file, perhaps
            return ""
        return read_bounded(file, 8 * MOST_NOTE).decode("utf-8", "replace").strip()[:MOST_NOTE]
    return ""


def write_note(run: Path, note: str) -> None:
    """Writes the note of a run, or removes it if there is nothing left of it.

    Args:
        run: The run folder.
        note: At most ``MOST_NOTE`` characters.

    Raises:
        RequestError: It is longer.
        OutputError, StorageError: It cannot be written.
    """
    text = note.strip()
    if len(text) > MOST_NOTE:
        raise RequestError(f"A note has at most {MOST_NOTE} characters; this one has {len(text):,}.")
    if text:
        folder.write_text(run / folder.NOTE, f"{text}\n")
        return
    with folder.storing(run):
        (run / folder.NOTE).unlink(missing_ok=True)
