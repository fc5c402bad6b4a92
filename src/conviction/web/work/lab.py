"""What the pages share: folders, jobs, images, desks; and the context of one page."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nicegui import ui

from conviction.config import DataSpec, ImageFacts, Recipe, load_recipe
from conviction.data import ImageSet
from conviction.errors import ConvictionError, RequestError
from conviction.runs import folder
from conviction.web.classroom import Course
from conviction.web.elements.plain import Tag, paragraph, tag
from conviction.web.inside.inspector import Inspector
from conviction.web.inside.kept import Kept
from conviction.web.jobs.helper import Helper
from conviction.web.jobs.progress import RunStatus, RunWatcher
from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.starts import run_folder, stem_of
from conviction.web.work.addresses import Stop, address
from conviction.web.work.desk import Desk, Desks, Draft, new_draft
from conviction.web.work.sources import Bench, Checked

# Below the folder of the runs, the folder of everything else that the page keeps.
OWN = ".lab"
LEARNERS = "learners"


def is_done(run: RunStatus) -> bool:
    """Whether a run has an evaluation to show."""
    return run.status == "done"


def has_learned(run: RunStatus) -> bool:
    """Whether a run has a network to look into."""
    return is_done(run) or bool(run.rows)


# The steps that are about a run, and which runs each can show.
OF_A_RUN: Mapping[str, Callable[[RunStatus], bool]] = {
    "train": lambda run: True,
    "evaluate": is_done,
    "inside": has_learned,
    "take": is_done,
}


@dataclass(frozen=True)
class Lab:
    """The workbench of a server.

    Attributes:
        out: The folder of the runs, as an absolute path.
        jobs: What runs and waits.
        desks: What learners have built.
        bench: Images.
        helper: Calculates beside the server.
        inspector: Looks into networks beside the server.
        data_dir: Where named sets are looked for first.
        course: What a teacher has chosen, if the page is for a class.
        watcher: Reads the status of runs and studies.
        kept: Pictures that each owner has uploaded or drawn.
    """

    out: Path
    jobs: Jobs
    desks: Desks
    bench: Bench
    helper: Helper
    inspector: Inspector
    data_dir: str | None = None
    course: Course | None = None
    watcher: RunWatcher = field(default_factory=RunWatcher)
    kept: dict[str, Kept] = field(default_factory=dict)

    def root(self, owner: str) -> Path:
        """Where the runs of an owner are."""
        if not owner:
            return self.out
        return self.out / LEARNERS / re.sub(r"[^A-Za-z0-9_-]+", "-", owner)

    def progress_of(self, owner: str) -> Path | None:
        """The file of what an owner has read and answered; None for that of ``conviction learn``."""
        return self.root(owner) / "learning.json" if owner else None

    @property
    def chapters(self) -> Sequence[str] | None:
        """Those of the course; None for all."""
        return None if self.course is None else self.course.chapters

    def own(self, *names: str) -> Path:
        """A folder of the page itself, which is made if it is not there."""
        path = self.out.joinpath(OWN, *names)
        with folder.storing(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def check_run(self, owner: str, name: str) -> None:
        """Refuses the name of a run that is neither there nor about to begin.

        Raises:
            RequestError: There is none of this name.
        """
        path = run_folder(self.root(owner), name)
        if not (path / folder.CONFIG).is_file() and self.jobs.last_at(path) is None:
            raise RequestError(f"There is no run '{name}' here.")

    def check(self, recipe: Recipe, images: int) -> None:
        """Holds a training to the limits of the course.

        Raises:
            RequestError: It has too many epochs or images.
        """
        if self.course is None:
            return
        most, epochs = self.course.limits, recipe.training.epochs
        if epochs > most.epochs:
            raise RequestError(f"training.epochs: the course allows at most {most.epochs}; got {epochs}.")
        self.check_images(images)

    def check_images(self, images: int) -> None:
        """The same for an experiment, whose epochs are those of ``most_epochs``.

        Raises:
            RequestError: There are too many images.
        """
        if self.course is not None and images > self.course.limits.images:
            raise RequestError(
                f"The course allows at most {self.course.limits.images:,} images; this source has {images:,}."
            )

    def most_epochs(self, wanted: int) -> int:
        """The wanted number of epochs, or as many as the course allows."""
        return wanted if self.course is None else min(wanted, self.course.limits.epochs)

    def runs(self, owner: str) -> list[RunStatus]:
        """The runs of an owner, newest first; those that are about to begin, or ended before they could, included."""
        root = self.root(owner)
        paths = {p.parent for p in root.glob(f"*/{folder.CONFIG}")}
        for job in self.jobs.of(owner):
            if (job.kind == "fit" and job.state != "done") or (job.kind == "resume" and job.alive):
                paths.add(Path(job.folder))
        runs = [self.watcher.run(path) for path in paths]
        return sorted(runs, key=lambda s: (self._begun(s.path), s.path.name), reverse=True)

    def _begun(self, path: Path) -> float:
        try:
            return (path / folder.CONFIG).stat().st_mtime
        except OSError:
            job = self.jobs.last_at(path)
            return job.created if job is not None and not job.alive else float("inf")


@dataclass
class PageContext:
    """What a page is about: the desk, the step and the address it shows, in one lab.

    Attributes:
        lab: The workbench.
        desk: Whose work is shown.
        stop: The step.
        part: Of the step, or the name of a run.
        query: The rest of the address.
        messages: Where sentences for the learner appear.
    """

    lab: Lab
    desk: Desk
    stop: Stop
    part: str
    query: Mapping[str, str]
    messages: Tag | None = None

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
        can_show = OF_A_RUN.get(self.stop.name)
        if can_show is None:
            return None
        if self.part:
            return self.lab.watcher.run(run_folder(self.root, self.part))
        return next((s for s in self.lab.runs(self.owner) if can_show(s)), None)

    @property
    def source(self) -> str:
        """The source of the images that this page is about: those of its run, or else those chosen on the desk."""
        run = None if self.stop.name == "train" else self.run_status()
        return (run.source if run else "") or self.desk.source

    def keep(self) -> None:
        """Writes the desk to disk."""
        self.lab.desks.keep(self.desk)

    async def keep_beside(self) -> None:
        """Writes the desk to disk while the page goes on."""
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
        recipe = self.desk.draft.recipe if self.desk.draft else "lab"
        return load_recipe({"recipe": recipe}).data

    def known(self) -> ImageSet | None:
        """The images, if they have been read."""
        return self.lab.bench.known(self.desk.source, self.data)

    async def images(self) -> ImageSet:
        """The images; begins a draft for them where there is none."""
        images = await self.lab.bench.images(self.desk.source, self.data)
        self.begin(images)
        return images

    def begin(self, images: ImageSet) -> None:
        """Begins a draft where there is none."""
        if self.desk.draft is None:
            self.desk.draft = new_draft("lab", facts_about(images, self.data))
            self.keep()

    async def checked(self) -> tuple[ImageSet, Checked]:
        """The images with their audit and split."""
        images = await self.images()
        return images, await self.lab.bench.checked(self.desk.source, self.data)

    @property
    def draft(self) -> Draft:
        """What is built now, once the images are known."""
        assert self.desk.draft is not None
        return self.desk.draft

    def change(self, draft: Draft) -> None:
        """Takes a new draft."""
        if self.desk.change(draft):
            self.keep()


def facts_about(images: ImageSet, spec: DataSpec) -> ImageFacts:
    """What a recipe adapts to, before the split is known: the training images are counted by their shares."""
    brought = int((images.parts == "train").sum())
    rest = brought or round(len(images) * (1 - spec.test))
    return ImageFacts.of(images.rule.shape, round(rest * (1 - spec.validation)))


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
