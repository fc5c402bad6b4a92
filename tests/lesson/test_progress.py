"""Progress: cards come back in time, and no answer is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conviction.errors import OutputError
from conviction.lesson.progress import (
    NEW_AT_ONCE,
    LearningProgress,
    card_key,
    load_progress,
    progress_path,
    update_progress,
)
from conviction.lesson.shelf import cards
from tests.patience import PATIENCE

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVICTION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_known_well_comes_back_later_and_intervals_grow() -> None:
    due = {}
    for answer in ("again", "hard", "good", "easy"):
        progress = LearningProgress()
        due[answer] = progress.remember(cards()[0], answer, BEGIN)  # type: ignore[arg-type]
    assert BEGIN < due["again"] < due["hard"] < due["good"] < due["easy"]
    progress, at, gaps = LearningProgress(), BEGIN, []
    for _ in range(5):
        following = progress.remember(cards()[0], "good", at)
        gaps.append(following - at)
        at = following
    assert gaps == sorted(gaps)
    assert gaps[-1] > timedelta(days=20)


def test_due_cards_come_first_the_longest_due_before_all_others() -> None:
    progress, deck = LearningProgress(), cards()
    progress.remember(deck[5], "easy", BEGIN)
    progress.remember(deck[6], "again", BEGIN)
    progress.remember(deck[7], "good", BEGIN)
    soon = progress.due(deck, BEGIN + timedelta(minutes=30))
    assert soon[:2] == [deck[6], deck[7]]
    assert deck[5] not in soon
    assert len(soon) == 2 + NEW_AT_ONCE
    late = progress.due(deck, BEGIN + timedelta(days=100))
    assert late[:3] == [deck[6], deck[7], deck[5]]


def test_it_is_kept_and_keys_do_not_depend_on_the_order() -> None:
    update_progress(lambda p: p.remember(cards()[3], "good", BEGIN))
    update_progress(lambda p: p.quiz.update({"data": (3, 6)}))
    again = load_progress()
    assert again.quiz == {"data": (3, 6)}
    assert again.due_at(cards()[3]) is not None
    assert len({card_key(card) for card in cards()}) == len(cards())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"read": {}}', '{"read": {}, "quiz": {"a": 1}, "cards": {}}', "\x00"]
)
def test_a_damaged_file_is_named_and_left_as_it_is(content: str) -> None:
    progress_path().parent.mkdir(parents=True)
    progress_path().write_text(content)
    with pytest.raises(OutputError, match=r"learning\.json.*Move the file away"):
        update_progress(lambda p: None)
    assert progress_path().read_text() == content


def test_two_sessions_at_once_lose_no_answer(home: Path) -> None:
    code = (
        "import sys; from datetime import datetime, UTC\n"
        "from conviction.lesson.shelf import cards\n"
        "from conviction.lesson.progress import update_progress\n"
        "for card in cards()[int(sys.argv[1])::2]:\n"
        "    update_progress(lambda p: p.remember(card, 'good', datetime.now(UTC)))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    assert len(load_progress().cards) == len(cards())
    assert sorted(p.name for p in home.iterdir()) == ["learning.json"]


def test_fronts_are_unique_and_the_file_is_readable(home: Path) -> None:
    update_progress(lambda p: p.read.update({"data": BEGIN.isoformat()}))
    assert json.loads(progress_path().read_text())["read"] == {"data": "2026-01-01T00:00:00+00:00"}
    assert len({card.front for card in cards()}) == len(cards())
