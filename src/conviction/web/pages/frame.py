"""What surrounds every step: the head, the rail of steps, messages, the chapter beside the workbench."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from conviction.web.door.joining import TEACHER
from conviction.web.elements.plain import Tag, heading, link, paragraph, tag
from conviction.web.jobs.starts import stem_of
from conviction.web.pages.chapter import chapter, is_open, lesson_button
from conviction.web.pages.page import PageContext


@contextmanager
def framed(page: PageContext) -> Iterator[None]:
    """The page around a step; what is built inside lands in the workbench."""
    one_main()
    link("Skip to the workbench", "#work", "skip")
    with tag("header", "", "top"):
        with link("", "/", "brand"):
            tag("strong", "conviction")
            tag("span", " lab")
        about = tag("span", stem_of(page.source), "about")
        _now(page, about)
        if page.owner == TEACHER:
            link("The class", "/class")
        lesson_button(page)
    beside = " with-chapter" if is_open(page) else ""
    with tag("div", "", f"frame{beside}"):
        _rail(page)
        with tag("main", "", "work", id="work", tabindex=-1):
            heading(page.stop.title, 1)
            words = page.stop.words()
            if words:
                paragraph(words, "lead")
            page.messages = tag("div", "", "messages", role="alert")
            yield
        if is_open(page):
            with tag("aside", "", "chapter", aria_label="The lesson", tabindex=-1):
                chapter(page)


def one_main() -> None:
    """Makes NiceGUI's own ``main`` around everything a plain element, because the page has one of its own."""
    around = ui.context.client.content.parent_slot
    assert around is not None
    around.parent.tag = "div"


def _rail(page: PageContext) -> None:
    with tag("nav", "", "rail", aria_label="Steps of the lab"), tag("ol"):
        for i, stop in enumerate(page.stops, 1):
            current = {"aria_current": "page"} if stop is page.stop else {}
            # A run that is being viewed stays the one that is viewed.
            keep = page.part if stop.needs and not page.stop.parts else ""
            with tag("li"), link("", page.to(stop.name, keep), **current):
                tag("b", str(i))
                tag("span", stop.title)


def _now(page: PageContext, about: Tag) -> None:
    """What runs now, on whatever page; and what the page is about, which another tab may change."""
    job_link = link("", page.to("train"), "now", hidden=True)
    shown = [""]

    def look() -> None:
        sentence = now_sentence(page)
        if sentence != shown[0]:
            shown[0] = sentence
            job_link.set_text(sentence)
            job_link.props["hidden"] = not sentence  # a link without words is none
        if not page.stop.still:
            about.set_text(stem_of(page.source))

    look()
    ui.timer(1.0, look)


def now_sentence(page: PageContext) -> str:
    """``Training digits-1, 3 of 12 epochs``, counted as on the page of the run; empty if nothing runs."""
    alive = [j for j in page.lab.jobs.of(page.owner) if j.alive]
    if not alive:
        return ""
    job = alive[-1]
    sentence = job.title
    if job.kind in ("fit", "resume") and job.state == "running":
        run = page.lab.watcher.run(Path(job.folder))
        if run.epochs:
            sentence += f", {len(run.rows)} of {run.epochs} epochs"
            if run.plan is not None and len(run.rows) >= run.epochs:
                sentence += f", {run.folds} of {run.plan.networks} folds"
    elif job.state == "running" and job.started:
        sentence += f", {time.time() - job.started:.0f} s"
    else:
        sentence += ", waiting"
    more = len(alive) - 1
    return f"{sentence} and {more} more" if more else sentence


def parts_of(page: PageContext) -> None:
    """The parts of a step, to go through in order."""
    with tag("nav", aria_label=f"Parts of {page.stop.title}"), tag("ul", "", "parts"):
        for name, title in page.stop.parts.items():
            current = {"aria_current": "page"} if name == page.part else {}
            query = {k: v for k, v in page.query.items() if k == "image"}
            with tag("li"):
                link(title, page.to(page.stop.name, name, **query), **current)


def onward(page: PageContext, text: str, to: str, lead: str = "Next: ") -> None:
    """The link to what comes next, which stays in view however long the page is."""
    with tag("div", "", "onward"):
        link(lead + text, to, "button primary", data_key="onward")


def misfit(page: PageContext, refusal: str) -> None:
    """Says why the network that is built does not fit, and links to where it can be changed."""
    with tag("div", "", "message trouble"):
        paragraph(f"The network does not fit these images, so it cannot be trained. {refusal}")
        link("Change it at Network", page.to("network"))


def figures(rows: dict[str, str]) -> Tag:
    """Large numbers with their names."""
    listing = tag("dl", "", "figures")
    with listing:
        for name, value in rows.items():
            with tag("div"):
                tag("dt", name)
                tag("dd", value)
    return listing
