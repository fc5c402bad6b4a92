"""What a learner expected of an experiment before it ran, and what was found: a line of JSON each."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from conviction.errors import OutputError
from conviction.runs import folder

LONGEST = 500


@dataclass(frozen=True)
class Guess:
    """A guess.

    Attributes:
        question: Of the lab, such as ``kernel``.
        guess: In the learner's words.
        found: The sentence of the experiment; None while it runs.
        time: ISO 8601, when it was written.
    """

    question: str
    guess: str
    found: str | None = None
    time: str = ""


def keep_guess(path: Path, question: str, guess: str, finding: str | None = None) -> Guess:
    """Adds a guess, or the same with what was found; the last line on a question and guess counts.

    Raises:
        StorageError: It cannot be written.
        OutputError: The folder is read-only.
    """
    kept = Guess(question, guess[:LONGEST], finding, datetime.now(UTC).isoformat(timespec="seconds"))
    with folder.storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(asdict(kept)) + "\n").encode())
            os.fsync(file.fileno())
    return kept


def read_guesses(path: Path) -> list[Guess]:
    """All guesses, oldest first, each with what was found if it is known by now.

    Raises:
        OutputError: The file is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    latest: dict[tuple[str, str], Guess] = {}
    try:
        # A line that a crash cut off has no end.
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            guess = Guess(**json.loads(line))
            latest[guess.question, guess.guess] = guess
    except (ValueError, TypeError):
        raise OutputError(f"{path}: the guesses cannot be read. Move the file away to start again.") from None
    return list(latest.values())
