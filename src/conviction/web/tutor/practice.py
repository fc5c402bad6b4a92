"""Cards and questions, one at a time; each answer is saved at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nicegui.events import GenericEventArguments

from conviction.lesson.progress import Answer, load_progress, now, update_progress
from conviction.lesson.question import Option, Question
from conviction.lesson.shelf import FlashCard
from conviction.lesson.shelf import cards as all_cards
from conviction.web.elements.plain import button, heading, paragraph, tag

RATINGS: tuple[tuple[Answer, str], ...] = (
    ("again", "Not known"),
    ("hard", "Barely"),
    ("good", "Well"),
    ("easy", "Easily"),
)
# The buttons that follow one another share a key, so that the focus moves from each to the next.
NEXT = "practice-next"


class Cards:
    """The cards of a chapter that are due, and some new ones, in the current container.

    Args:
        chapter: Its name.
        back: Returns the back of a card, and whose numbers it has, where the reader must know.
        progress: The learner's file.
    """

    def __init__(
        self, chapter: str, back: Callable[[FlashCard], tuple[str, str]], progress: Path | None
    ) -> None:
        self._back, self._progress = back, progress
        self._cards = [card for card in all_cards() if card.chapter == chapter]
        self._due = load_progress(progress).due(self._cards, now())
        self._at = 0
        self._container = tag("div", "", "practice")
        self._show()

    def _show(self) -> None:
        self._container.clear()
        with self._container:
            if self._at >= len(self._due):
                self._end()
                return
            card = self._due[self._at]
            paragraph(f"Card {self._at + 1} of {len(self._due)}", "note")
            heading(card.front, 3, "front")
            button("Turn it over", lambda _: self._turn(card), NEXT, "primary")

    def _turn(self, card: FlashCard) -> None:
        self._container.clear()
        with self._container:
            paragraph(f"Card {self._at + 1} of {len(self._due)}", "note")
            heading(card.front, 3, "front")
            back, whose = self._back(card)
            if whose:
                paragraph(whose, "note")
            paragraph(back, "back").props["role"] = "status"
            paragraph("How well did you know it?", "note")
            with tag("div", "", "buttons", role="group", aria_label="How well did you know it?"):
                for answer, words in RATINGS:
                    kind = "primary" if answer == "good" else ""
                    button(words, self._rate(card, answer), NEXT if kind else f"rate-{answer}", kind)

    def _rate(self, card: FlashCard, answer: Answer) -> Callable[[GenericEventArguments], None]:
        def rate(_: GenericEventArguments) -> None:
            update_progress(lambda progress: progress.remember(card, answer, now()), self._progress)
            self._at += 1
            self._show()

        return rate

    def _end(self) -> None:
        progress = load_progress(self._progress)
        times = [at for at in map(progress.due_at, self._cards) if at is not None]
        opening = "That was all for now. " if self._due else "Nothing to ask now. "
        paragraph(f"{opening}{len(times)} of the chapter's {len(self._cards)} cards seen.")
        if times:
            at = min(times)
            when = "now" if at <= now() else at.astimezone().strftime("%Y-%m-%d %H:%M")
            paragraph(f"The next is due {when}.", "note")
        new = len(self._cards) - len(times)
        if new or any(at <= now() for at in times):
            button("Continue with the cards", self._again, NEXT)

    def _again(self, _: GenericEventArguments) -> None:
        self._due = load_progress(self._progress).due(self._cards, now())
        self._at = 0
        self._show()


class Quiz:
    """The questions of a chapter in the current container; ``again`` asks new ones."""

    def __init__(
        self, chapter: str, asked: list[Question], again: Callable[[], None], progress: Path | None
    ) -> None:
        self._chapter, self._questions, self._again, self._progress = chapter, asked, again, progress
        self._container = tag("div", "", "practice")
        self._results: list[bool] = []
        self._show()

    def _show(self) -> None:
        self._container.clear()
        with self._container:
            if len(self._results) >= len(self._questions):
                self._end()
                return
            question = self._questions[len(self._results)]
            self._head(question)
            with tag("div", "", "options"):
                for i, option in enumerate(question.options):
                    answer = tag(
                        "button",
                        option.text,
                        "button option",
                        type="button",
                        data_key=f"option-{i}" if i else NEXT,
                    )
                    answer.on("click", self._answer(question, option), js_handler="() => emit()")

    def _head(self, question: Question) -> None:
        paragraph(f"Question {len(self._results) + 1} of {len(self._questions)}", "note")
        heading(question.prompt, 3, "front")

    def _answer(self, question: Question, chosen: Option) -> Callable[[GenericEventArguments], None]:
        def answer(_: GenericEventArguments) -> None:
            self._container.clear()
            with self._container:
                self._head(question)
                with tag("div", "", "verdict-of-answer", role="status"):
                    paragraph(
                        f"Right. {question.right.why}"
                        if chosen.right
                        else f"No: {chosen.text}. {chosen.why}",
                        "message" if chosen.right else "message trouble",
                    )
                    if not chosen.right:
                        paragraph(f"It is {question.right.text}. {question.right.why}", "message")
                self._results.append(chosen.right)
                last = len(self._results) == len(self._questions)
                if last:
                    score = (sum(self._results), len(self._results))
                    update_progress(
                        lambda progress: progress.quiz.update({self._chapter: score}), self._progress
                    )
                button("See the result" if last else "Next question", lambda _: self._show(), NEXT, "primary")

        return answer

    def _end(self) -> None:
        heading(f"{sum(self._results)} of {len(self._results)} right", 3, "front")
        button("Ask me again", lambda _: self._again(), NEXT)
