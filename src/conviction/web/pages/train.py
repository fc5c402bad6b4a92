"""Step 4: start, pause and resume trainings; their curves and what these show, while they grow."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import chain
from typing import Any

from nicegui import ui

from conviction.config import ImageFacts, Recipe
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.flow.prepare import check_folds, cut_for
from conviction.web.elements.plain import button, heading, link, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.starts import next_name, run_folder, start_fit, stem_of
from conviction.web.pages.frame import framed, misfit
from conviction.web.pages.page import ChapterLink, PageContext, Stop, walkthrough
from conviction.web.pages.running import RunPanel, state_pill
from conviction.web.work import network
from conviction.web.work.desk import Draft
from conviction.web.work.sources import Checked


async def train_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        _Bench(page).show()


STOP = Stop(
    "train",
    "Train",
    "training",
    train_page,
    partial(walkthrough, "Train"),
    needs="run",
    drafts=True,
    links=(ChapterLink("training", "curves"),),
)


class _Start:
    """The button that starts a training, and if the network does not fit, why it cannot be pressed."""

    def __init__(self, page: PageContext) -> None:
        self.page = page
        self.starting = False
        self.offered: Any = None

    def show(self) -> None:
        """Makes room for it."""
        self.surface = Surface()
        # The shapes say whether the network fits; until the images are read, nobody knows them.
        ui.timer(0.01, self.page.guarded(self.page.images), once=True)

    def look(self, name: str) -> None:
        """Shows it as it is now, beside the run of this name."""
        desk, images = self.page.desk, self.page.known()
        job = self.page.lab.jobs.last_at(run_folder(self.page.root, name)) if name else None
        busy = job is not None and job.alive
        now = (desk.revision, desk.draft, images is not None, busy)
        if now == self.offered:
            return
        self.offered = now
        refusal = "" if images is None or desk.draft is None else _refusal(desk.draft, images)
        missing = "" if refusal or desk.draft is None else network.untrainable(desk.draft.layers)
        with self.surface.drawing():
            if refusal:
                misfit(self.page, refusal)
            if missing:
                paragraph(missing, "message trouble")
            with tag("div", "", "buttons"):
                start = self.page.guarded(self._start)
                described = {"disabled": bool(refusal or missing), "aria_describedby": "what"}
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
        self.page.say("The images are being checked ...", "waiting")
        ui.navigate.to(self.page.to("train", await begin(self.page)))


async def begin(page: PageContext) -> str:
    """Starts a training of what has been built on a desk.

    Returns:
        The name of the run.

    Raises:
        ConvictionError: The images cannot be read, the network does not fit them, or the course does not allow it.
    """
    images, checked = await page.checked()
    refusal = _refusal(page.draft, images) or network.untrainable(page.draft.layers)
    if refusal:
        raise RequestError(refusal)
    recipe = await asyncio.to_thread(_for_run, page.draft, images, checked)
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
    return name


class _Bench:
    """What can be trained, one run that is looked at, and the list of all."""

    def __init__(self, page: PageContext) -> None:
        self.page = page
        self.start = _Start(page)
        self.run = RunPanel(page, self._look)
        self.listed: Any = None

    def show(self) -> None:
        """Shows everything, and checks once a second what has changed."""
        self.start.show()
        self.run.show()
        heading("All runs")
        self.list = tag("div")
        self._look()
        ui.timer(1.0, self._look)

    def _look(self) -> None:
        page, run = self.page, self.page.run_status()
        # The run in the address, or the newest.
        name = run.path.name if run else ""
        self.start.look(name)
        if name:
            self.run.look(name)
        listed = [
            (s.path.name, s.status, len(s.rows), page.lab.jobs.last_at(s.path))
            for s in page.lab.runs(page.owner)
        ]
        if listed != self.listed:
            self.listed = listed
            self._list()

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
                        tag("span", *state_pill(run, job))
                        if epochs:
                            last = run.rows[-1]
                            tag(
                                "span",
                                f"epoch {epochs}: validation accuracy {last.val_accuracy:.2%}",
                                "soft",
                            )


def _for_run(draft: Draft, images: ImageSet, checked: Checked) -> Recipe:
    """The specification for these images, and for the fewest that one of its networks learns from.

    Raises:
        RequestError: The images are too few for the folds.
    """
    shape, split = images.rule.shape, checked.split
    recipe = draft.specification(ImageFacts.of(shape, len(split.train)))
    folds = cut_for(recipe, images, checked.audit, split)
    fewest = min(len(one.train) for one in (split, *chain(*folds)))
    if recipe.training.batch_size > fewest:
        recipe = draft.specification(ImageFacts.of(shape, fewest))
    check_folds(recipe, folds)
    return recipe


def _refusal(draft: Draft, images: ImageSet) -> str:
    """Why a network does not fit these images; empty if it does."""
    return network.look(draft.layers, images.rule.shape, len(images.class_names)).refusal
