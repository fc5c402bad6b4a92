"""Claims of the lesson, one at a time: a guess first, then what was measured, and a way to test it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui.events import GenericEventArguments

from conviction.lesson.claim_words import ANSWERS, claim_question, teaching, verdict
from conviction.lesson.claims import Claim, claims_about
from conviction.lesson.progress import load_progress, update_progress
from conviction.lesson.question import plural
from conviction.lesson.record import Direction, Effect
from conviction.web.elements.intervals import effect_table
from conviction.web.elements.plain import button, heading, link, paragraph, tag

# The buttons that follow one another share a key, so that the focus moves from each to the next.
NEXT = "practice-next"


class Claims:
    """The claims about a subject, in the current container: first those that nobody has guessed yet.

    Args:
        subject: A sheet or a chapter.
        testing: Returns the address at which a claim is tested; None where nothing can be.
        progress: The learner's file.
    """

    def __init__(self, subject: str, testing: Callable[[str], str] | None, progress: Path | None) -> None:
        self._testing, self._progress = testing, progress
        self._claims = claims_about(subject)
        guesses = load_progress(progress).guesses
        self._asked = [claim for claim in self._claims if claim.name not in guesses]
        self._at = 0
        self._container = tag("div", "", "practice")
        self._show()

    def _show(self) -> None:
        self._container.clear()
        with self._container:
            if self._at >= len(self._asked):
                self._end()
                return
            claim = self._asked[self._at]
            self._head(claim)
            with tag("div", "", "options", role="group", aria_label="Your guess"):
                for direction in ANSWERS:
                    guess = button(direction, self._answer(claim, direction), NEXT)
                    guess.classes("option")

    def _head(self, claim: Claim) -> None:
        paragraph(
            f"Claim {self._at + 1} of {len(self._asked)}: guess before you see what was measured", "note"
        )
        heading(claim_question(claim), 3, "front")

    def _answer(self, claim: Claim, guess: Direction) -> Callable[[GenericEventArguments], None]:
        def answer(_: GenericEventArguments) -> None:
            update_progress(lambda progress: progress.guesses.update({claim.name: guess}), self._progress)
            self._container.clear()
            with self._container:
                self._head(claim)
                with tag("div", "", "verdict-of-answer", role="status"):
                    right = guess == claim.effect.direction
                    paragraph(verdict(guess, claim.effect), "message" if right else "message trouble")
                measured(claim)
                with tag("div", "", "buttons"):
                    if self._testing is not None and claim.experiment is not None:
                        link("Test it on these pictures", self._testing(claim.name), "button")
                    last = self._at + 1 == len(self._asked)
                    button("See all of them" if last else "Next claim", self._next, NEXT, "primary")

        return answer

    def _next(self, _: GenericEventArguments) -> None:
        self._at += 1
        self._show()

    def _end(self) -> None:
        guesses = load_progress(self._progress).guesses
        right = sum(guesses.get(claim.name) == claim.effect.direction for claim in self._claims)
        heading(f"{right} of {len(self._claims)} as you expected", 3, "front")
        for claim in self._claims:
            with tag("details"):
                tag("summary", claim.change)
                paragraph(f"The {claim.measure_name}, compared with {claim.against}:", "note")
                measured(claim)
                if self._testing is not None and claim.experiment is not None:
                    link("Test it on these pictures", self._testing(claim.name))
        button("Guess all of them again", self._again, NEXT)

    def _again(self, _: GenericEventArguments) -> None:
        self._asked, self._at = list(self._claims), 0
        self._show()


def measured(claim: Claim, own: Effect | None = None) -> None:
    """What was measured, as a picture; why; and what one reads elsewhere.

    Args:
        claim: The claim.
        own: What the learner's own experiment found, with an interval that is known; None without one.
    """
    effects = [(one.data, one.differences[claim.measure]) for one in claim.measurements]
    # The same data set more than once: then the lengths of the trainings tell them apart.
    if len({name for name, _ in effects}) < len(effects):
        effects = [(_with_length(name, i, claim), effect) for i, (name, effect) in enumerate(effects)]
    if own is not None:
        effects.insert(0, ("Your pictures", own))
    effect_table(claim.measure, effects, f"What was measured: {claim.change}")
    paragraph(claim.why)
    paragraph(teaching(claim))
    with tag("details"):
        tag("summary", "How it was measured")
        for one in claim.measurements:
            paragraph(f"{one.about()}.", "note")


def _with_length(name: str, number: int, claim: Claim) -> str:
    experiment = claim.measurements[number].experiment
    return f"{name}, {experiment.epochs} epochs" if experiment else name


@contextmanager
def folded_until_guessed(subject: str, progress: Path | None, guess: Callable[[], None]) -> Iterator[None]:
    """Folds a text that tells what was measured, until the reader has said what they expect.

    Args:
        subject: What its claims are about; a text about anything else stands open.
        progress: The learner's file.
        guess: Leads to the claims.
    """
    guesses = load_progress(progress).guesses
    asked = [claim for claim in claims_about(subject) if claim.name not in guesses]
    if not asked:
        yield
        return
    paragraph("This text tells what was measured. What do you expect?")
    button(f"Guess first: {plural(len(asked), 'claim')}", lambda _: guess(), "guess-first", "primary")
    with tag("details"):
        tag("summary", "Read it now")
        yield
