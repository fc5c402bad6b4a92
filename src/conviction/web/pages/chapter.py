"""The lesson beside a step: the chapter that goes with it, with the learner's own numbers once there are some."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path

from nicegui import ui

from conviction.config import Facts as Known
from conviction.errors import ConvictionError
from conviction.flow.records import source_name
from conviction.lesson import Facts
from conviction.report.steps import printable
from conviction.web.elements.plain import button, tag
from conviction.web.jobs.progress import RunStatus
from conviction.web.tutor.panel import chapter_panel
from conviction.web.tutor.words import facts_for
from conviction.web.work.lab import Here, is_done

# What of a chapter is on the workbench: words, the step, its part.
SEEN = {
    "data": (
        ("reshape", "data", "reshape"),
        ("normalise", "data", "normalise"),
        ("encode", "data", "encode"),
        ("split", "data", "split"),
    ),
    "architecture": (
        ("layers", "network", "layers"),
        ("Keras code", "network", "keras"),
        ("inside", "inside", ""),
    ),
    "compiling": (("settings", "compile", ""),),
    "training": (("curves", "train", ""),),
    "evaluating": (("test set", "evaluate", ""), ("inside", "inside", "")),
    "hyperparameters": (("questions", "explore", ""), ("settings", "compile", "")),
}

# Where the page shows what is built, and not what a run came to.
DRAFTED = ("data", "network", "compile", "train", "explore")


# In the browser: where the lesson is below the workbench and out of sight, the button leads to it.
_TURN = "() => lesson.show() || emit()"


def lesson_button(here: Here) -> None:
    """Puts the lesson away, which gives the workbench its room, or fetches it again; one out of sight is led to."""
    shown = is_open(here)
    made = tag(
        "button",
        "Lesson",
        "button quiet",
        type="button",
        data_key="lesson",
        aria_pressed="true" if shown else "false",
    )
    made.on("click", here.guarded(lambda *_: _turn(here, shown=not shown)), js_handler=_TURN)


def _turn(here: Here, *, shown: bool) -> None:
    here.desk.kept["lesson"] = shown
    here.keep()
    ui.run_javascript("lesson.reload()" if shown else "location.reload()")


def is_open(here: Here) -> bool:
    """Whether the lesson is beside the workbench."""
    return bool(here.desk.kept.get("lesson", True))


def chapter(here: Here) -> None:
    """Shows it."""

    def remember(query: dict[str, str]) -> None:
        if here.desk.kept.get("depth") != query.get("depth"):
            here.desk.kept["depth"] = query["depth"]
            here.keep()
        here.mark(query)

    name = here.query.get("chapter") or here.stop.chapter
    with tag("div", "", "reader"):
        button(
            "Put the lesson away",
            here.guarded(lambda *_: _turn(here, shown=False)),
            "lesson-away",
            "quiet away",
        )
        panel = chapter_panel(
            _facts(here),
            draft=_draft_facts(here),
            chapter=here.stop.chapter,
            progress=here.lab.progress_of(here.owner),
            chosen=here.lab.chapters,
            links=[(words, here.to(step, part)) for words, step, part in SEEN.get(name, ())],
            query={"depth": here.desk.kept.get("depth", "quick"), **here.query},
            on_query=remember,
        )
    ui.run_javascript("lesson.arrive()")
    seen, asked = _seen(here), None

    async def look() -> None:
        nonlocal seen, asked
        wanted = here.desk.source, here.data
        if here.stop.name in DRAFTED and wanted != asked:
            asked = wanted
            # What cannot be read is said on the workbench.
            with contextlib.suppress(ConvictionError):
                await here.checked()
        now = _seen(here)
        if now != seen:
            seen = now
            panel.fill(_facts(here), _draft_facts(here))

    ui.timer(1.0, look)


def _seen(here: Here) -> tuple[object, ...]:
    """What decides the numbers of a chapter."""
    split = here.lab.bench.split(here.desk.source, here.data)
    return here.desk.source, here.desk.draft, here.known() is not None, split is not None, _run(here)


def _draft_facts(here: Here) -> Facts | None:
    """Of what is built on the workbench, once the images are known; None where it is not shown."""
    images, draft = here.known(), here.desk.draft
    split = here.lab.bench.split(here.desk.source, here.data)
    if here.stop.name not in DRAFTED or images is None or draft is None or split is None:
        return None
    if here.stop.name == "train" and _is_done(here):
        return None
    return Facts(
        title="the images and the network on this page",
        recipe=draft.specification(Known.of(images.rule.shape, len(split.train))),
        shape=images.rule.shape,
        class_names=tuple(map(printable, images.class_names)),
        counts={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        result=None,
    )


def _is_done(here: Here) -> bool:
    """Whether the run that Train shows is finished, so that its numbers are what is on the page."""
    shown = here.run_status()
    return shown is not None and is_done(shown)


def _run(here: Here) -> RunStatus | None:
    """The finished run that this page is about, or the newest one on the same images; None if there is none."""
    shown = here.run_status()
    if shown is not None and is_done(shown):
        return shown
    source = source_name(here.source)
    return next((s for s in here.lab.runs(here.owner) if is_done(s) and s.source == source), None)


def _facts(here: Here) -> Facts:
    """Of that run; a recorded one where there is none."""
    run = _run(here)
    return _read(None if run is None else run.path, 0.0 if run is None else run.evaluated)


# An evaluation that is written again, as when the test set is opened, changes the numbers.
@lru_cache(maxsize=16)
def _read(run: Path | None, evaluated: float) -> Facts:
    return facts_for(run)
