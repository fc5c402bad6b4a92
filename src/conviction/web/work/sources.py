"""The sources that a learner may choose, and their images: read, audited and split once, off the event loop."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from conviction.config import DataSpec
from conviction.data import Audit, ImageSet, Split, audit_images, load_source, split_images
from conviction.data.named import NAMED_SETS, available, data_folders

T = TypeVar("T")

# Fashion-MNIST with its thumbs takes 140 MB.
SETS_KEPT = 2


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
        self._checked: OrderedDict[tuple[str, str, int], asyncio.Task[Checked]] = OrderedDict()

    async def images(self, source: str, spec: DataSpec) -> ImageSet:
        """The decoded images.

        Raises:
            SourceError: See ``load_source``.
        """
        key = (source, spec.model_dump_json())
        return await _shared(self._images, key, lambda: self._off_loop(_read, source, spec, self._data_dir))

    async def checked(self, source: str, spec: DataSpec, seed: int = 0) -> Checked:
        """Their audit and split.

        Raises:
            RequestError: See ``load_source`` and ``split_images``.
        """
        images = await self.images(source, spec)
        key = (source, spec.model_dump_json(), seed)
        return await _shared(self._checked, key, lambda: self._off_loop(_check, images, spec, seed))

    def split(self, source: str, spec: DataSpec, seed: int = 0) -> Split | None:
        """The split, if it has been made."""
        task = self._checked.get((source, spec.model_dump_json(), seed))
        return task.result().split if task is not None and task.done() and not task.exception() else None

    def known(self, source: str, spec: DataSpec) -> ImageSet | None:
        """The images, if they have been read."""
        task = self._images.get((source, spec.model_dump_json()))
        return task.result() if task is not None and task.done() and not task.exception() else None


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


def _check(images: ImageSet, spec: DataSpec, seed: int) -> Checked:
    audit = audit_images(images, spec)
    split = split_images(images, spec, seed, audit.groups, audit.excluded)
    return Checked(audit.after_split(images, split), split)


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
