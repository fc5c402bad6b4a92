"""Claims of the lesson, asked in the terminal: a guess first, then what was measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from conviction.cli.markdown import print_markdown
from conviction.cli.options import print_json
from conviction.cli.practice import Leave, answer, chapter_named, literal
from conviction.errors import RequestError, did_you_mean
from conviction.lesson import chapters, sheets
from conviction.lesson.claim_words import ANSWERS, claim_question, command_of, evidence, teaching, verdict
from conviction.lesson.claims import Claim, claims, claims_about
from conviction.lesson.progress import load_progress, update_progress
from conviction.lesson.record import Direction


def ask_claims(subject: str | None, *, as_json: bool) -> None:
    """Asks about one claim, or about those of a subject that nobody has guessed yet, or about all of these.

    Args:
        subject: A claim, a sheet, or a chapter by its name or number; None for everything.
        as_json: Print them with what was measured, and ask nothing.

    Raises:
        RequestError: There is no such subject.
    """
    chosen = _chosen(subject)
    guesses = load_progress().guesses
    if as_json:
        print_json({"claims": [_row(claim, guesses.get(claim.name)) for claim in chosen]})
        return
    # One that is named is asked again.
    asked = [claim for claim in chosen if claim.name == subject or claim.name not in guesses]
    if not asked:
        print(
            f"You have guessed all {len(chosen)}. Name one to guess again: {', '.join(c.name for c in chosen)}."
        )
        return
    if len(asked) > 1:
        print(f"{len(asked)} claims. Type 1, 2 or 3 to guess, q to leave; each guess is kept.")
    _ask_all(asked)


def guess_first(topic: str) -> None:
    """Before a text that tells what was measured: asks in a terminal for what the reader expects, if they want to.

    Args:
        topic: What will be read; nothing is asked where it is no sheet, or all of its claims have been guessed.
    """
    if topic not in {sheet.name for sheet in sheets()} or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    guesses = load_progress().guesses
    asked = [claim for claim in claims_about(topic) if claim.name not in guesses]
    if not asked:
        return
    print("The text tells what was measured. Guess first?")
    try:
        if answer("g to guess, Enter to read on, q to leave: ", None) == "g":
            _ask_all(asked)
    except Leave:
        raise SystemExit(0) from None
    print()


def _chosen(subject: str | None) -> Sequence[Claim]:
    if subject is None:
        return list(claims().values())
    if subject in claims():
        return [claims()[subject]]
    sheet = subject.lower().replace("-", "_")
    if sheet in {each.name for each in sheets()}:
        return claims_about(sheet)
    if subject.lower() not in {name for chapter in chapters() for name in (chapter.name, chapter.number)}:
        subjects = dict.fromkeys([claim.subject for claim in claims().values()])
        meant = did_you_mean(subject, [*claims(), *subjects])
        raise RequestError(
            f"learn claims: there is no claim and no subject '{subject}'.{meant} Subjects: {', '.join(subjects)}."
        )
    chapter = chapter_named(subject)
    chosen = claims_about(chapter)
    if not chosen:
        having = dict.fromkeys(claim.chapter for claim in claims().values())
        raise RequestError(
            f"learn claims: the chapter {chapter} has none. Chapters that have: {', '.join(having)}."
        )
    return chosen


def _row(claim: Claim, guess: Direction | None) -> dict[str, Any]:
    return {
        "name": claim.name,
        "subject": claim.subject,
        "question": claim_question(claim),
        "taught": claim.taught,
        "says": claim.says,
        "measured": [evidence(claim, measurement) for measurement in claim.measurements],
        "direction": claim.effect.direction,
        "why": claim.why,
        "test": command_of(claim) or None,
        "guess": guess,
    }


def _ask_all(asked: Sequence[Claim]) -> None:
    right = answered = 0
    try:
        for number, claim in enumerate(asked, 1):
            right += _ask(claim, f"{number} of {len(asked)}, {claim.subject.replace('_', ' ')}.")
            answered += 1
    except Leave:
        pass
    if answered > 1:
        print(f"\n{right} of {answered} as you expected.")


def _ask(claim: Claim, head: str) -> bool:
    """Asks about one, and shows what was measured; returns whether the guess was right."""
    options = {str(number): direction for number, direction in enumerate(ANSWERS, 1)}
    print()
    print_markdown(f"**{head}** {literal(claim_question(claim))}")
    for number, direction in options.items():
        print(f"  {number}  {direction}")
    guess = options[answer(f"{'/'.join(options)}? ", options)]
    update_progress(lambda progress: progress.guesses.update({claim.name: guess}))
    print_markdown(literal(verdict(guess, claim.effect)))
    print_markdown("\n".join(f"- {literal(evidence(claim, one))}" for one in claim.measurements))
    print_markdown(literal(f"{claim.why} {teaching(claim)}"))
    if command_of(claim):
        print_markdown(f"Test it on your own images: `{command_of(claim)}`")
    return guess == claim.effect.direction
