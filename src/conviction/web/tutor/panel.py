"""The panel: a chapter to read or to hear, a conversation, cards, questions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError, MisfitError
from conviction.lesson import DEPTHS, Depth, Facts, NoRunError, chapters, read_topic, sheets
from conviction.lesson.claims import claims
from conviction.lesson.progress import load_progress, now, update_progress
from conviction.lesson.questions import questions
from conviction.lesson.shelf import FlashCard, read
from conviction.lesson.topics import topic_has_numbers
from conviction.lesson.words import has_numbers, render, render_line
from conviction.web.elements.plain import button, choice, link, paragraph, tag
from conviction.web.tutor.claims import Claims, folded_until_guessed
from conviction.web.tutor.practice import Cards, Quiz
from conviction.web.tutor.speech import Speech
from conviction.web.tutor.words import lesson_html

T = TypeVar("T")

STYLE = Path(__file__).with_name("tutor.css")
PARTS = {
    "read": "Read",
    "talk": "Conversation",
    "claims": "Claims",
    "cards": "Cards",
    "quiz": "Quiz",
    "more": "More",
}
# Which of the four conversations goes with a chapter; the first and the last chapter have none of their own.
CONVERSATIONS = {
    "data": "data",
    "architecture": "architecture",
    "compiling": "training",
    "training": "training",
    "evaluating": "evaluation",
    "hyperparameters": "evaluation",
}
# What belongs to no chapter, or to one alone: the name of a topic, and what it is called.
TOPICS = {
    "overview": "The lab as a whole",
    "concepts": "Key concepts",
    "memory": "Memory aids",
    "glossary": "Glossary",
    "references": "Sources",
    **{sheet.name: f"What to expect: {sheet.title}" for sheet in sheets()},
}

# What there are claims about: chapters, and the sheets of "what to expect".
_TITLES = {**{c.name: c.title for c in chapters()}, **{s.name: s.title for s in sheets()}}
ABOUT = {subject: _TITLES[subject] for subject in dict.fromkeys(claim.subject for claim in claims().values())}
_FIRST_SHEET = sheets()[0].name


def chapter_panel(
    facts: Facts,
    *,
    chapter: str,
    draft: Facts | None = None,
    progress: Path | None = None,
    chosen: Sequence[str] | None = None,
    links: Sequence[tuple[str, str]] = (),
    query: Mapping[str, str] | None = None,
    testing: Callable[[str], str] | None = None,
    on_query: Callable[[dict[str, str]], None] = lambda query: None,
) -> ChapterPanel:
    """Builds the panel into the current container.

    Args:
        facts: About a run; see ``facts_for``.
        chapter: The one that goes with the step of the workbench; the address may name another.
        draft: About what the page shows and nobody has trained yet; texts that need no run are filled from it.
        progress: The learner's file; by default the one of ``conviction learn``.
        chosen: The chapters of the course; all by default.
        links: What of this chapter can be seen on the workbench now: words and addresses.
        query: Of the address: ``chapter``, ``depth``, ``lesson`` (the part that is shown), ``topic`` (of "more") and
            ``about`` (of "claims").
        testing: Returns the address at which a claim is tested; None where nothing can be.
        on_query: Called with the new query each time another text is shown, for the address.
    """
    ui.add_css(STYLE)
    return ChapterPanel(
        facts,
        chapter=chapter,
        draft=draft,
        progress=progress,
        chosen=chosen,
        links=links,
        query=query or {},
        testing=testing,
        on_query=on_query,
    )


@dataclass(frozen=True)
class Numbers:
    """What the texts are filled from: a run, and what the page shows before anybody has trained it."""

    run: Facts
    draft: Facts | None

    def of(self, make: Callable[[Facts], T]) -> tuple[T, Facts]:
        """What is made from the draft, or, where that needs a run or it does not fit, from the run; and which."""
        if self.draft is not None:
            with contextlib.suppress(NoRunError, MisfitError):
                return make(self.draft), self.draft
        return make(self.run), self.run

    def whose(self, facts: Facts) -> str:
        """The sentence before numbers that are not about what the page shows."""
        if facts.recorded:
            return f"The numbers are from {facts.title}, until you have trained a network on these images."
        if facts is self.run and self.draft is not None:
            return (
                f"The numbers are from {facts.title}, which may not be the network that is on this page now."
            )
        return ""


class ChapterPanel:
    """One reader's place in the lesson."""

    def __init__(
        self,
        facts: Facts,
        *,
        chapter: str,
        draft: Facts | None,
        progress: Path | None,
        chosen: Sequence[str] | None,
        links: Sequence[tuple[str, str]],
        query: Mapping[str, str],
        testing: Callable[[str], str] | None,
        on_query: Callable[[dict[str, str]], None],
    ) -> None:
        self._numbers = Numbers(facts, draft)
        self._refill: Callable[[], None] = _nothing
        self._progress, self._links, self._on_query = progress, links, on_query
        self._testing = testing
        self._chapters = [c for c in chapters() if chosen is None or c.name in chosen]
        names = [c.name for c in self._chapters]
        self.chapter = next(n for n in (query.get("chapter"), chapter, names[0]) if n in names)
        self.depth: Depth = next((d for d in DEPTHS if d == query.get("depth")), "standard")
        self.part = query.get("lesson", "") if query.get("lesson") in PARTS else "read"
        self.topic = query.get("topic", "") if query.get("topic") in TOPICS else next(iter(TOPICS))
        self.about = query.get("about", "") if query.get("about") in ABOUT else ""
        self._container = tag("div", "", "tutor")
        self._show()

    def to_query(self) -> dict[str, str]:
        """What is shown, for an address."""
        shown = {"chapter": self.chapter, "depth": self.depth, "lesson": self.part}
        if self.part == "claims":
            return {**shown, "about": self._subject()}
        return {**shown, "topic": self.topic} if self.part == "more" else shown

    def go(
        self,
        *,
        chapter: str | None = None,
        depth: Depth | None = None,
        part: str | None = None,
        topic: str | None = None,
        about: str | None = None,
    ) -> None:
        """Shows another text; what is not named stays, but another chapter has claims of its own."""
        self.about = about or ("" if chapter else self.about)
        self.chapter, self.depth = chapter or self.chapter, depth or self.depth
        self.part, self.topic = part or self.part, topic or self.topic
        self._show()
        # Not where the event came from: that element is gone.
        with self._container:
            self._on_query(self.to_query())

    def fill(self, facts: Facts, draft: Facts | None) -> None:
        """Takes new numbers: a text that is being read is updated in place, an answer keeps its question."""
        self._numbers = Numbers(facts, draft)
        self._refill()

    def _text(self, make: Callable[[Facts], str], prefix: str, classes: str, *, numbers: bool) -> None:
        before = paragraph("", "message whose")
        body = ui.html("", sanitize=False).props("id=lesson-text").classes(classes)
        after = paragraph("", "note")

        def refill() -> None:
            text, facts = self._numbers.of(make)
            whose = self._numbers.whose(facts) if numbers else ""
            before.set_text(whose)
            before.props["hidden"] = not whose
            body.set_content(lesson_html(text, prefix, self._testing))
            after.set_text(f"The numbers are from {facts.title}." if numbers and not whose else "")

        refill()
        self._refill = refill

    def _show(self) -> None:
        self._refill = _nothing
        self._container.clear()
        with self._container:
            alert = tag("div", role="alert")
            try:
                read_at = load_progress(self._progress).read
            except ConvictionError as failure:
                with alert:
                    paragraph(str(failure), "message trouble")
                read_at = {}
            self._head(read_at)
            if self.part == "cards":
                Cards(self.chapter, self._card_back, self._progress)
            elif self.part == "quiz":
                self._quiz()
            elif self.part == "talk":
                self._talk()
            elif self.part == "claims":
                self._claims()
            elif self.part == "more":
                self._more()
            else:
                self._read(read_at)

    def _head(self, read_at: Mapping[str, str]) -> None:
        options = {
            c.name: f"{i}  {c.title}" + (" (read)" if c.name in read_at else "")
            for i, c in enumerate(self._chapters, 1)
        }
        choice("Chapter", options, self.chapter, lambda name: self.go(chapter=name), "chapter")
        self._tabs("Part of the chapter", PARTS, self.part, lambda name: self.go(part=name))

    def _tabs(self, label: str, options: Mapping[str, str], current: str, go: Callable[[str], None]) -> None:
        with tag("div", "", "tabs", role="group", aria_label=label):
            for name, title in options.items():
                one = tag("button", title, "tab", type="button", data_key=f"tab {name}")
                one.props["aria-pressed"] = "true" if name == current else "false"
                one.on("click", lambda _, name=name: go(name), js_handler="() => emit()")

    def _read(self, read_at: Mapping[str, str]) -> None:
        depths: dict[str, str] = {depth: depth.capitalize() for depth in DEPTHS}
        with tag("div", "", "reading"):
            self._tabs("How much detail", depths, self.depth, self._to_depth)
            Speech("#lesson-text")
        if self._links:
            with tag("p", "", "on-screen"):
                tag("span", "See it in the lab: ")
                for words, address in self._links:
                    link(words, address)
        self._topic(self.chapter, "read")
        with tag("div", "", "buttons"):
            if self.chapter in read_at:
                tag("span", "You have read this.", "note")
            else:
                button("I have read this", self._have_read, "have-read")
            following = self._following()
            if following is not None:
                title, name = following
                button(f"Next: {title}", lambda _: self.go(chapter=name), "next-chapter", "quiet")

    def _to_depth(self, name: str) -> None:
        self.go(depth=next(depth for depth in DEPTHS if depth == name))

    def _talk(self) -> None:
        name = CONVERSATIONS.get(self.chapter)
        if name is None:
            paragraph("No conversation goes with this chapter. The first one is about the data.")
            if any(c.name == "data" for c in self._chapters):
                button("Go to that conversation", lambda _: self.go(chapter="data"), "to-talk")
            return
        Speech("#lesson-text")
        text = read(f"conversations/{name}.md")
        self._text(partial(render, text), "talk", "lesson talk", numbers=has_numbers(text))

    def _more(self) -> None:
        choice("Text", TOPICS, self.topic, lambda name: self.go(topic=name), "topic")
        go = partial(self.go, part="claims", about=self.topic)
        with folded_until_guessed(self.topic if self.topic in ABOUT else "", self._progress, go):
            Speech("#lesson-text")
            self._topic(self.topic, "more")

    def _subject(self) -> str:
        """What the claims are about: what was chosen, else the chapter, or a hyperparameter where that has none."""
        return self.about or next((name for name in ABOUT if name == self.chapter), _FIRST_SHEET)

    def _claims(self) -> None:
        choice("About", ABOUT, self._subject(), lambda name: self.go(about=name), "about")
        Claims(self._subject(), self._testing, self._progress)

    def _topic(self, name: str, prefix: str) -> None:
        depth = self.depth
        self._text(
            lambda facts: read_topic(name, facts, depth),
            prefix,
            "lesson",
            numbers=topic_has_numbers(name, depth),
        )

    def _card_back(self, card: FlashCard) -> tuple[str, str]:
        text, facts = self._numbers.of(partial(render_line, card.back))
        return text, self._numbers.whose(facts) if has_numbers(card.back) else ""

    def _quiz(self) -> None:
        seed = random.SystemRandom().randrange(10**6)
        asked, facts = self._numbers.of(lambda facts: questions(self.chapter, facts, seed))
        whose = self._numbers.whose(facts)
        if whose:
            paragraph(whose, "message whose")
        Quiz(self.chapter, asked, self._quiz_again, self._progress)

    def _quiz_again(self) -> None:
        self.go(part="quiz")

    def _following(self) -> tuple[str, str] | None:
        names = [c.name for c in self._chapters]
        behind = self._chapters[names.index(self.chapter) + 1 :]
        return (behind[0].title, behind[0].name) if behind else None

    def _have_read(self, _: GenericEventArguments) -> None:
        at = now().isoformat(timespec="seconds")
        update_progress(lambda progress: progress.read.update({self.chapter: at}), self._progress)
        self._show()


def _nothing() -> None:
    """For parts that have no numbers to fill in."""
