"""Step 5: the test set behind one button, and what the answers to it, or to the validation images, show."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from conviction.errors import ConvictionError
from conviction.evaluation import Advice, count_openings, openings_sentence
from conviction.flow.evaluation import FEW_TESTED
from conviction.reporting import TO_TRY, folds_suggestion
from conviction.runs import RunFolder, folder
from conviction.training.augmentations import AUGMENTATIONS
from conviction.web.elements.plain import button, heading, link, paragraph, show_step, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import RunStatus, state_of
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import start_evaluate
from conviction.web.pages.evaluated import Evaluated, Reason, evaluated, reasons
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop, shown_when_ready, walkthrough

# As Compile calls them.
LABELS = {
    "training.learning_rate": "Learning rate",
    "training.early_stopping": "Stop early after",
    "training.epochs": "Epochs",
    **{f"augmentation.{one.key}": one.field.label for one in AUGMENTATIONS if one.field},
}


async def evaluate_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        run = pick_run(page)
        if run is not None:
            await _Verdict(page, run).show()


STOP = Stop(
    "evaluate",
    "Evaluate",
    "evaluating",
    evaluate_page,
    partial(walkthrough, "Evaluate"),
    needs="end",
    links=(ChapterLink("evaluating", "test set"),),
)


def pick_run(page: PageContext) -> RunStatus | None:
    """The run of the address, or the newest that this step can show; says what to do where there is none."""
    names = [s.path.name for s in page.lab.runs(page.owner) if page.stop.can_show(s)]
    run = page.run_status()
    if run is None:
        paragraph("No run has come this far yet.", "message")
        onward(page, "Train one", page.to("train"), lead="")
        return None
    page.part = run.path.name
    if names:
        with tag("nav", aria_label="The run that is shown"), tag("ul", "", "parts"):
            for name in names[:8]:
                current = {"aria_current": "page"} if name == page.part else {}
                with tag("li"):
                    link(name, page.to(page.stop.name, name), **current)
    if run.trouble:
        paragraph(f"{page.part} is {run.status}. {run.trouble}", "message trouble")
        return None
    if run.path.name not in names:
        when = "once its first epoch is done" if page.stop.needs == "epoch" else "once all its epochs are"
        state = state_of(run, page.lab.jobs.last_at(run.path))
        far = f", {len(run.rows)} of {run.epochs} epochs done" if run.epochs else ""
        paragraph(f"{page.part} is {state}{far}. You can open it here {when}.", "message")
        text = "Continue it" if state == "paused" else "To its training"
        onward(page, text, page.to("train", page.part), lead="")
        return None
    return run


class _Verdict:
    """The button, and what is shown before and after it was pressed."""

    def __init__(self, page: PageContext, status: RunStatus) -> None:
        self.page, self.path = page, status.path
        self.run, self.part = RunFolder(status.path), ""
        self.seen: Any = None

    async def show(self) -> None:
        """Shows everything, and redraws it when the test set has been opened."""
        self.head = Surface()
        self.body = tag("div")
        await self._look()
        ui.timer(1.0, self._look)

    async def _look(self) -> None:
        job = self.page.lab.jobs.last_at(self.path)
        status = self.page.run_status()
        if status is None or (status, job) == self.seen:
            return
        if self.seen is not None and status.status != "done":
            ui.navigate.reload()  # it continues for more epochs, and what is shown is no longer its evaluation
            return
        fresh = self.seen is None or status != self.seen[0]
        self.seen = (status, job)
        self.run = RunFolder(self.path)
        with self.head.drawing():
            self._seal(status, job)
        if not fresh:
            return
        self.part = "test" if status.opened else "validation"
        self.body.clear()
        with self.body:
            await shown_when_ready(
                self.page,
                "Working out what the answers show ...",
                lambda: self.page.lab.helper.call(
                    evaluated, str(self.path), self.page.lab.data_dir, self.part
                ),
                self._shown,
            )

    def _seal(self, status: RunStatus, job: Job | None) -> None:
        try:
            openings = count_openings(self.run.split.test_hash)
            images = sum(self.run.data.counts.test)
        except ConvictionError as failure:
            paragraph(str(failure), "message trouble")
            return
        if job is not None and job.alive and job.kind == "evaluate":
            paragraph("The test set is being opened ...", "waiting")
            return
        if status.opened:
            return
        with tag("section", "", "card"):
            heading(f"{images:,} test images, still sealed", 3)
            if openings:
                paragraph(f"The ledger: {openings_sentence(openings)}")
            paragraph(
                "This run has not been scored on them. What is shown below comes from the validation images, which "
                "you could use to choose; the figure that counts is the one from the test images, once, when you have "
                "chosen."
            )
            if job is not None and job.kind == "evaluate" and job.state == "failed":
                paragraph(job.reason, "message trouble")
            busy = job is not None and job.alive
            with tag("div", "", "buttons"):
                button("Open the test set", self.page.guarded(self._open), "open", "primary", disabled=busy)
                if busy:
                    tag(
                        "span",
                        "Something is still working on this run; you can open the test set after that.",
                        "soft",
                    )

    async def _open(self, *_: Any) -> None:
        start_evaluate(self.page.lab.jobs, self.page.owner, self.path)
        self.page.lab.jobs.tick()
        await self._look()

    def _shown(self, evaluation: Evaluated) -> None:
        heading("On the test images" if evaluation.part == "test" else "On the validation images")
        show_step(evaluation.step)
        for advice in self.run.verdict.advice:
            words, step = advised(advice)
            with tag("p", f"{TO_TRY}{words}, at "):
                title = next(stop.title for stop in self.page.stops if stop.name == step)
                link(title, self.page.to(step, self.path.name if step == "train" else ""))
        tested = sum(self.run.data.counts.test)
        if tested < FEW_TESTED and self.run.config.evaluation.folds is None:
            with tag("p", folds_suggestion(tested, "choose Cross-validation at ")):
                link("Compile", self.page.to("compile"))
                tag("span", " and train again.")
        with tag("section"):
            heading("Why was it wrong?")
            container = tag("div")
            with container:
                button(
                    "Show where the evidence was for the mistakes that it was surest of",
                    self.page.guarded(lambda *_: self._reasons(container)),
                    "reasons",
                )
        ui.html(evaluation.panel, sanitize=False).classes("report")
        onward(self.page, "Try it", self.page.to("try", self.path.name))

    async def _reasons(self, container: Any) -> None:
        container.clear()
        stamp = (self.path / folder.MODEL).stat().st_mtime
        with container:
            await shown_when_ready(
                self.page,
                "Loading the network and asking it ...",
                lambda: self.page.lab.helper.call(
                    reasons, str(self.path), self.page.lab.data_dir, self.part, stamp
                ),
                _show_reasons,
            )


def advised(advice: Advice) -> tuple[str, str]:
    """What a verdict advises, in the words of the page, and the step that has them."""
    settings = advice.settings
    if advice.resumes:
        return f"continue to {settings['training.epochs']} epochs", "train"
    if "model.trainable" in settings:
        return f"let the last {settings['model.trainable']} blocks of the backbone learn, too", "network"
    if "recipe" in settings:
        return f"start again from {settings['recipe']}", "network"
    return " and ".join(f"{LABELS[key]} {value}" for key, value in settings.items()), "compile"


def _show_reasons(mistakes: list[Reason]) -> None:
    if not mistakes:
        paragraph("It made no mistakes on these images.")
        return
    paragraph(
        "Grad-CAM at the last convolution: the more orange a place is, the more it spoke for the answer.",
        "note",
    )
    with tag("div", "", "cards reasons"):
        for one in mistakes:
            with tag("figure", "", "card"):
                with tag("div", "", "pair"):
                    tag("img", "", "sharp", src=one.picture, alt=f"A picture of {one.truth}")
                    tag("img", src=one.heat, alt=f"Where it saw {one.predicted}")
                with tag("figcaption"):
                    tag("b", one.truth)
                    tag("span", f" called {one.predicted}, {one.sure:.1%} sure")
