"""The lesson as HTML: nothing of a text runs, terms carry their meaning, numbers are the run's."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.lesson import DEPTHS, TOPICS, chapters, facts_of, glossary, read_topic, recorded_facts
from conviction.lesson.shelf import read
from conviction.lesson.words import render
from conviction.runs import open_run
from conviction.web.tutor import facts_for, lesson_html

ALLOWED = {
    "h2", "h3", "h4", "p", "em", "strong", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "br", "div", "table",
    "thead", "tbody", "tr", "th", "td", "button", "span", "b", "h5", "h6",
}  # fmt: skip
ATTRIBUTES = {
    "class",
    "type",
    "popovertarget",
    "popover",
    "id",
    "role",
    "data-speaker",
    "style",
    "start",
    "tabindex",
}


class Tags(HTMLParser):
    """Every tag with its attributes, and whether they are nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def check_safe(html: str) -> Tags:
    tags = Tags(html)
    for name, attributes in tags.seen:
        assert name in ALLOWED, name
        assert set(attributes) <= ATTRIBUTES, attributes
        if "style" in attributes:
            assert re.fullmatch(r"text-align:(left|right|center)", attributes["style"] or "")
    opened = {a["popovertarget"] for _, a in tags.seen if "popovertarget" in a}
    assert opened == {a["id"] for _, a in tags.seen if "popover" in a}
    return tags


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("chapter", [c.name for c in chapters()])
def test_every_chapter_is_safe_and_well_formed(chapter: str, depth: str) -> None:
    html = lesson_html(read_topic(chapter, recorded_facts(), depth), "x")  # type: ignore[arg-type]
    tags = check_safe(html)
    assert tags.seen[0][0] == "h2"
    assert any("popovertarget" in attributes for _, attributes in tags.seen)


@pytest.mark.parametrize("topic", [name for name in TOPICS if name not in [c.name for c in chapters()]])
def test_every_other_text_is_safe_and_well_formed(topic: str) -> None:
    check_safe(lesson_html(read_topic(topic, recorded_facts()), "x"))


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](https://example.org)",
        "![x](https://example.org/x.png)",
        '[x](glossary:none" onclick="alert(1))',
        "[x](reference:none)",
        "**Learner:** <b>hi</b>",
        "<https://example.org>",
    ],
)
def test_nothing_of_a_text_runs_or_leads_away(text: str) -> None:
    tags = check_safe(lesson_html(text, "x"))
    assert not [attributes for _, attributes in tags.seen if "popovertarget" in attributes]


@given(st.text(alphabet="<>\"'&[]()`*_#|\\ ab:/=\n-1.!", max_size=80))
def test_whatever_is_written_stays_text(text: str) -> None:
    check_safe(lesson_html(text, "x"))


def test_terms_say_what_they_mean_where_they_stand() -> None:
    html = lesson_html(read_topic("data", recorded_facts(), "standard"), "x")
    (keras,) = [term for term in glossary() if term.term == "Keras"]
    assert 'popovertarget="x-glossary-keras">Keras</button>' in html
    note = html[html.index('id="x-glossary-keras"') :]
    assert keras.text.replace("'", "&#x27;") in note
    assert "[@" not in html
    assert 'class="term source"' in html


def test_speakers_are_marked() -> None:
    html = lesson_html(render(read("conversations/data.md"), recorded_facts()), "x")
    speakers = [a["data-speaker"] for _, a in Tags(html).seen if "data-speaker" in a]
    assert speakers[:4] == ["Learner", "Teacher", "Learner", "Teacher"]
    assert set(speakers) == {"Learner", "Teacher"}


def test_what_was_measured_and_cited_is_a_block_at_the_end() -> None:
    html = lesson_html(render(read("conversations/data.md"), recorded_facts()), "x")
    before, _, evidence = html.partition('<div class="evidence">')
    assert ">Measurements</h3>" in evidence
    assert "data-speaker" not in evidence
    assert "data-speaker" in before
    assert "paired seeds" not in before


def test_numbers_are_the_runs_own(trained: Path, tmp_path: Path) -> None:
    facts = facts_for(trained)
    assert facts.train == facts_of(open_run(trained)).train
    assert facts.title == "your run run"
    assert f"{facts.train:,}" in lesson_html(read_topic("data", facts, "quick"), "x")
    for run in (None, tmp_path):
        assert facts_for(run) == recorded_facts()
