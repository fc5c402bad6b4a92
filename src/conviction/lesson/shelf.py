"""The texts as they are kept: Markdown and YAML below ``text``, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml

Depth = Literal["quick", "standard", "deep"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)


@dataclass(frozen=True)
class Chapter:
    """``number`` as users type it, ``aim`` in a sentence, ``step`` of the lab at which a walkthrough reads it."""

    name: str
    number: str
    title: str
    aim: str
    step: str | None


@dataclass(frozen=True)
class Sheet:
    """What to expect from a hyperparameter: ``key`` is what a user changes, ``text`` Markdown."""

    name: str
    title: str
    key: str
    short: str
    text: str


@dataclass(frozen=True)
class Term:
    """A glossary entry; ``forms`` are its other spellings in the texts."""

    term: str
    text: str
    forms: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """For links: ``glossary:batch-size``."""
        return self.term.lower().replace(" ", "-").replace("'", "")


@dataclass(frozen=True)
class Reference:
    """A source, complete enough to be found without a network."""

    key: str
    authors: str
    year: int
    title: str
    where: str
    note: str


@dataclass(frozen=True)
class Aid:
    """A memory aid."""

    name: str
    kind: str
    chapter: str
    text: str


@dataclass(frozen=True)
class FlashCard:
    """A flash card; both sides may hold placeholders."""

    chapter: str
    front: str
    back: str


def read(name: str) -> str:
    """A file below ``text``."""
    return (resources.files("conviction.lesson") / "text" / name).read_text(encoding="utf-8")


@cache
def table(name: str) -> Any:
    """A YAML file below ``text``."""
    return yaml.safe_load(read(f"{name}.yaml"))


@cache
def chapters() -> tuple[Chapter, ...]:
    """All chapters, in order."""
    return tuple(Chapter(**entry) for entry in table("chapters"))


@cache
def sheets() -> tuple[Sheet, ...]:
    """The hyperparameters that the lab asks about, in its order."""
    return tuple(_sheet(name) for name in table("hyperparameters"))


def _sheet(name: str) -> Sheet:
    _, head, text = read(f"settings/{name}.md").split("---\n", 2)
    return Sheet(name=name, text=text.strip(), **yaml.safe_load(head))


@cache
def glossary() -> tuple[Term, ...]:
    """All terms, in alphabetical order."""
    return tuple(Term(e["term"], e["text"], tuple(e.get("forms", ()))) for e in table("glossary"))


@cache
def references() -> Mapping[str, Reference]:
    """All sources by their key."""
    return {key: Reference(key=key, **entry) for key, entry in table("references").items()}


@cache
def aids() -> tuple[Aid, ...]:
    """The memory aids."""
    return tuple(Aid(**entry) for entry in table("aids"))


@cache
def cards() -> tuple[FlashCard, ...]:
    """The flash cards, in the order of the chapters."""
    return tuple(FlashCard(**entry) for entry in table("cards"))
