"""The lesson beside a step: the chapter that goes with it, with the learner's own numbers once there are some."""

from __future__ import annotations

import asyncio
import contextlib
from functools import lru_cache
from pathlib import Path

from nicegui import ui

from conviction.config import ImageFacts
from conviction.errors import ConvictionError
from conviction.flow.records import source_name
from conviction.lesson import Facts, chapters
from conviction.lesson.claims import claims
from conviction.reporting import printable
from conviction.web.elements.plain import button, tag
from conviction.web.jobs.progress import RunStatus
from conviction.web.pages.page import PageContext
from conviction.web.tutor.panel import chapter_panel
from conviction.web.tutor.words import facts_for

# In the browser: if the lesson is below the workbench and out of sight, the button scrolls to it.
_TURN = "() => lesson.show() || emit()"


def lesson_button(page: PageContext) -> None:
    """Hides the lesson, which gives the workbench its room, or shows it again; scrolls to one that is out of sight."""
    shown = is_open(page)
    made = tag(
        "button",
        "Lesson",
        "button quiet",
        type="button",
        data_key="lesson",
        aria_pressed="true" if shown else "false",
    )
    made.on("click", page.guarded(lambda *_: _turn(page, shown=not shown)), js_handler=_TURN)


def _turn(page: PageContext, *, shown: bool) -> None:
    page.desk.kept["lesson"] = shown
    page.keep()
    ui.run_javascript("lesson.reload()" if shown else "location.reload()")


def chapter_button(page: PageContext, name: str) -> None:
    """Opens the lesson at this chapter, which need not be that of the step; none where the course leaves it out."""
    if page.lab.chapters is not None and name not in page.lab.chapters:
        return
    title = next(c.title for c in chapters() if c.name == name)

    def open_it(*_: object) -> None:
        page.desk.kept["lesson"] = True
        page.keep()
        page.mark({"chapter": name, "lesson": "read"})
        ui.run_javascript("lesson.reload()")

    button(f"Read in the lesson: {title}", page.guarded(open_it), f"chapter-{name}")


def is_open(page: PageContext) -> bool:
    """Whether the lesson is beside the workbench."""
    return bool(page.desk.kept.get("lesson", True))


def chapter(page: PageContext) -> None:
    """Shows it."""

    def remember(query: dict[str, str]) -> None:
        if page.desk.kept.get("depth") != query.get("depth"):
            page.desk.kept["depth"] = query["depth"]
            page.keep()
        page.mark(query)

    name = page.query.get("chapter") or page.stop.chapter
    with tag("div", "", "reader"):
        button(
            "Hide the lesson",
            page.guarded(lambda *_: _turn(page, shown=False)),
            "lesson-away",
            "quiet away",
        )
        panel = chapter_panel(
            _facts(page),
            draft=_draft_facts(page),
            chapter=page.stop.chapter,
            progress=page.lab.progress_of(page.owner),
            chosen=page.lab.chapters,
            links=_links(page, name),
            testing=lambda claim: page.to(
                "explore", claim=claim, lesson="claims", about=claims()[claim].subject
            ),
            query={"depth": page.desk.kept.get("depth", "quick"), **page.query},
            on_query=remember,
        )
    ui.run_javascript("lesson.arrive()")
    seen, asked = _seen(page), None
    checking: asyncio.Task[None] | None = None

    async def check() -> None:
        # The workbench shows what cannot be read.
        with contextlib.suppress(ConvictionError):
            await page.checked()

    def look() -> None:
        nonlocal seen, asked, checking
        wanted = page.desk.source, page.desk.draft
        if page.stop.drafts and wanted != asked and (checking is None or checking.done()):
            asked = wanted
            # Meanwhile, the lesson follows what is already known.
            checking = asyncio.create_task(check())
        now = _seen(page)
        if now != seen:
            seen = now
            panel.fill(_facts(page), _draft_facts(page))

    ui.timer(1.0, look)


def _links(page: PageContext, chapter: str) -> list[tuple[str, str]]:
    """What a chapter can point to on the workbench, with addresses; its own pages come first."""
    stops = sorted(page.stops, key=lambda stop: stop.chapter != chapter)
    return [
        (shown.words, page.to(stop.name, shown.part))
        for stop in stops
        for shown in stop.links
        if shown.chapter == chapter
    ]


def _seen(page: PageContext) -> tuple[object, ...]:
    """What decides the numbers of a chapter."""
    split = page.split()
    return page.desk.source, page.desk.draft, page.known() is not None, split is not None, _run(page)


def _draft_facts(page: PageContext) -> Facts | None:
    """Facts about what is built on the workbench, once the images are known; None where it is not shown."""
    images, draft = page.known(), page.desk.draft
    split = page.split()
    if not page.stop.drafts or images is None or draft is None or split is None:
        return None
    if _is_done(page):
        return None
    return Facts(
        title="the images and the network on this page",
        recipe=draft.specification(ImageFacts.of(images.rule.shape, len(split.train))),
        shape=images.rule.shape,
        class_names=tuple(map(printable, images.class_names)),
        counts={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        result=None,
    )


def _is_done(page: PageContext) -> bool:
    """Whether the run that Train shows is finished, so that its numbers are what is on the page."""
    shown = page.run_status()
    return shown is not None and shown.is_done


def _run(page: PageContext) -> RunStatus | None:
    """The finished run that this page is about, or the newest one on the same images; None if there is none."""
    shown = page.run_status()
    if shown is not None and shown.is_done:
        return shown
    source = source_name(page.source)
    return next((s for s in page.lab.runs(page.owner) if s.is_done and s.source == source), None)


def _facts(page: PageContext) -> Facts:
    """Facts about that run, or about a recorded one if there is none."""
    run = _run(page)
    return _read(None if run is None else run.path, 0.0 if run is None else run.evaluated)


# An evaluation that is written again, as when the test set is opened, changes the numbers.
@lru_cache(maxsize=16)
def _read(run: Path | None, evaluated: float) -> Facts:
    return facts_for(run)
