"""Standard output and error that accept every letter: no run is lost because a name cannot be shown."""

from __future__ import annotations

import codecs
import io
import sys

HANDLER = "conviction.replace"
# Encodings in which a letter was missing.
_lacking: set[str] = set()


def take_every_letter() -> None:
    """From now on, letters that the encoding of a stream does not have are written as question marks."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        # UTF-8 keeps surrogateescape, which writes the bytes of a file name as they were.
        if stream.errors == "strict" or (
            stream.errors == "surrogateescape" and not _is_utf8(stream.encoding)
        ):
            stream.reconfigure(errors=HANDLER)


def say_what_was_replaced() -> None:
    """One line on stderr, if anything was."""
    for encoding in sorted(_lacking):
        print(
            f"conviction: some letters are shown as '?', because the encoding {encoding} does not have them; the "
            "files of the run do. PYTHONUTF8=1 shows them if the terminal can.",
            file=sys.stderr,
        )


def _replace(failure: UnicodeError) -> tuple[str, int]:
    assert isinstance(failure, UnicodeEncodeError)
    if not _is_utf8(failure.encoding):  # UTF-8 lacks only what is not a letter
        _lacking.add(failure.encoding)
    return "?" * (failure.end - failure.start), failure.end


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"
