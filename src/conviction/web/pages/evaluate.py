"""Step 5: the test set behind one button, and what the answers to it, or to the validation images, show."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from nicegui import ui

from conviction.errors import ConvictionError
from conviction.evaluation import count_openings, openings_sentence
from conviction.runs import RunFolder
from conviction.web.elements.plain import button, heading, link, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import RunStatus, state_of
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import run_folder, start_evaluate
from conviction.web.pages.beside import choose_beside, show_beside
from conviction.web.pages.evaluated import Compared, Evaluated, compared, evaluated
from conviction.web.pages.frame import framed, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop, shown_when_ready, walkthrough
from conviction.web.pages.result import show_result


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
        self.beside = choose_beside(page, status)
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
        if status is None:
            return
        status = replace(status, note="")  # which changes nothing here
        if (status, job) == self.seen:
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
            await (self._compare() if self.beside else self._evaluate())

    async def _evaluate(self) -> None:
        await shown_when_ready(
            self.page,
            "Working out what the answers show ...",
            lambda: self.page.lab.helper.call(evaluated, str(self.path), self.page.lab.data_dir, self.part),
            self._shown,
        )

    async def _compare(self) -> None:
        other = str(run_folder(self.page.root, self.beside))
        await shown_when_ready(
            self.page,
            f"Comparing {self.path.name} with {self.beside} ...",
            lambda: self.page.lab.helper.call(compared, other, str(self.path), self.page.lab.data_dir),
            self._beside,
        )

    def _beside(self, result: Compared) -> None:
        show_beside(result)
        onward(self.page, "Try it", self.page.to("try", self.path.name))

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
        show_result(self.page, self.run, evaluation)
        onward(self.page, "Try it", self.page.to("try", self.path.name))
