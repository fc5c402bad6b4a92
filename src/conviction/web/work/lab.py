"""What the pages share: folders, jobs, images, desks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conviction.config import DataSpec, ImageFacts, Recipe
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.runs import folder
from conviction.web.classroom import Course
from conviction.web.door.start_key import StartKey
from conviction.web.inside.kept import Kept
from conviction.web.jobs.helper import Helper
from conviction.web.jobs.progress import RunStatus, RunWatcher
from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.starts import run_folder
from conviction.web.work.desk import Desk, Desks, Draft, new_draft
from conviction.web.work.sources import Bench

# Below the folder of the runs, the folder of everything else that the page keeps.
OWN = ".lab"
LEARNERS = "learners"


@dataclass(frozen=True)
class Lab:
    """The workbench of a server.

    Attributes:
        out: The folder of the runs, as an absolute path.
        jobs: What runs and waits.
        desks: What learners have built.
        bench: Images.
        helper: Calculates beside the server.
        checker: Looks at archives that learners upload, beside the calculations that others wait for.
        data_dir: Where to look for named sets first.
        course: What a teacher has chosen, if the page is for a class.
        start_key: What requests of the exercises must carry: files, checks, hints, solutions; None where no code runs.
        watcher: Reads the status of runs and studies.
        kept: Pictures that each owner has uploaded or drawn.
    """

    out: Path
    jobs: Jobs
    desks: Desks
    bench: Bench
    helper: Helper
    data_dir: str | None = None
    course: Course | None = None
    start_key: StartKey | None = None
    checker: Helper = field(default_factory=Helper)
    watcher: RunWatcher = field(default_factory=RunWatcher)
    kept: dict[str, Kept] = field(default_factory=dict)

    def root(self, owner: str) -> Path:
        """Where the runs of an owner are."""
        if not owner:
            return self.out
        return self.out / LEARNERS / re.sub(r"[^A-Za-z0-9_-]+", "-", owner)

    def deleted(self, owner: str) -> Path:
        """Where the runs are that an owner has deleted, and may bring back."""
        return self.root(owner) / ".deleted"

    def progress_of(self, owner: str) -> Path | None:
        """The file of what an owner has read and answered; None for that of ``conviction learn``."""
        return self.root(owner) / "learning.json" if owner else None

    @property
    def first_source(self) -> str:
        """The images of a fresh desk."""
        return "digits" if self.course is None else self.course.sources[0]

    def newest_desk(self, owner: str) -> Desk:
        """The desk that an owner changed last, or a fresh one."""
        return self.desks.newest(owner, self.first_source)

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
        """Refuses the name of a run that neither exists nor is about to start.

        Raises:
            RequestError: There is none of this name.
        """
        if not self.has_run(owner, name):
            raise RequestError(f"There is no run '{name}' here.")

    def has_run(self, owner: str, name: str) -> bool:
        """Whether a run of this name exists, is about to start, or has ended before it could."""
        path = run_folder(self.root(owner), name)
        return (path / folder.CONFIG).is_file() or self.jobs.last_at(path) is not None

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

    def new_draft(self, recipe: str, facts: ImageFacts, before: Draft | None = None) -> Draft:
        """As ``desk.new_draft``, with no more epochs than the course allows."""
        draft = new_draft(recipe, facts, before)
        most = self.most_epochs(draft.specification(facts).training.epochs)
        return draft.with_key("training.epochs", most, facts)

    def most_epochs(self, wanted: int) -> int:
        """The wanted number of epochs, or as many as the course allows."""
        return wanted if self.course is None else min(wanted, self.course.limits.epochs)

    def runs(self, owner: str) -> list[RunStatus]:
        """The runs of an owner, newest first, including those that are about to start, or ended before they could."""
        root = self.root(owner)
        paths = {p.parent for p in root.glob(f"*/{folder.CONFIG}")}
        for job in self.jobs.of(owner):
            if Path(job.folder).parent != root:
                continue  # it was deleted, or is an exploration
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


def facts_about(images: ImageSet, spec: DataSpec) -> ImageFacts:
    """What a recipe adapts to, before the split is known: the training images are counted by their shares."""
    brought = int((images.parts == "train").sum())
    rest = brought or round(len(images) * (1 - spec.test))
    return ImageFacts.of(images.rule.shape, round(rest * (1 - spec.validation)))
