"""The ledger: how often each test set has been opened, across runs.

Sealed means that no prediction is scored against the labels of the test set. Every choice made after
looking at a test score makes the next score on it a little less of a test, so openings are counted, by
the content of the test set, in the user's own data folder.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from conviction.config.home import HOME_VARIABLE, home_folder
from conviction.errors import StorageError


def ledger_path() -> Path:
    """``openings.jsonl`` in the user's folder."""
    return home_folder() / "openings.jsonl"


def record_opening(test_hash: str, run: Path, command: str) -> int:
    """Adds one opening; returns how often this test set has now been opened, this time included.

    Raises:
        StorageError: The ledger cannot be written; then the test set must stay sealed.
    """
    path = ledger_path()
    line = {
        "test_set": test_hash,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run.resolve()),
        "command": command,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One short write in append mode: lines of two processes at once do not mix.
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(line) + "\n").encode())
    except OSError as failure:
        raise StorageError(
            f"{path}: cannot record that the test set is opened ({failure.strerror}), so it stays sealed. Make "
            f"the folder writable, or name another one in {HOME_VARIABLE}."
        ) from None
    return count_openings(test_hash)


def count_openings(test_hash: str) -> int:
    """How often the test set with this hash has been opened."""
    try:
        lines = ledger_path().read_bytes().splitlines()
    except FileNotFoundError:
        return 0
    needle = json.dumps(test_hash).encode()
    return sum(b'"test_set": ' + needle in line for line in lines)


def openings_sentence(count: int) -> str:
    """What the number of openings means for the figure."""
    if count <= 1:
        return "This test set has been opened once, for this figure."
    return (
        f"This test set has been opened {count} times. If choices were made after earlier openings, "
        "the figure is somewhat optimistic; images that nobody has looked at would tell."
    )
