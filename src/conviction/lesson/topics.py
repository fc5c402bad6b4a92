"""Everything that can be read, by the name that a user types."""

from __future__ import annotations

from collections.abc import Callable

from conviction.errors import RequestError
from conviction.lesson.facts import Facts
from conviction.lesson.shelf import (
    Depth,
    Sheet,
    Term,
    aids,
    chapters,
    glossary,
    read,
    references,
    sheets,
)
from conviction.lesson.words import full_name, has_numbers, render

CONVERSATIONS = ("data", "architecture", "training", "evaluation")


def read_topic(name: str, facts: Facts, depth: Depth = "standard", part: str | None = None) -> str:
    """The Markdown of a topic, filled with the numbers of a run.

    Args:
        name: One of ``TOPICS``, or a chapter's number.
        facts: Of the run.
        depth: For ``overview`` and the chapters, which are kept in three.
        part: A word, for ``glossary`` alone.

    Raises:
        RequestError: There is no such topic or word, or a part was named where there is none.
    """
    if part is not None and name != "glossary":
        raise RequestError(f"learn {name}: expected nothing after it; got '{part}'.")
    if name == "glossary":
        return _glossary(part)
    return render(TOPICS[topic_named(name)](depth), facts)


def topic_has_numbers(name: str, depth: Depth = "standard") -> bool:
    """Whether a topic says anything about the run that it is filled from."""
    return name != "glossary" and has_numbers(TOPICS[topic_named(name)](depth))


def topic_named(name: str) -> str:
    """A topic by its name, with - or _ in it, or a chapter by its number.

    Raises:
        RequestError: There is none.
    """
    for chapter in chapters():
        if name.lower() == chapter.number:
            return chapter.name
    topic = name.lower().replace("-", "_")
    if topic not in TOPICS:
        raise RequestError(
            f"learn: there is no topic '{name}'. Topics: {', '.join(TOPICS)}; and claims, cards, quiz, walkthrough."
        )
    return topic


def _in_depth(name: str) -> Callable[[Depth], str]:
    return lambda depth: read(f"{name}/{depth}.md")


def _sheet(sheet: Sheet) -> Callable[[Depth], str]:
    return lambda _: sheet.text


def _conversations(_: Depth) -> str:
    return "\n\n".join(read(f"conversations/{name}.md") for name in CONVERSATIONS)


def _memory(_: Depth) -> str:
    out = ["# Memory aids"]
    for aid in aids():
        # Two spaces before the end of a line keep the lines of a verse apart.
        text = aid.text.strip().replace("\n", "  \n")
        out.append(f"## {aid.name} ({aid.kind})\n\n{text}")
    return "\n\n".join(out)


def _references(_: Depth) -> str:
    entries = sorted(references().values(), key=lambda r: (r.authors, r.year))
    lines = [f"- {full_name(r)} {r.note}" for r in entries]
    return (
        "# Sources\n\nPrimary sources, each with what it is good for. You can find them anywhere by title, authors "
        "and year.\n\n" + "\n".join(lines)
    )


def _glossary(word: str | None) -> str:
    if word is None:
        return "# Glossary\n\n" + "\n".join(f"- **{t.term}**: {t.text}" for t in glossary())
    terms = [t for t in glossary() if word.lower() in _names(t)]
    terms = terms or [t for t in glossary() if word.lower() in t.term.lower()]
    if not terms:
        raise RequestError(
            f"learn glossary: there is no word '{word}'. List all of them with: conviction learn glossary"
        )
    return "\n\n".join(f"**{t.term}**: {t.text}" for t in terms)


def _names(term: Term) -> set[str]:
    return {term.slug, *(form.lower() for form in (term.term, *term.forms))}


TOPICS: dict[str, Callable[[Depth], str]] = {
    "overview": _in_depth("overview"),
    **{chapter.name: _in_depth(chapter.name) for chapter in chapters()},
    "conversations": _conversations,
    "concepts": lambda _: read("concepts.md"),
    **{sheet.name: _sheet(sheet) for sheet in sheets()},
    "memory": _memory,
    "glossary": lambda _: _glossary(None),
    "references": _references,
}
