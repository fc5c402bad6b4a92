"""Step 4: start, pause and resume trainings; their curves and what these show, while they grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from conviction.config import ImageFacts
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.report import Table, live_sentence
from conviction.web.elements.curves import FIGURES, chart
from conviction.web.elements.plain import button, heading, link, paragraph, table, tag, tick
from conviction.web.elements.surface import Surface
from conviction.web.jobs.progress import RunStatus, state_of
from conviction.web.jobs.queue import ERR, Job
from conviction.web.jobs.starts import is_run_name, next_name, run_folder, start_fit, start_resume, stem_of
from conviction.web.pages.examples import Examples
from conviction.web.pages.frame import framed, misfit, onward
from conviction.web.work import network
from conviction.web.work.desk import Draft
from conviction.web.work.lab import PageContext

MOST_OVER = 3


async def train_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        _Bench(page).show()


class _Bench:
    """One run that is looked at, others over it, and the list of all."""

    def __init__(self, page: PageContext) -> None:
        self.page = page
        asked = page.query.get("over", "").split(",")
        self.over = [n for n in asked if is_run_name(n)][:MOST_OVER]
        self.starting = False
        self.seen: Any = None
        self.listed: Any = None

    @property
    def name(self) -> str:
        """Of the run that is looked at: the one in the address, or the newest."""
        run = self.page.run_status()
        return run.path.name if run else ""

    def show(self) -> None:
        """Shows everything, and checks once a second what has changed."""
        self.begin = Surface()
        self.offered: Any = None
        # The shapes say whether the network fits; until the images are read, nobody knows them.
        ui.timer(0.01, self.page.guarded(self.page.images), once=True)
        # A button that is pressed here is not lost when the rest is redrawn.
        self.hands = Surface()
        self.body = tag("div")
        heading("All runs")
        self.list = tag("div")
        self._look()
        ui.timer(1.0, self._look)

    def _offer(self) -> None:
        """Shows the button, and if the network does not fit, why it cannot be pressed."""
        desk, images = self.page.desk, self.page.known()
        job = self.page.lab.jobs.last_at(run_folder(self.page.root, self.name)) if self.name else None
        busy = job is not None and job.alive
        now = (desk.revision, desk.draft, images is not None, busy)
        if now == self.offered:
            return
        self.offered = now
        refusal = "" if images is None or desk.draft is None else _refusal(desk.draft, images)
        with self.begin.drawing():
            if refusal:
                misfit(self.page, refusal)
            with tag("div", "", "buttons"):
                start = self.page.guarded(self._start)
                described = {"disabled": bool(refusal), "aria_describedby": "what"}
                # Another one can be started while one runs, but that is not what comes next.
                button("Train this network", start, "start", "" if busy else "primary", **described)
                tag("span", self._what(), "soft", id="what")

    def _what(self) -> str:
        draft = self.page.desk.draft
        layers = f"{len(draft.layers)} layers and the output" if draft else "the lab's network"
        return f"{layers} on {stem_of(self.page.desk.source)}"

    async def _start(self, *_: Any) -> None:
        if self.starting:  # a double click is one
            return
        self.starting = True
        try:
            await self._begin()
        except BaseException:
            self.starting = False
            raise

    async def _begin(self) -> None:
        page = self.page
        page.say("The images are being checked ...", "waiting")
        images, checked = await page.checked()
        refusal = _refusal(page.draft, images)
        if refusal:
            raise RequestError(refusal)
        facts = ImageFacts.of(images.rule.shape, len(checked.split.train))
        recipe = page.draft.specification(facts)
        page.lab.check(recipe, len(images))
        name = next_name(page.root, stem_of(page.desk.source), page.lab.jobs)
        start_fit(
            page.lab.jobs,
            page.owner,
            page.desk.source,
            recipe,
            page.root / name,
            configs=page.lab.own("specifications", page.owner or "own"),
        )
        page.lab.jobs.tick()
        ui.navigate.to(page.to("train", name))

    def _look(self) -> None:
        page, name = self.page, self.name
        self._offer()
        if name:
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
        listed = [
            (s.path.name, s.status, len(s.rows), page.lab.jobs.last_at(s.path))
            for s in page.lab.runs(page.owner)
        ]
        if listed != self.listed:
            self.listed = listed
            self._list()

    @staticmethod
    def _outline(state: Any) -> Any:
        """What decides which elements there are; the rest is updated in place, so that the focus stays."""
        run, job, overs, ahead = state
        return (
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
                tag("span", *_state(run, job))
            if run.source and run.source != self.page.desk.source:
                paragraph(f"It learned from {stem_of(run.source)}, and not from the images above.", "note")
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
            if run.rows:
                with tag("div", "", "charts"):
                    for figure in FIGURES:
                        made = ui.echart(chart(figure, {}), renderer="svg").classes("chart")
                        made.props["role"] = "img"
                        self.charts[figure] = made
                if job is not None and (job.state == "running" or run.status == "done"):
                    Examples(self.page, run.path).show()
                self._pick_over(name)
                with tag("details"):
                    tag("summary", "The same as numbers")
                    self.rows = tag("div")
            if job is not None:
                self._words(job)
            if run.status == "done":
                onward(self.page, "Evaluate", self.page.to("evaluate", name))
        self._grow(name, run, overs)

    def _hands(self, name: str, run: RunStatus, job: Job | None) -> None:
        page, jobs = self.page, self.page.lab.jobs

        def act(do: Callable[[], object]) -> Callable[..., Any]:
            def handler(*_: Any) -> None:
                do()
                jobs.tick()
                self._look()

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
                    f"Go on to {more} epochs",
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
            tag("legend", "Lay over it")
            for other in others:
                tick(other, other in self.over, partial(put, other), f"over-{other}")

    def _words(self, job: Job) -> None:
        with tag("details") as details:
            tag("summary", "What the process says")
            text = tag("pre", "", "code", tabindex=0, role="region", aria_label="What the process says")
        details.on(
            "toggle",
            lambda e: text.set_text(self.page.lab.jobs.output_tail(job, ERR) or "Nothing yet."),
            js_handler="() => emit()",
        )

    def _list(self) -> None:
        self.list.clear()
        with self.list:
            if not self.listed:
                paragraph("None yet.", "soft")
                return
            with tag("ul", "", "runs"):
                for name, _, epochs, job in self.listed:
                    run = self.page.lab.watcher.run(self.page.root / name)
                    with tag("li"):
                        link(name, self.page.to("train", name))
                        tag("span", *_state(run, job))
                        if epochs:
                            last = run.rows[-1]
                            tag(
                                "span",
                                f"epoch {epochs}: validation accuracy {last.val_accuracy:.2%}",
                                "soft",
                            )


def where(run: RunStatus, job: Job | None, ahead: int) -> str:
    """How far a training has come, in a sentence."""
    done = f"{len(run.rows)} of {run.epochs} epochs"
    if job is not None and job.state == "waiting":
        return f"Waiting for its turn; {ahead} ahead of it." if ahead else "About to begin."
    if job is not None and job.state == "running":
        if job.wish:
            return "It pauses at the next step and keeps what there is ..."
        if job.kind == "evaluate":
            return "The test set is being opened ..."
        if job.kind == "export":
            return "Being exported ..."
        if not run.rows:
            return "Reading the images, building the network; the first epoch ..."
        if len(run.rows) >= run.epochs:
            return "All epochs are done; evaluating ..."
        left = run.seconds * (run.epochs - len(run.rows))
        return f"{done}, about {left:.0f} s to go."
    if run.status == "done":
        return f"{done}."
    return f"{done}. Nothing is lost: it can go on." if run.epochs else ""


def _state(run: RunStatus, job: Job | None) -> tuple[str, str]:
    """A word for the state, and its class."""
    state = state_of(run, job)
    return state, f"pill {'running' if job is not None and job.alive else state}"


def _refusal(draft: Draft, images: ImageSet) -> str:
    """Why a network does not fit these images; empty if it does."""
    return network.look(draft.layers, images.rule.shape, len(images.class_names)).refusal


def _numbers(run: RunStatus) -> Table:
    rows = tuple(
        (str(r.epoch), f"{r.loss:.4f}", f"{r.accuracy:.2%}", f"{r.val_loss:.4f}", f"{r.val_accuracy:.2%}")
        for r in run.rows
    )
    return Table(
        ("epoch", "loss", "accuracy", "validation loss", "validation accuracy"), rows, (0, 1, 2, 3, 4)
    )
