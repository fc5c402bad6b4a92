"""Step 1: choose images, see what they are, and what becomes of them on the way into the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nicegui import ui

from conviction.audience import Remedy
from conviction.config import ModelSpec
from conviction.data import ImageSet, encode_labels
from conviction.model.shapes import UNIT, scaling_of
from conviction.reporting import Table, exhibits, samples, steps
from conviction.web.elements.plain import (
    button,
    choice,
    heading,
    link,
    paragraph,
    picture,
    show_step,
    strip_of,
    table,
    tag,
)
from conviction.web.elements.surface import Surface
from conviction.web.pages.draft import undo_buttons
from conviction.web.pages.frame import framed, onward, parts_of
from conviction.web.pages.leaving_out import leave_one_out_button, leave_out_button
from conviction.web.pages.page import (
    ChapterLink,
    PageContext,
    Stop,
    shown_when_ready,
    shown_with_images,
    walkthrough,
)
from conviction.web.pages.sessions import group_button, show_sessions
from conviction.web.work.desk import data_of
from conviction.web.work.lab import facts_about
from conviction.web.work.sources import Checked, Choice, at_hand, chosen_by
from conviction.web.work.uploads import ACCEPTED, MOST_BYTES, uploads_of

# How many rows and columns of a picture are shown as numbers.
WINDOW = 8
SAMPLES = 12


async def data_page(page: PageContext) -> None:
    """Builds the step."""
    page.part = page.part or "source"
    with framed(page):
        parts_of(page)
        if page.part == "source":
            _sources(page)
            return
        paragraph(walkthrough(page.stop.parts[page.part]), "lead")
        if page.part in ("audit", "split"):
            await shown_when_ready(
                page, _while_checking(page), page.checked, lambda result: _checked(page, *result)
            )
        else:
            show = {"load": _load, "reshape": _reshape, "normalise": _normalise, "encode": _encode}[page.part]
            await shown_with_images(page, lambda images: show(page, images))


STOP = Stop(
    "data",
    "Data",
    "data",
    data_page,
    parts={
        "source": "Choose",
        "load": "Load",
        "reshape": "Reshape",
        "normalise": "Normalise",
        "encode": "Encode",
        "audit": "Audit",
        "split": "Split",
    },
    drafts=True,
    still=True,
    links=tuple(ChapterLink("data", part, part) for part in ("reshape", "normalise", "encode", "split")),
)


def _sources(page: PageContext) -> None:
    course = page.lab.course
    choices = at_hand(page.lab.data_dir) if course is None else chosen_by(course.sources)
    own = []
    if course is None:
        own = [Choice(str(p), p.name) for p in uploads_of(page.lab.own("uploads"), page.owner)]
    if page.desk.source not in {c.source for c in [*choices, *own]}:
        own.append(Choice(page.desk.source, Path(page.desk.source).name))

    def choose(source: str, *_: object) -> None:
        page.desk.choose(source)
        page.keep()
        ui.navigate.to(page.to("data", "load"))

    if page.desk.draft is None:
        paragraph(
            "Nine steps lead from images to a network that you have trained, judged and looked into. Start with the "
            "images: Digits is small, and is learned in seconds. Each page ends with a button to the next.",
            "lead",
        )
    _undoing(page)
    heading("Available images")
    with tag("div", "", "cards"):
        for one in [*choices, *own]:
            chosen = one.source == page.desk.source
            with tag("section", "", "card chosen" if chosen else "card"):
                heading(one.title, 3)
                paragraph("Your upload" if one in own else one.source, "note")
                word = "Continue with these" if chosen else "Use these"
                button(
                    word,
                    page.guarded(partial(choose, one.source)),
                    f"take-{one.source}",
                    "primary" if chosen else "",
                    aria_label=f"{word}: {one.title}",
                )
    if course is None:
        _upload(page)


def _undoing(page: PageContext) -> None:
    """Undoes the choice of images, or of how they are decoded, if that was the last change."""
    near = [*page.desk.undone[-1:], *page.desk.redone[-1:]]
    if all((work.source, data_of(work.draft)) == (page.desk.source, page.data) for work in near):
        return

    def act(do: Callable[[], bool]) -> Callable[..., Any]:
        async def handler(*_: object) -> None:
            do()
            await page.keep_beside()
            ui.navigate.reload()

        return page.guarded(handler)

    with Surface().drawing(), tag("div", "", "buttons"):
        undo_buttons(page.desk, act)


def _upload(page: PageContext) -> None:
    tag("h2", "Your own", id="own")
    paragraph(
        "One folder of pictures for each class, in a folder or in an archive (.zip, .tar), or an .npz. Pictures may "
        "differ in size, mode and format."
    )
    most = f"at most {MOST_BYTES // 2**20} MB"
    to = {"data_to": f"/lab/{page.desk.id}/upload", "data_most": str(MOST_BYTES)}
    with tag("div", "", "upload", **to):
        with tag("div", "", "fields"):
            with tag("label", "", "field"):
                tag("span", f"A folder, {most}", "field-name")
                tag("input", type="file", webkitdirectory="")
            with tag("label", "", "field"):
                tag("span", f"An archive, {most}", "field-name")
                tag("input", type="file", accept=ACCEPTED)
        paragraph("Or drop either of them here.", "note")
        _sending()
    heading("Make your own")
    paragraph(
        "Name your classes, and record each of them with the camera, or add pictures. Pictures of one recording look "
        "alike, so a recording is never divided between learning and testing: record each class three times or more."
    )
    # Filled by ``live/collecting.js``.
    with tag("div", "", "collecting", **to):
        _sending()


def _sending() -> None:
    """How far an upload is, and what went wrong."""
    tag("progress", "", max="1", value="0", hidden=True, aria_label="Sent so far")
    tag("p", "", "note", role="alert")


def _load(page: PageContext, images: ImageSet) -> None:
    show_step(steps.load_step(images))
    heading("What they look like")
    counts = images.counts()
    for i, name in enumerate(images.class_names[:30]):
        index = np.flatnonzero(images.labels == i)[:SAMPLES]
        with tag("div", "", "sample"):
            with tag("span", steps.printable(name)):
                tag("small", f" {counts[i]:,}")
            strip_of(images.pixels[index], f"{len(index)} images of {steps.printable(name)}")
    if len(images.class_names) > 30:
        paragraph(f"And {len(images.class_names) - 30} more classes.", "note")
    onward(page, "Reshape", page.to("data", "reshape"))


def _chosen(page: PageContext, images: ImageSet) -> int:
    """The number of the picture that is shown, from the address."""
    number = page.query.get("image", "0")
    return int(number) % len(images) if number.isdecimal() and len(number) < 12 else 0


def _picture(page: PageContext, images: ImageSet) -> int:
    """Shows where the chosen picture is among the others, with links to them."""
    i = _chosen(page, images)
    label = steps.printable(images.class_names[images.labels[i]])
    with tag("nav", "", "buttons", aria_label="Pictures"):
        link("Previous", page.to(image=(i - 1) % len(images)), "button", data_key="previous")
        link("Next", page.to(image=(i + 1) % len(images)), "button", data_key="next")
        link("Another class", page.to(image=_other_class(images, i)), "button", data_key="other")
        tag("span", f"Image {i + 1:,} of {len(images):,}, labelled {label}", "soft")
    return i


def _other_class(images: ImageSet, i: int) -> int:
    wanted = (images.labels[i] + 1) % len(images.class_names)
    rows = np.flatnonzero(images.labels == wanted)
    return int(rows[0]) if len(rows) else i


FITS: dict[str, str] = {
    "stretch": "are stretched",
    "crop": "keep only their middle",
    "pad": "are kept whole, with black beside them",
}


def _reshape(page: PageContext, images: ImageSet) -> None:
    show_step(steps.reshape_step(images))
    if not all(images.rule.keeps_shape(h.width, h.height) for h in images.headers):
        _fit(page, images)
    i = _picture(page, images)
    with tag("div", "", "looking"):
        picture(images.pixels[i], f"Image {i + 1}")
        rows = (
            ("as it was stored", images.stored),
            ("one image now", "x".join(map(str, images.pixels.shape[1:]))),
            ("all of them", "x".join(map(str, images.pixels.shape))),
            ("values of this one", f"{images.pixels[i].min()} to {images.pixels[i].max()}, uint8"),
        )
        table(Table(("what", "shape"), rows), "Shapes")
    onward(page, "Normalise", page.to("data", "normalise", image=i))


def _fit(page: PageContext, images: ImageSet) -> None:
    """What becomes of pictures of another shape, to choose."""

    async def take(fit: str) -> None:
        if page.desk.change(page.draft.with_key("data.fit", fit, facts_about(images, page.data))):
            await page.keep_beside()
        ui.navigate.reload()

    with tag("div", "", "fields"):
        choice("Pictures of another shape", FITS, images.rule.fit, page.guarded(take), "fit")
    _undoing(page)


def _normalise(page: PageContext, images: ImageSet) -> None:
    scaling = scaling_of(ModelSpec(layers=page.draft.layers))
    show_step(steps.normalise_step(images, scaling), sentences=1)
    i = _picture(page, images)
    pixels = images.pixels[i]
    top, left = busiest(pixels[..., 0])
    window = pixels[top : top + WINDOW, left : left + WINDOW, 0]
    with tag("div", "", "looking"):
        picture(pixels, f"Image {i + 1}")
        with tag("div"):
            where = f"rows {top} to {top + len(window) - 1}, columns {left} to {left + window.shape[1] - 1}"
            channel = "" if pixels.shape[-1] == 1 else ", red channel"
            heading(f"Before: {where}{channel}", 3)
            _values(window, [[str(int(v)) for v in row] for row in window], "Values before")
            heading(f"After: {'each divided by 255' if scaling == UNIT else scaling.words}", 3)
            after = scaling.of(window, 0)
            _values(window, [[f"{v:.3f}" for v in row] for row in after], "Values after")
    onward(page, "Encode", page.to("data", "encode", image=i))


def busiest(plane: np.ndarray) -> tuple[int, int]:
    """The upper left corner of the window of (h, w) pixels in which neighbours differ most."""
    change = np.abs(np.diff(plane.astype(int), axis=1, prepend=plane[:, :1].astype(int)))
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(WINDOW, n) for n in plane.shape)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    at = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(at[0]), int(at[1])


def _values(window: np.ndarray, texts: list[list[str]], label: str) -> None:
    with (
        tag("div", "", "scroll", tabindex=0, role="region", aria_label=label),
        tag("table", "", "values"),
        tag("tbody"),
    ):
        for levels, row in zip(window, texts, strict=True):
            with tag("tr"):
                for level, text in zip(levels, row, strict=True):
                    tag("td", text, "light" if level > 127 else "", style=f"--level: {_apart(int(level))}")


def _apart(level: int) -> int:
    """A grey on which black or white text can be read."""
    return level if not 90 < level < 150 else (90 if level <= 127 else 150)


def _encode(page: PageContext, images: ImageSet) -> None:
    show_step(steps.encode_step(images))
    i = _picture(page, images)
    classes = len(images.class_names)
    vector = encode_labels(images.labels[i : i + 1], classes)[0]
    with tag("div", "", "looking"):
        picture(images.pixels[i], f"Image {i + 1}")
        names = images.class_names if classes > 2 else [images.class_names[1]]
        rows = tuple((steps.printable(n), f"{v:.0f}") for n, v in zip(names, vector, strict=True))
        with tag("div"):
            paragraph(
                f"Label {images.labels[i]}, {steps.printable(images.class_names[images.labels[i]])}, becomes:"
            )
            table(Table(("class", "target"), rows, (1,)), "Target of this image")
    onward(page, "Audit", page.to("data", "audit"))


def _while_checking(page: PageContext) -> str:
    images, draft = page.known(), page.desk.draft
    waiting = "Checking every image for copies, contradictions and broken files ..."
    if images is None or draft is None:
        return waiting
    if not page.lab.bench.looks_closely(page.desk.source, images, page.recipe(images)):
        return waiting
    return (
        "Checking every image for copies, contradictions and broken files. A pretrained network looks at each of them, "
        "which may take minutes the first time; you can go on to another step meanwhile ..."
    )


def _checked(page: PageContext, images: ImageSet, checked: Checked) -> None:
    if page.part == "split":
        show_step(steps.split_step(images, checked.split, page.data))
        for sample in samples(images, checked.split)[:10]:
            with tag("div", "", "sample"):
                with tag("span", steps.printable(sample.class_name)):
                    tag("small", f" {sample.count:,} to learn from")
                strip_of(sample.pixels, f"Training images of {steps.printable(sample.class_name)}")
        show_sessions(page, images, checked)
        _undoing(page)
        onward(page, "Build a network", page.to("network"))
        return
    if not checked.audit.findings:
        show_step(steps.audit_step((), checked.audit.compared))
    else:
        paragraph(checked.audit.compared, "note")
    for exhibit in exhibits(images, checked.audit.findings):
        finding = exhibit.finding
        with tag("section", "", f"finding {finding.severity}"):
            paragraph(finding.severity, "severity")
            paragraph(steps.printable(finding.sentence))
            paragraph(steps.printable(finding.advise()), "note")
            with tag("div", "", "groups"):
                for number, group in enumerate(exhibit.groups[:6]):
                    with tag("div", "", "group"):
                        for (name, class_name, _, pixels), row in zip(
                            group, finding.groups[number], strict=False
                        ):
                            with tag("div"):
                                picture(pixels, f"{steps.printable(name)}, {steps.printable(class_name)}")
                                leave_one_out_button(page, images, finding, row)
                        if finding.remarks:
                            paragraph(steps.printable(finding.remarks[number]), "note")
            leave_out_button(page, images, finding)
            if finding.remedy is Remedy.GROUP_SESSIONS:
                with tag("div", "", "buttons"):
                    group_button(page, images)
    _undoing(page)
    onward(page, "Split", page.to("data", "split"))
