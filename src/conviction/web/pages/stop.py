"""A step of the lab as a page: its place in the address, its words, its chapter, and what it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conviction.lesson.shelf import chapters, table
from conviction.web.jobs.progress import RunStatus

if TYPE_CHECKING:
    from conviction.web.pages.context import PageContext


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
