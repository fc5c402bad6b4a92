"""A piece of a program: code, and a sentence about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A step of the lab as code.

    Attributes:
        title: In a few words.
        reason: Why it is done this way, in a sentence or two.
        code: Lines of Python at module level.
        chapter: Of the lesson, which a notebook shows before the first section that names it; empty if there is none.
        look: Code that shows what the code made, which a notebook runs after it; empty if there is none.
    """

    title: str
    reason: str
    code: str
    chapter: str = ""
    look: str = ""
