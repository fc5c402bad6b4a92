"""The lesson beside a step: the chapter that goes with it, with the learner's own numbers once there are some."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path

from nicegui import ui

from conviction.config import Facts as Known
from conviction.errors import ConvictionError
from conviction.lesson import Facts
from conviction.report.steps import printable
from conviction.runs import folder
from conviction.web.elements import button, tag
from conviction.web.lab import Here
from conviction.web.tutor.panel import chapter_panel
from conviction.web.tutor.words import facts_for

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
    if here.stop.name not in DRAFTED:
        return
    seen, asked = _seen(here), None

    async def look() -> None:
        nonlocal seen, asked
        wanted = here.desk.source, here.data
        if wanted != asked:
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
    done = [s.path for s in here.lab.runs(here.owner) if s.status == "done"]
    split = here.lab.bench.split(here.desk.source, here.data)
    return here.desk.source, here.desk.draft, here.known() is not None, split is not None, done


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
    runs = here.lab.runs(here.owner)
    shown = next((s for s in runs if s.path.name == (here.part or runs[0].path.name)), None)
    return shown is not None and shown.status == "done"


def _facts(here: Here) -> Facts:
    """Of the finished run that is looked at, or the newest one."""
    done = [s.path for s in here.lab.runs(here.owner) if s.status == "done"]
    looked_at = [p for p in done if p.name == here.part]
    run = next(iter(looked_at or done), None)
    stamp = 0
    with contextlib.suppress(OSError):  # one that goes on to more epochs has no evaluation for a while
        stamp = (run / folder.EVALUATION).stat().st_mtime_ns if run is not None else 0
    return _read(run, stamp)


@lru_cache(maxsize=16)
def _read(run: Path | None, stamp: int) -> Facts:
    return facts_for(run)
