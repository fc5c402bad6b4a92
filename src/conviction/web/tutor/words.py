"""The lesson's Markdown as safe HTML: no HTML in it passes, and no address except the lesson's own."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from conviction.errors import ConvictionError
from conviction.lesson import Facts, facts_of, glossary, recorded_facts, references
from conviction.lesson.claims import claims
from conviction.lesson.words import CLAIM, GLOSSARY, MEASUREMENTS, REFERENCE, SOURCES, full_name
from conviction.runs import open_run

SPEAKERS = ("Learner", "Teacher")


def facts_for(run: Path | None) -> Facts:
    """The facts of a run; of the recorded one if there is none, or it is not finished or damaged."""
    if run is not None:
        try:
            opened = open_run(run)
            if opened.status == "done":
                return facts_of(opened, f"your run {run.name}")
        except (ConvictionError, KeyError):
            pass
    return recorded_facts()


def lesson_html(text: str, prefix: str, testing: Callable[[str], str] | None = None) -> str:
    """The HTML of a text.

    Args:
        text: From ``read_topic``: Markdown with links ``glossary:slug`` and ``reference:key``.
        prefix: Begins the ids in it, so that two texts can be on a page.
        testing: Returns the address at which a claim is tested; without it, links to claims are words.

    Returns:
        Headings one level lower; each term and citation a button that opens a note (an HTML popover); paragraphs that
        begin with a speaker's name carry it in ``data-speaker``; the lists at the end are in a ``div.evidence``.
    """
    tokens = _parser().parse(text)
    notes: dict[str, str] = {}
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        if token.children:
            token.children = _settle(token.children, notes, prefix, testing)
    _name_speakers(tokens)
    _enclose_evidence(tokens)
    body = _parser().renderer.render(tokens, _parser().options, {})
    return body.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    ).replace("<pre>", '<pre tabindex="0">') + "".join(_note(target, prefix) for target in notes)


@cache
def _parser() -> MarkdownIt:
    # Without "html", tags in the text are shown as they are written.
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _settle(
    children: Sequence[Token],
    notes: dict[str, str],
    prefix: str,
    testing: Callable[[str], str] | None,
) -> list[Token]:
    """Turns links into the glossary and the sources into buttons; of others but claims, only the words remain."""
    out: list[Token] = []
    inside, together = "", False
    for child in children:
        if child.type == "link_open":
            target = str(child.attrs.get("href", ""))
            child.attrs = {}
            inside = "span"
            if testing is not None and target.removeprefix(CLAIM) in claims():
                inside, child.attrs = "a", {"href": testing(target.removeprefix(CLAIM))}
            elif _known(target):
                inside = "button"
                child.attrs = {
                    "type": "button",
                    "class": "term" if target.startswith(GLOSSARY) else "term source",
                    "popovertarget": _id(target, prefix),
                }
                notes[target] = target
                together = bool(out) and out[-1].type == "text" and out[-1].content.endswith("(")
            child.tag = inside
            if together:  # or a line may end with the bracket
                out[-1].content = out[-1].content[:-1]
                out.append(Token("html_inline", "", 0, content='<span class="together">('))
        elif child.type == "link_close":
            child.tag = inside
        out.append(child)
        if child.type == "link_close" and together:
            out.append(Token("html_inline", "", 0, content="</span>"))
            together = False
    return out


def _known(target: str) -> bool:
    return target.removeprefix(GLOSSARY) in _terms() or (
        target.startswith(REFERENCE) and target.removeprefix(REFERENCE) in references()
    )


@cache
def _terms() -> dict[str, tuple[str, str]]:
    return {term.slug: (term.term, term.text) for term in glossary()}


def _id(target: str, prefix: str) -> str:
    # Markdown writes characters outside ASCII in addresses as %..; an id may hold anything but spaces.
    return f"{prefix}-{target.replace(':', '-')}"


def _note(target: str, prefix: str) -> str:
    if target.startswith(GLOSSARY):
        term, text = _terms()[target.removeprefix(GLOSSARY)]
        content = f"<b>{html.escape(term)}</b> {html.escape(text)}"
    else:
        reference = references()[target.removeprefix(REFERENCE)]
        content = f"{html.escape(full_name(reference).replace('*', ''))} {html.escape(reference.note)}"
    return f'<div popover class="meaning" id="{html.escape(_id(target, prefix))}" role="note">{content}</div>'


def _enclose_evidence(tokens: list[Token]) -> None:
    """Puts what was measured and cited, which ends a text, into a block that is not read aloud."""
    for i, (opening, inline) in enumerate(pairwise(tokens)):
        if opening.type == "heading_open" and inline.content in (MEASUREMENTS, SOURCES):
            tokens.insert(i, Token("html_block", "", 0, content='<div class="evidence">\n'))
            tokens.append(Token("html_block", "", 0, content="</div>\n"))
            return


def _name_speakers(tokens: Sequence[Token]) -> None:
    """Marks paragraphs that begin with **Learner:** or **Teacher:**."""
    for opening, inline in pairwise(tokens):
        if opening.type != "paragraph_open" or inline.type != "inline":
            continue
        words = [c for c in inline.children or [] if c.type != "text" or c.content]
        if len(words) > 1 and words[0].type == "strong_open" and words[1].content.rstrip(":") in SPEAKERS:
            opening.attrs["data-speaker"] = words[1].content.rstrip(":")
