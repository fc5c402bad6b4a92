"""What a learner has read, answered and remembered: ``learning.json`` in the user's folder.

Cards come back when they are about to be forgotten, by FSRS (Ye et al., 2022, "A Stochastic Shortest Path Algorithm for
Optimizing Spaced Repetition Scheduling").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fsrs import Card as Memory
from fsrs import Rating, Scheduler

from conviction.config.home import HOME_VARIABLE, home_folder
from conviction.errors import OutputError
from conviction.lesson.record import DIRECTIONS, Direction
from conviction.lesson.shelf import FlashCard
from conviction.runs import folder

Answer = Literal["again", "hard", "good", "easy"]
RATINGS: dict[Answer, Rating] = {
    "again": Rating.Again,
    "hard": Rating.Hard,
    "good": Rating.Good,
    "easy": Rating.Easy,
}
# The number of new cards that are started in one sitting.
NEW_AT_ONCE = 10


@dataclass
class ExerciseProgress:
    """How far a learner is with an exercise.

    Attributes:
        tries: How often a solution of the learner's own was checked.
        hints: How many hints were shown.
        passed: When it was first right, ISO 8601; None if it never was.
        shown: Whether the solution was shown before that.
    """

    tries: int = 0
    hints: int = 0
    passed: str | None = None
    shown: bool = False


@dataclass
class LearningProgress:
    """A learner's progress.

    Attributes:
        read: When each chapter was last read, ISO 8601, by name.
        quiz: The last result of each chapter's quiz: right answers, and of how many.
        cards: What FSRS remembers of each card that was ever shown, by ``card_key``.
        exercises: Those that were begun, by name.
        guesses: What was expected of each claim, before what was measured was shown.
    """

    read: dict[str, str] = field(default_factory=dict)
    quiz: dict[str, tuple[int, int]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    exercises: dict[str, ExerciseProgress] = field(default_factory=dict)
    guesses: dict[str, Direction] = field(default_factory=dict)

    def due(self, cards: Sequence[FlashCard], now: datetime) -> list[FlashCard]:
        """The cards to be shown now: those that are due, the longest due first, then some new ones."""
        known = [(self.due_at(card), card) for card in cards]
        late = sorted(((at, card) for at, card in known if at and at <= now), key=lambda pair: pair[0])
        new = [card for at, card in known if at is None]
        return [card for _, card in late] + new[:NEW_AT_ONCE]

    def due_at(self, card: FlashCard) -> datetime | None:
        """When a card is due; None if it was never shown."""
        memory = self.cards.get(card_key(card))
        return Memory.from_dict(memory).due if memory else None  # type: ignore[arg-type]

    def remember(self, card: FlashCard, answer: Answer, now: datetime) -> datetime:
        """Records how well the learner knew a card; returns when it is due again."""
        key = card_key(card)
        memory = Memory.from_dict(self.cards[key]) if key in self.cards else Memory(card_id=0, due=now)  # type: ignore[arg-type]
        memory, _ = Scheduler(enable_fuzzing=False).review_card(memory, RATINGS[answer], now)
        self.cards[key] = dict(memory.to_dict())
        return memory.due


def card_key(card: FlashCard) -> str:
    """Stays the same when cards are added or moved: a hash of the front."""
    return hashlib.blake2b(card.front.encode(), digest_size=8).hexdigest()


def progress_path() -> Path:
    """``learning.json`` in the user's folder."""
    return home_folder() / "learning.json"


def load_progress(path: Path | None = None) -> LearningProgress:
    """The progress so far, or none.

    Args:
        path: A file of another learner's; by default ``progress_path()``.

    Raises:
        OutputError: The file cannot be understood; none of it is thrown away.
    """
    path = path or progress_path()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        quiz = {name: (int(right), int(of)) for name, (right, of) in content["quiz"].items()}
        cards = {str(key): dict(value) for key, value in content["cards"].items()}
        for value in cards.values():
            Memory.from_dict(value)  # type: ignore[arg-type]
        # Absent in a file of an earlier version.
        exercises = {str(name): _exercise(value) for name, value in content.get("exercises", {}).items()}
        guesses = {str(name): _direction(value) for name, value in content.get("guesses", {}).items()}
        return LearningProgress(dict(content["read"]), quiz, cards, exercises, guesses)
    except FileNotFoundError:
        return LearningProgress()
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as failure:
        raise OutputError(
            f"{path}: your progress cannot be read ({type(failure).__name__}). Move the file away to start again, "
            f"or name another folder in {HOME_VARIABLE}."
        ) from None


def _exercise(value: Mapping[str, Any]) -> ExerciseProgress:
    passed = value["passed"]
    return ExerciseProgress(
        int(value["tries"]),
        int(value["hints"]),
        None if passed is None else str(passed),
        bool(value["shown"]),
    )


def _direction(value: object) -> Direction:
    for direction in DIRECTIONS:
        if value == direction:
            return direction
    raise ValueError(f"expected one of {', '.join(DIRECTIONS)}")


def update_progress(change: Callable[[LearningProgress], Any], path: Path | None = None) -> None:
    """Reads, changes and writes the progress under a lock, so that two sessions do not undo each other's answers.

    Args:
        change: Changes the progress in place.
        path: As for ``load_progress``.

    Raises:
        OutputError: As for ``load_progress``, or the folder is read-only.
        StorageError: It cannot be written.
    """
    path = path or progress_path()
    with folder.storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with folder.claimed(path.parent, wait=True):
        progress = load_progress(path)
        change(progress)
        content: Mapping[str, Any] = {
            "read": progress.read,
            "quiz": progress.quiz,
            "cards": progress.cards,
            "exercises": {name: asdict(value) for name, value in progress.exercises.items()},
            "guesses": progress.guesses,
        }
        folder.write_json(path, content)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
