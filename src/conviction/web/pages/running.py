"""One run on the page of a training: its state, its curves, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from conviction.errors import RequestError
from conviction.flow.records import source_name
from conviction.reporting import Table, image_address, live_sentence
from conviction.web.elements.curves import FIGURES, chart
from conviction.web.elements.plain import button, paragraph, table, tag, tick
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import RunStatus, state_of
from conviction.web.jobs.records import ERR, Job
from conviction.web.jobs.starts import is_run_name, run_folder, start_resume, stem_of
from conviction.web.pages.examples import Examples
from conviction.web.pages.frame import onward
from conviction.web.pages.page import PageContext
from conviction.web.work.addresses import events_address

MOST_OVER = 3


class RunPanel:
    """The run that is looked at, with others over its curves.

    Args:
        page: The context of the page.
        changed: Called when a button has been pressed.
    """

    def __init__(self, page: PageContext, changed: Callable[[], None]) -> None:
        self.page, self._changed = page, changed
        asked = page.query.get("over", "").split(",")
        self.over = [n for n in asked if is_run_name(n)][:MOST_OVER]
        self.seen: Any = None
        self.picture = ""

    def show(self) -> None:
        """Makes room for it."""
        # A press of a button here is not lost when the rest is redrawn.
        self.hands = Surface()
        # Filled by ``live/training.js``, which asks for what the process writes down.
        self.live = tag("div", "", "training", data_events="", data_job="", data_picture="")
        self.body = tag("div")
        self.following = tag("div", "", "no-box")

    def look(self, name: str) -> None:
        """Shows the run as it is now."""
        page = self.page
        path = run_folder(page.root, name)
        run, job = page.lab.watcher.run(path), page.lab.jobs.last_at(path)
        overs = [(n, page.lab.watcher.run(run_folder(page.root, n))) for n in self.over if n != name]
        state = (run, job, [s for _, s in overs], page.lab.jobs.ahead(job) if job else 0)
        if state != self.seen:
            redraw = self.seen is None or self._outline(state) != self._outline(self.seen)
            self.seen = state
            if redraw:
                self._draw(name, run, job, overs)
            else:
                self._grow(name, run, overs)
        self._move(run, job)
        watched = {
            "data-events": events_address(self.page.desk.id, name),
            "data-job": job.id if job is not None and job.kind in ("fit", "resume") else "",
            "data-picture": self._picture(run),
        }
        if watched != {key: self.live.props[key] for key in watched}:
            self.live.props.update(watched)

    def _picture(self, run: RunStatus) -> str:
        """One of the images, whose maps are shown, as an address; empty before they are read."""
        if not self.picture and run.source == source_name(self.page.desk.source):
            images, split = self.page.known(), self.page.split()
            if images is not None:
                self.picture = image_address(images.pixels[0 if split is None else split.validation[0]])
        return self.picture

    @staticmethod
    def _outline(state: Any) -> Any:
        """What decides which elements there are; the rest is updated in place, so that the focus stays."""
        run, job, overs, ahead = state
        return (
            run.path,
            run.status,
            bool(run.rows),
            job and (job.id, job.state, job.wish),
            len(overs),
            ahead,
        )

    def _draw(self, name: str, run: RunStatus, job: Job | None, overs: list[tuple[str, RunStatus]]) -> None:
        with self.hands.drawing():
            with tag("h2"):
                tag("span", f"{name} ")
                tag("span", *state_pill(run, job))
            if run.source and run.source != source_name(self.page.desk.source):
                paragraph(f"It learned from {stem_of(run.source)}, not from the images above.", "note")
            self._hands(name, run, job)
        self.body.clear()
        with self.body:
            with tag(
                "div",
                "",
                "bar",
                role="progressbar",
                aria_label="Training",
                aria_valuemin=0,
                aria_valuemax=100,
            ) as self.bar:
                self.fill = tag("div")
            self.progress_line = paragraph("", "note")
            if run.trouble:
                paragraph(f"{name} is {run.status}. {run.trouble}", "message trouble")
            if job is not None and job.reason and job.state in ("failed", "stopped"):
                paragraph(job.reason, "message trouble")
            self.verdict = tag("div", "", "verdict", role="status")
            self.charts = {}
            if run.rows and job is not None and (job.state == "running" or run.status == "done"):
                Examples(self.page, run.path).show()
            if run.rows:
                with tag("div", "", "charts"):
                    for figure in FIGURES:
                        made = ui.echart(chart(figure, {}), renderer="svg").classes("chart")
                        made.props["role"] = "img"
                        self.charts[figure] = made
                self._pick_over(name)
                with tag("details"):
                    tag("summary", "The same as numbers")
                    self.rows = tag("div")
            if job is not None:
                output_of(self.page, job)
        self.following.clear()
        if run.status == "done":
            with self.following:
                onward(self.page, "Evaluate", self.page.to("evaluate", name))
        self._grow(name, run, overs)

    def _hands(self, name: str, run: RunStatus, job: Job | None) -> None:
        page, jobs = self.page, self.page.lab.jobs

        def act(do: Callable[[], object]) -> Callable[..., Any]:
            def handler(*_: Any) -> None:
                do()
                jobs.tick()
                self._changed()

            return page.guarded(handler)

        with tag("div", "", "buttons"):
            if job is not None and job.alive:
                pause = act(partial(jobs.end, page.owner, job.id, "paused"))
                button("Pause", pause, "paused", disabled=bool(job.wish))
            elif job is not None and job.state == "failed" and job.code == RequestError.exit_code:
                pass  # what was refused would be refused again
            elif run.status != "done":
                button(
                    "Resume",
                    act(lambda: start_resume(jobs, page.owner, page.root / name)),
                    "resume",
                    "primary",
                )
            elif page.lab.most_epochs(run.epochs * 2) > run.epochs > 0:
                more = page.lab.most_epochs(run.epochs * 2)
                button(
                    f"Continue to {more} epochs",
                    act(lambda: start_resume(jobs, page.owner, page.root / name, more)),
                    "more",
                )

    def _grow(self, name: str, run: RunStatus, overs: list[tuple[str, RunStatus]]) -> None:
        """The curves, the verdict and the numbers as they are now."""
        self.verdict.clear()
        if run.verdict is not None:
            with self.verdict:
                tag("b", run.verdict.name)
                paragraph(live_sentence(run.verdict))
        if not run.rows or not self.charts:
            return
        histories = {name: run.rows, **{n: s.rows for n, s in overs if s.rows}}
        last = run.rows[-1]
        for figure, made in self.charts.items():
            made.options.clear()
            made.options.update(chart(figure, histories, run.epochs))
            made.props["aria-label"] = (
                f"{figure} per epoch: {getattr(last, figure):.4f} in training and {getattr(last, 'val_' + figure):.4f} "
                f"in validation after epoch {last.epoch}"
            )
            made.update()
        self.rows.clear()
        with self.rows:
            table(_numbers(run), "Loss and accuracy per epoch")

    def _move(self, run: RunStatus, job: Job | None) -> None:
        """Updates the bar and the sentence below it."""
        share = (
            1.0
            if run.status == "done"
            else run.share(time.time())
            if job and job.alive
            else run.share(run.since)
        )
        self.fill.style(f"--share: {share:.3f}")
        self.bar.props["aria-valuenow"] = round(100 * share)
        self.progress_line.set_text(where(run, job, self.page.lab.jobs.ahead(job) if job else 0))

    def _pick_over(self, name: str) -> None:
        others = [s.path.name for s in self.page.lab.runs(self.page.owner) if s.rows and s.path.name != name][
            :12
        ]
        if not others:
            return

        def put(other: str, on: bool) -> None:
            chosen = [n for n in self.over if n != other] + ([other] if on else [])
            ui.navigate.to(self.page.to("train", name, over=",".join(chosen[-MOST_OVER:])))

        with tag("fieldset", "", "ticks"):
            tag("legend", "Overlay")
            for other in others:
                tick(other, other in self.over, partial(put, other), f"over-{other}")


def output_of(page: PageContext, job: Job) -> None:
    """What the process of a job has written, behind a fold."""
    with tag("details") as details:
        tag("summary", "Output of the process")
        text = tag("pre", "", "code", tabindex=0, role="region", aria_label="Output of the process")
    details.on(
        "toggle",
        lambda e: text.set_text(page.lab.jobs.records.output_tail(job, ERR) or "Nothing yet."),
        js_handler="() => emit()",
    )


def where(run: RunStatus, job: Job | None, ahead: int) -> str:
    """How far a training has come, in a sentence."""
    done = f"{len(run.rows)} of {run.epochs} epochs"
    if job is not None and job.state == "waiting":
        return f"Waiting for its turn; {ahead} ahead of it." if ahead else "About to start."
    if job is not None and job.state == "running":
        if job.wish:
            return "It pauses at the next step and keeps what there is ..."
        if job.kind == "evaluate":
            return "The test set is being opened ..."
        if job.kind == "export":
            return "Being exported ..."
        if not run.rows:
            return f"The first of {run.epochs} epochs ..." if run.epochs else "Starting ..."
        if len(run.rows) >= run.epochs:
            return f"All epochs are done; {folds_sentence(run) or 'evaluating ...'}"
        left = run.seconds * (run.epochs - len(run.rows))
        return f"{done}, about {left:.0f} s to go."
    if run.status == "done":
        return f"{done}."
    return f"{done}. Nothing is lost: it can continue." if run.epochs else ""


def folds_sentence(run: RunStatus) -> str:
    """How far the networks of the folds are; empty if there are none, or none left to train."""
    if run.plan is None or run.folds >= run.plan.networks:
        return ""
    return f"now the networks of the folds, {run.folds} of {run.plan.networks} done ..."


def state_pill(run: RunStatus, job: Job | None) -> tuple[str, str]:
    """A word for the state, and its class."""
    state = state_of(run, job)
    return state, f"pill {'running' if job is not None and job.alive else state}"


def _numbers(run: RunStatus) -> Table:
    rows = tuple(
        (str(r.epoch), f"{r.loss:.4f}", f"{r.accuracy:.2%}", f"{r.val_loss:.4f}", f"{r.val_accuracy:.2%}")
        for r in run.rows
    )
    return Table(
        ("epoch", "loss", "accuracy", "validation loss", "validation accuracy"), rows, (0, 1, 2, 3, 4)
    )
