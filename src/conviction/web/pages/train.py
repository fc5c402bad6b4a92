"""Step 4: start, pause and resume trainings; their curves and what these show, while they grow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from nicegui import ui

from conviction.config import ImageFacts, Recipe
from conviction.data import ImageSet, Split
from conviction.errors import RequestError
from conviction.flow.prepare import check_folds, cut_for
from conviction.web.elements.plain import button, link, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.starts import next_name, run_folder, start_fit, stem_of
from conviction.web.pages.frame import framed, misfit
from conviction.web.pages.page import ChapterLink, PageContext, Stop, walkthrough
from conviction.web.pages.running import RunPanel
from conviction.web.pages.runs import RunList
from conviction.web.work import network
from conviction.web.work.desk import Draft
from conviction.web.work.lab import facts_about
from conviction.web.work.since import requested_runs, twin_of
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
        # A finished run that this training would repeat, and the draft that it was found for.
        self.twin: tuple[str, Draft | None] = ("", None)

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
        now = (desk.revision, desk.draft, images is not None, busy, self.twin)
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
            twin, draft = self.twin
            if twin and draft is desk.draft:
                self._repeats(twin)

    def _repeats(self, twin: str) -> None:
        with tag("div", "", "message", role="status"):
            paragraph(
                f"{twin} was trained on the same images, with this network, these settings and this seed. Trained "
                "again on this machine with the same packages, it ends with exactly the same weights and curves. "
                "Another seed shows how much the result depends on chance."
            )
            with tag("div", "", "buttons"):
                link(f"Look at {twin}", self.page.to("train", twin), "button")
                button("Train with another seed", self.page.guarded(self._reseeded), "reseed", "primary")
                again = self.page.guarded(lambda *_: self._start(again=True))
                button("Train again anyway", again, "again", "quiet")

    def _what(self) -> str:
        draft = self.page.desk.draft
        layers = f"{len(draft.layers)} layers and the output" if draft else "the lab's network"
        return f"{layers} on {stem_of(self.page.desk.source)}"

    async def _start(self, *_: Any, again: bool = False) -> None:
        if self.starting:  # a double click is one
            return
        self.starting = True
        try:
            self.starting = await self._begin(again)
        except BaseException:
            self.starting = False
            raise

    async def _begin(self, again: bool) -> bool:
        """Whether a training was queued, so that the page is left."""
        page = self.page
        page.say("The images are being checked ...", "waiting")
        ready = await prepare(page)
        twin = "" if again else await self._twin(ready)
        if not twin:
            ui.navigate.to(page.to("train", queue(page, ready.recipe)))
            return True
        page.say("")
        self.twin = twin, page.desk.draft
        self.look(page.part)
        return False

    async def _twin(self, ready: _Ready) -> str:
        lab, owner = self.page.lab, self.page.owner
        made_here = requested_runs(lab.runs(owner), lab.jobs.of(owner))
        return await asyncio.to_thread(twin_of, ready.recipe, ready.images, ready.split, made_here)

    async def _reseeded(self, *_: Any) -> None:
        if self.starting:
            return
        facts = facts_about(await self.page.images(), self.page.data)
        seed = self.page.draft.specification(facts).training.seed
        self.page.change(self.page.draft.with_key("training.seed", seed + 1, facts))
        await self._start()


@dataclass(frozen=True)
class _Ready:
    """A training that can be queued."""

    recipe: Recipe
    images: ImageSet
    split: Split


async def prepare(page: PageContext) -> _Ready:
    """What has been built on a desk, as a training.

    Raises:
        ConvictionError: The images cannot be read, the network does not fit them, or the course does not allow it.
    """
    images, checked = await page.checked()
    refusal = _refusal(page.draft, images) or network.untrainable(page.draft.layers)
    if refusal:
        raise RequestError(refusal)
    recipe = await asyncio.to_thread(_for_run, page.draft, images, checked)
    page.lab.check(recipe, len(images))
    return _Ready(recipe, images, checked.split)


def queue(page: PageContext, recipe: Recipe) -> str:
    """Queues a training on the images of a desk, and returns the name of its run."""
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


async def begin(page: PageContext) -> str:
    """Starts a training of what has been built on a desk.

    Returns:
        The name of the run.

    Raises:
        ConvictionError: As ``prepare``.
    """
    return queue(page, (await prepare(page)).recipe)


class _Bench:
    """What can be trained, one run that is looked at, and the list of all."""

    def __init__(self, page: PageContext) -> None:
        self.page = page
        self.start = _Start(page)
        self.run = RunPanel(page, self._look)
        self.runs = RunList(page)
        self.left = False

    def show(self) -> None:
        """Shows everything, and checks once a second what has changed."""
        self.start.show()
        self.run.show()
        self.runs.show()
        self._look()
        ui.timer(1.0, self._look)

    def _look(self) -> None:
        page = self.page
        if self.left:
            return
        if page.part and not page.lab.has_run(page.owner, page.part):
            self.left = True
            ui.navigate.to(page.to("train"))  # deleted or renamed in another tab
            return
        # The run in the address, or the newest.
        run = page.run_status()
        name = run.path.name if run else ""
        self.start.look(name)
        if name:
            self.run.look(name)
        elif self.run.seen is not None:
            self.left = True
            ui.navigate.reload()  # the last one was deleted
            return
        self.runs.look()


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
