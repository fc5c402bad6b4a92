"""The sources that a learner may choose, and their images: read, audited and split once, off the event loop.

Where a pretrained network looks at the pictures for the audit, it does so in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from conviction.config import DataSpec, Recipe
from conviction.data import Audit, ImageSet, Split, audit_images, load_source, split_images
from conviction.data.likeness import Likeness
from conviction.data.named import NAMED_SETS, available, data_folders
from conviction.flow.sessions import likeness_for
from conviction.web.jobs.helper import Helper

T = TypeVar("T")

# Fashion-MNIST with its thumbs takes 140 MB.
SETS_KEPT = 2
# For so long the process that looks at pictures with a network waits for the next ones; it takes half a GB.
AUDITOR_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Choice:
    """A source to choose: what ``fit`` takes, and what people call it."""

    source: str
    title: str


@dataclass(frozen=True)
class Checked:
    """The audit of images, and their split."""

    audit: Audit
    split: Split

    @property
    def divided(self) -> int:
        """How many of the sessions have pictures in more than one part."""
        part = np.full(len(self.audit.groups), -1)
        for number, name in enumerate(("train", "validation", "test")):
            part[self.split.of(name)] = number
        return sum(len({part[i] for i in group} - {-1}) > 1 for group in self.audit.sessions.groups)


def at_hand(data_dir: str | None = None) -> list[Choice]:
    """The named sets that need no network on this machine."""
    names = {"digits", *available(data_folders(data_dir))}
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
    if cache.is_dir():
        names |= set(available([cache]))
    return [Choice(name, known.title) for name, known in NAMED_SETS.items() if name in names]


def chosen_by(sources: Sequence[str]) -> list[Choice]:
    """The sources of a course, as choices."""
    return [
        Choice(source, NAMED_SETS[source].title if source in NAMED_SETS else Path(source).name)
        for source in sources
    ]


class Bench:
    """Images that have been read, by source and specification; everyone who asks for the same images waits for the same
    reading.

    Args:
        off_loop: Runs a function elsewhere than on the event loop and gives its result.
        data_dir: Where to look for named sets first.
    """

    def __init__(
        self, off_loop: Callable[..., Awaitable[Any]] = asyncio.to_thread, data_dir: Path | None = None
    ) -> None:
        self._off_loop = off_loop
        self._data_dir = data_dir
        self._images: OrderedDict[tuple[str, str], asyncio.Task[ImageSet]] = OrderedDict()
        self._checked: OrderedDict[tuple[str, ...], asyncio.Task[Checked]] = OrderedDict()
        self._auditor = Helper()
        self._auditor.idle = AUDITOR_IDLE_SECONDS

    async def images(self, source: str, spec: DataSpec) -> ImageSet:
        """The decoded images.

        Raises:
            SourceError: See ``load_source``.
        """
        key = _of_images(source, spec)
        return await _shared(self._images, key, lambda: self._off_loop(_read, source, spec, self._data_dir))

    async def checked(self, source: str, recipe: Recipe) -> Checked:
        """Their audit and split, as a run of this specification makes them.

        Raises:
            RequestError: See ``load_source`` and ``split_images``.
            KilledError: The process that looks at them was killed.
        """
        images = await self.images(source, recipe.data)

        async def check() -> Checked:
            if self.looks_closely(source, images, recipe):
                return await self._auditor.call(_check_closely, source, recipe, self._data_dir)
            checked: Checked = await self._off_loop(_check, images, recipe, None)
            return checked

        return await _shared(self._checked, _of_audit(source, recipe), check)

    def looks_closely(self, source: str, images: ImageSet, recipe: Recipe) -> bool:
        """Whether a pretrained network looks at the pictures, which takes a while the first time."""
        return likeness_for(source, images, recipe, self._data_dir) is not None

    def split(self, source: str, recipe: Recipe) -> Split | None:
        """The split, if it has been made."""
        task = self._checked.get(_of_audit(source, recipe))
        return task.result().split if task is not None and task.done() and not task.exception() else None

    def known(self, source: str, spec: DataSpec) -> ImageSet | None:
        """The images, if they have been read."""
        task = self._images.get(_of_images(source, spec))
        return task.result() if task is not None and task.done() and not task.exception() else None

    def close(self) -> None:
        """Ends the process that looks at pictures."""
        self._auditor.close()


def _of_images(source: str, spec: DataSpec) -> tuple[str, str]:
    """What decides how images are read: not which of them are kept together or left out."""
    return source, spec.model_copy(update={"group": None, "exclude": None}).model_dump_json()


def _of_audit(source: str, recipe: Recipe) -> tuple[str, ...]:
    """What decides audit and split: with a backbone, it may look at the pictures."""
    backbone = recipe.model.backbone
    seen_by = "" if backbone is None else backbone.model_dump_json()
    return source, recipe.data.model_dump_json(), str(recipe.training.seed), seen_by


def _read(source: str, spec: DataSpec, data_dir: Path | None) -> ImageSet:
    images = load_source(source, spec, data_dir)
    set_aside()
    return images


@cache
def set_aside() -> None:
    """Takes what has been imported by now, half a million objects, out of what garbage collection looks through.

    A full collection then takes 10 ms instead of 150, which an edit of the network would wait for. Once, after the
    first reading, because what is set aside is never collected.
    """
    gc.collect()
    gc.freeze()


def _check(images: ImageSet, recipe: Recipe, likeness: Callable[[], Likeness] | None) -> Checked:
    audit = audit_images(images, recipe.data, likeness)
    split = split_images(images, recipe.data, recipe.training.seed, audit.groups, audit.excluded)
    audit = audit.after_split(images, split)
    # What the sessions were found by is large, can be sent to no process, and has been used.
    return Checked(replace(audit, likeness=None), split)


def _check_closely(source: str, recipe: Recipe, data_dir: Path | None) -> Checked:
    images = load_source(source, recipe.data, data_dir)
    return _check(images, recipe, likeness_for(source, images, recipe, data_dir))


async def _shared(kept: OrderedDict[Any, asyncio.Task[T]], key: Any, make: Callable[[], Awaitable[T]]) -> T:
    """The result of a task that all callers share; one that failed is tried again by the next caller."""
    task = kept.get(key)
    if task is None or (task.done() and (task.cancelled() or task.exception())):

        async def work() -> T:
            return await make()

        task = kept[key] = asyncio.create_task(work())
    kept.move_to_end(key)
    while len(kept) > SETS_KEPT:
        kept.popitem(last=False)
    # A page that is closed while it waits must not take the reading from the others.
    return await asyncio.shield(task)
