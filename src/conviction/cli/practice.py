"""Flash cards and quizzes, asked in the terminal; answers are kept one by one, so that leaving early loses none."""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict
from textwrap import fill

from conviction.cli.markdown import WIDEST, print_markdown
from conviction.cli.options import print_json
from conviction.errors import RequestError
from conviction.lesson import Facts, chapters
from conviction.lesson.progress import Answer, load_progress, now, update_progress
from conviction.lesson.question import Option, Question
from conviction.lesson.questions import questions
from conviction.lesson.shelf import FlashCard
from conviction.lesson.shelf import cards as all_cards
from conviction.lesson.words import render_line

GRADES: dict[str, Answer] = {"1": "again", "2": "hard", "3": "good", "4": "easy"}


class Leave(Exception):
    """The learner wants to leave, or the input has ended."""


def chapter_named(name: str) -> str:
    """A chapter by its name or number.

    Raises:
        RequestError: There is none.
    """
    names = [chapter.name for chapter in chapters()]
    for each in chapters():
        if name.lower() == each.number:
            return each.name
    if name not in names:
        raise RequestError(f"learn: there is no chapter '{name}'. Chapters: {', '.join(names)}.")
    return name


def quiz(facts: Facts, chapter: str | None, *, as_json: bool) -> None:
    """Asks the questions of one chapter, or of all."""
    names = [chapter] if chapter else [c.name for c in chapters()]
    seed = 0 if as_json else random.SystemRandom().randrange(10**6)
    asked = {name: questions(name, facts, seed) for name in names}
    if as_json:
        print_json(
            {"numbers_from": facts.title, "questions": [asdict(q) for qs in asked.values() for q in qs]}
        )
        return
    print_markdown(literal(f"Answers are from {facts.title}. Type a letter to answer, q to leave."))
    right = answered = 0
    try:
        for name, chapter_questions in asked.items():
            results = []
            for number, question in enumerate(chapter_questions, 1):
                results.append(_ask(f"{name} {number} of {len(chapter_questions)}", question))
                right, answered = right + results[-1], answered + 1
            _keep_score(name, results)
    except Leave:
        pass
    if answered:
        print(f"\n{right} of {answered} right.")


def _keep_score(name: str, results: list[bool]) -> None:
    score = (sum(results), len(results))
    update_progress(lambda progress: progress.quiz.update({name: score}))


def _ask(head: str, question: Question) -> bool:
    letters = dict(zip("abcd", question.options, strict=False))
    print()
    print_markdown(f"**{head}.** {literal(question.prompt)}")
    for letter, option in letters.items():
        print(fill(option.text, WIDEST, initial_indent=f"  {letter}  ", subsequent_indent="     "))
    letter = answer(f"{'/'.join(letters)}? ", letters)
    chosen = letters[letter]
    print_markdown(_verdict(chosen, question.right))
    return chosen.right


def _verdict(chosen: Option, right: Option) -> str:
    if chosen.right:
        return f"**Right.** {literal(right.why)}"
    return f"**No.** {literal(chosen.why)} It is **{literal(right.text)}**: {literal(right.why)}"


def literal(text: str) -> str:
    """Class names and numbers are not Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#" else c for c in text)


def cards(facts: Facts, chapter: str | None, *, as_json: bool) -> None:
    """Shows the cards that are due, and some new ones."""
    chosen = [card for card in all_cards() if chapter in (None, card.chapter)]
    progress = load_progress()
    due = progress.due(chosen, now())
    if as_json:
        rows = [_sides(card, facts) for card in due]
        print_json({"numbers_from": facts.title, "due": rows, "cards": len(chosen)})
        return
    if not due:
        print(f"No cards are due now. {_next(chosen)}")
        return
    print(f"{len(due)} cards. Press Enter to turn one over, q to leave.")
    try:
        for number, card in enumerate(due, 1):
            _show(f"{number} of {len(due)}", card, facts)
    except Leave:
        pass
    print(f"\n{_next(chosen)}")


def _sides(card: FlashCard, facts: Facts) -> dict[str, str]:
    return {"chapter": card.chapter, "front": card.front, "back": render_line(card.back, facts)}


def _show(head: str, card: FlashCard, facts: Facts) -> None:
    sides = _sides(card, facts)
    print()
    print_markdown(f"**{head}, {card.chapter}.** {literal(sides['front'])}")
    answer("(Enter) ", None)
    print_markdown(literal(sides["back"]))
    grade = GRADES[answer("How well did you know it? 1 not at all, 2 barely, 3 well, 4 easily: ", GRADES)]
    update_progress(lambda progress: progress.remember(card, grade, now()))


def _next(chosen: list[FlashCard]) -> str:
    progress = load_progress()
    times = [at for at in map(progress.due_at, chosen) if at]
    new = len(chosen) - len(times)
    seen = f"{len(times)} of {len(chosen)} cards seen"
    if not times:
        return f"{seen}."
    at = min(times)
    when = "now" if at <= now() else at.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{seen}, {new} new; the next is due {when}."


def answer(prompt: str, allowed: Collection[str] | None) -> str:
    """The answer: one of ``allowed``, or any line if it is None.

    Raises:
        Leave: q, or the end of input.
    """
    for line in _lines(prompt):
        if line in ("q", "quit"):
            raise Leave
        if allowed is None or line in allowed:
            return line
        print(f"Expected one of {', '.join(allowed)}, or q; got '{line[:40]}'.")
    raise Leave


def _lines(prompt: str) -> Iterator[str]:
    while True:
        print(prompt, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print()
            return
        yield line.strip().lower()
