"""One claim of the lesson, tested on the learner's images in the experiment that it was measured with."""

from __future__ import annotations

from pathlib import Path

from conviction.experiments.store import ExplorationResult
from conviction.lesson.claim_words import ANSWERS, comparison, own_evidence, verdict
from conviction.lesson.claims import Claim
from conviction.lesson.progress import load_progress, update_progress
from conviction.lesson.record import Direction, Experiment
from conviction.web.elements.growing import growing_curves
from conviction.web.elements.plain import button, choice, link, paragraph, tag
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import start_explore
from conviction.web.pages.page import PageContext
from conviction.web.pages.question import QuestionCard, base_of, limits_and_report, seeds_of
from conviction.web.tutor.claims import measured


class ClaimCard(QuestionCard):
    """As the card of a question: the guess, the experiment as it goes on, the answer beside what was measured.

    Args:
        page: The context of the page.
        claim: One that can be tested.
        experiment: How.
    """

    def __init__(self, page: PageContext, claim: Claim, experiment: Experiment) -> None:
        super().__init__(page, claim.name)
        self.claim, self.experiment = claim, experiment

    @property
    def labels(self) -> list[str]:
        """Of its one arm."""
        return [self.claim.measurements[0].question]

    @property
    def guess(self) -> str:
        """What was expected, or nothing."""
        return self._guesses().get(self.claim.name, "")

    def guess_words(self, value: str) -> str:
        """A guess as it stands in a sentence and in the teacher's table."""
        return value or "nothing"

    def _guesses(self) -> dict[str, Direction]:
        return load_progress(self.page.lab.progress_of(self.page.owner)).guesses

    def _introduce(self) -> None:
        paragraph(f"Compared with {self.claim.against}, the {self.claim.measure_name} is ...")

    def _ask(self, *, again: bool) -> None:
        def put(value: str) -> None:
            direction = next((each for each in ANSWERS if each == value), None)
            if direction is not None:
                guess = {self.claim.name: direction}
                update_progress(
                    lambda progress: progress.guesses.update(guess),
                    self.page.lab.progress_of(self.page.owner),
                )
            self.look()

        options = {"": "Say what you expect ..."} | {str(each): each.capitalize() for each in ANSWERS}
        with tag("div", "", "fields"):
            choice("Your guess", options, self.guess, self.page.guarded(put), f"guess-{self.question}")
            button(
                "Test it again" if again else "Test it",
                self.page.guarded(self._start),
                f"start-{self.question}",
                "" if again else "primary",
                disabled=not self.guess,
            )
            link("To the lab's questions", self.page.to("explore"))
        paragraph(self._expected(), "note")

    def _epochs(self) -> int:
        return self.page.lab.most_epochs(self.experiment.epochs)

    def _expected(self) -> str:
        seeds = seeds_of(self.page)
        images = self._epochs() * self.experiment.images
        return (
            f"The lab will train {2 * seeds} networks: {self.claim.against} and the change, each with {seeds} "
            f"seed{'' if seeds == 1 else 's'}. Each learns from {images:,} images, where an image counts "
            "again in every epoch: as many as when the claim was measured, or as your course allows."
        )

    def _submit(self, study: Path) -> Job:
        page = self.page
        data = {key: value for key, value in base_of(page).items() if key.startswith("data.")}
        return start_explore(
            page.lab.jobs,
            page.owner,
            page.desk.source,
            self.claim.name,
            study,
            seeds=seeds_of(page),
            epochs=self._epochs(),
            budget=None,
            base={"recipe": "lab", **data},
            claim=True,
        )

    def _answer(self, result: ExplorationResult, study: Path) -> None:
        tested, claim = result.claim, self.claim
        if tested is None:
            super()._answer(result, study)
            return
        kept = tested.effects.get(claim.measure)
        effect = None if kept is None else kept.effect
        with tag("div", "", "answer"):
            if effect is None or tested.seeds < 2:
                paragraph(own_evidence(claim, effect, tested.seeds), "judged")
                measured(claim)
            else:
                guess = next((direction for direction in ANSWERS if direction == self._asked(study)), None)
                paragraph(verdict(guess, effect) if guess else "You expected nothing.", "judged")
                paragraph(comparison(claim, effect, tested.seeds))
                growing_curves(self.page.lab.watcher.study(study).curves)
                measured(claim, effect)
            limits_and_report(self.page, result, study)
