"""A question, and what it is made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from conviction.lesson.facts import Facts

# An answer and why it is right, or why it is wrong.
Answer = tuple[str, str]


@dataclass(frozen=True)
class Option:
    """A possible answer, and why it is right or wrong."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Question:
    """A question with exactly one right option; ``name`` is unique within its chapter."""

    chapter: str
    name: str
    prompt: str
    options: tuple[Option, ...]

    @property
    def right(self) -> Option:
        """The right option."""
        return next(option for option in self.options if option.right)


@dataclass(frozen=True)
class QuestionDraft:
    """What a question is made of, before its options are chosen and mixed."""

    prompt: str
    right: Answer
    wrong: list[Answer]


# Takes the facts and a source of chance; None if the run gives nothing to ask about.
Maker = Callable[[Facts, random.Random], QuestionDraft | None]


def plural(number: float, noun: str) -> str:
    """``1 epoch``, ``12 epochs``, ``1 batch``, ``2 batches``."""
    # Not every "ch": the one of "epoch" is a k.
    ending = "es" if noun.endswith(("s", "x", "tch", "sh")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def times(shape: tuple[int, ...]) -> str:
    """``26x26x32``."""
    return "x".join(map(str, shape))
