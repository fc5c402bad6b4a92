"""A step of the lab as a page: what it says about itself, and the context that it is shown in."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nicegui import ui

from conviction.config import DataSpec, Recipe
from conviction.data import ImageSet, Split
from conviction.errors import ConvictionError
from conviction.lesson.shelf import chapters, table
from conviction.web.elements.plain import Tag, paragraph, tag
from conviction.web.jobs.progress import RunStatus
from conviction.web.jobs.starts import run_folder, stem_of
from conviction.web.work.addresses import address
from conviction.web.work.desk import Desk, Draft
from conviction.web.work.lab import Lab, facts_about
from conviction.web.work.sources import Checked


@dataclass(frozen=True)
class ChapterLink:
    """What a chapter of the lesson can point to on a page: the words of the link, and the part of the page."""

    chapter: str
    words: str
    part: str = ""


@dataclass(frozen=True)
class Stop:
    """A step of the lab on the page; its file makes one, and ``order.STOPS`` lists it.

    Attributes:
        name: In addresses.
        title: For people.
        chapter: Of the lesson.
        build: Shows the step.
        words: Gives what introduces it below its title; empty where each part introduces itself.
        parts: What the step is made of, in order, with titles; empty where a part is the name of a run.
        needs: What a run must have to be shown: to exist, an epoch, or its evaluation; empty if the step is about none.
        drafts: Whether it shows what is being built, and not only the result of a run.
        still: Whether its head shows the images that were chosen when the page was built, as its parts do.
        links: What chapters can point to on it.
    """

    name: str
    title: str
    chapter: str
    build: Callable[[PageContext], Awaitable[None]]
    words: Callable[[], str] = lambda: ""
    parts: Mapping[str, str] = field(default_factory=dict)
    needs: Literal["", "run", "epoch", "end"] = ""
    drafts: bool = False
    still: bool = False
    links: tuple[ChapterLink, ...] = ()

    def can_show(self, run: RunStatus) -> bool:
        """Whether the step can show this run."""
        return {"": False, "run": True, "epoch": run.has_learned, "end": run.is_done}[self.needs]


def walkthrough(title: str) -> str:
    """The lesson's introduction to a step, by the title that the terminal gives it."""
    return " ".join(table("walkthrough")[title]["text"].split())


def aim(chapter: str) -> str:
    """What a chapter of the lesson is for."""
    return next(c.aim for c in chapters() if c.name == chapter)


@dataclass
class PageContext:
    """What a page is about: the desk, the step and the address it shows, in one lab.

    Attributes:
        lab: The workbench.
        desk: Whose work is shown.
        stops: All steps, in order.
        stop: The step.
        part: Of the step, or the name of a run.
        query: The rest of the address.
        messages: Where sentences for the learner appear.
    """

    lab: Lab
    desk: Desk
    stops: Sequence[Stop]
    stop: Stop
    part: str
    query: Mapping[str, str]
    messages: Tag | None = None
    # Pages look once a second, and a specification takes a while to make.
    _settled: tuple[Draft, Recipe] | None = field(default=None, repr=False)

    @property
    def owner(self) -> str:
        """Whose page it is."""
        return self.desk.owner

    @property
    def root(self) -> Path:
        """Where this owner's runs are."""
        return self.lab.root(self.owner)

    def to(self, step: str = "", part: str = "", **query: object) -> str:
        """An address on this desk; without a step, of this page with another query."""
        if not step:
            return address(self.desk.id, self.stop.name, self.part, query)
        return address(self.desk.id, step, part, query)

    def mark(self, query: Mapping[str, str]) -> None:
        """Puts what is being viewed into the address, beside what is already there."""
        self.query = {k: v for k, v in {**self.query, **query}.items() if v}
        location = address(self.desk.id, self.stop.name, self.part, self.query)
        ui.run_javascript(f"history.replaceState(null, '', {json.dumps(location)})")

    def run_status(self) -> RunStatus | None:
        """The status of the run that this page is about: the one in the address, or the newest that the step can show.

        Everything that the page says about a run, in its head and its lesson too, comes from here. None where the step
        is not about a run, or there is none.
        """
        if not self.stop.needs:
            return None
        if self.part:
            return self.lab.watcher.run(run_folder(self.root, self.part))
        return next((s for s in self.lab.runs(self.owner) if self.stop.can_show(s)), None)

    @property
    def source(self) -> str:
        """The source of the images that this page is about: those of its run, or else those chosen on the desk."""
        run = None if self.stop.drafts else self.run_status()
        return (run.source if run else "") or self.desk.source

    def keep(self) -> None:
        """Writes the desk to disk."""
        self.lab.desks.keep(self.desk)

    async def keep_beside(self) -> None:
        """Writes the desk to disk while the page continues."""
        await self.lab.desks.keep_beside(self.desk)

    def say(self, sentence: str, kind: str = "trouble") -> None:
        """Shows a sentence at the top of the page, where screen readers hear it."""
        if self.messages is None or (not sentence and not self.messages.default_slot.children):
            return
        self.messages.clear()
        if sentence:
            with self.messages:
                paragraph(sentence, f"message {kind}")

    def guarded(self, handler: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        """A handler whose refusals become a sentence on the page."""

        async def call(*arguments: Any) -> None:
            try:
                result = handler(*arguments)
                if inspect.isawaitable(result):
                    await result
                else:
                    self.say("")
            except ConvictionError as failure:
                self.say(str(failure))

        return call

    @property
    def data(self) -> DataSpec:
        """How images are decoded and split."""
        return self.desk.data

    def known(self) -> ImageSet | None:
        """The images, if they have been read."""
        return self.lab.bench.known(self.desk.source, self.data)

    async def images(self) -> ImageSet:
        """The images; starts a draft for them where there is none."""
        images = await self.lab.bench.images(self.desk.source, self.data)
        self.begin(images)
        return images

    def begin(self, images: ImageSet) -> None:
        """Starts a draft where there is none."""
        if self.desk.draft is None:
            self.desk.draft = self.lab.new_draft("lab", facts_about(images, self.data))
            self.keep()

    async def checked(self) -> tuple[ImageSet, Checked]:
        """The images with their audit and split."""
        images = await self.images()
        return images, await self.lab.bench.checked(self.desk.source, self.recipe(images))

    def split(self) -> Split | None:
        """The split, if it has been made."""
        images = self.known()
        if images is None or self.desk.draft is None:
            return None
        return self.lab.bench.split(self.desk.source, self.recipe(images))

    def recipe(self, images: ImageSet) -> Recipe:
        """The specification of what is built now, as far as it is known before the split."""
        draft = self.draft
        if self._settled is None or self._settled[0] is not draft:
            self._settled = draft, draft.specification(facts_about(images, self.data))
        return self._settled[1]

    @property
    def draft(self) -> Draft:
        """What is built now, once the images are known."""
        assert self.desk.draft is not None
        return self.desk.draft

    def change(self, draft: Draft) -> None:
        """Takes a new draft."""
        if self.desk.change(draft):
            self.keep()


async def shown_when_ready(
    page: PageContext, waiting: str, get: Callable[[], Awaitable[Any]], build: Callable[[Any], Any]
) -> None:
    """Shows something that takes a while: a sentence while it loads, then the result, or why there is none."""
    container = tag("div", "", "arriving")
    with container:
        paragraph(waiting, "waiting")

    async def arrive() -> None:
        try:
            value = await get()
        except ConvictionError as failure:
            container.clear()
            with container:
                paragraph(str(failure), "message trouble")
            return
        container.clear()
        with container:
            result = build(value)
            if inspect.isawaitable(result):
                await result

    ui.timer(0.01, arrive, once=True)


async def shown_with_images(page: PageContext, build: Callable[[ImageSet], Any]) -> None:
    """Shows what needs the images: at once where they have been read, else when they have been."""
    images = page.known()
    if images is not None:
        page.begin(images)
        build(images)
        return
    await shown_when_ready(page, f"Reading {stem_of(page.desk.source)} ...", page.images, build)
