"""The ledger counts openings per test set, also from several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conviction.errors import StorageError
from conviction.evaluation import count_openings, openings_sentence, record_opening
from conviction.evaluation.ledger import ledger_path
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVICTION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_openings_are_counted_by_test_set(home: Path) -> None:
    assert count_openings("aa") == 0
    assert record_opening("aa", Path("run-1"), "fit") == 1
    assert record_opening("bb", Path("run-2"), "fit") == 1
    assert record_opening("aa", Path("run-3"), "fit") == 2
    lines = [json.loads(line) for line in ledger_path().read_text().splitlines()]
    assert [line["test_set"] for line in lines] == ["aa", "bb", "aa"]
    assert all(Path(line["run"]).is_absolute() for line in lines)


def test_processes_at_once_lose_no_opening() -> None:
    script = (
        "from pathlib import Path\nfrom conviction.evaluation.ledger import record_opening\n"
        "for i in range(50): record_opening('cc', Path('r'), 'fit')"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [w.wait(PATIENCE) for w in workers] == [0, 0, 0]
    assert count_openings("cc") == 150
    for line in ledger_path().read_text().splitlines():
        json.loads(line)


def test_a_ledger_that_cannot_be_written_keeps_the_test_set_sealed(home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="stays sealed"):
        record_opening("aa", Path("run"), "fit")


def test_more_openings_weaken_the_claim_in_words() -> None:
    assert "opened once" in openings_sentence(1)
    assert "opened 3 times" in openings_sentence(3)
    assert "optimistic" in openings_sentence(3)
