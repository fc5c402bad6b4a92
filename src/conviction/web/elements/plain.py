"""The few elements that the page is made of: plain HTML, which keyboards and screen readers know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import numpy as np
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from conviction.reporting import Step, Table, image_address
from conviction.web.elements.surface import Node, is_drawing

Handler = Callable[[Any], Awaitable[None] | None]
# Pictures up to this side are shown with sharp pixels.
SHARP = 96
_VALUE, _CHECKED, _NOTHING = "(e) => emit(e.target.value)", "(e) => emit(e.target.checked)", "() => emit()"


class Tag(TextElement):
    """An HTML element with text; ``tag`` makes it."""

    def __init__(self, name: str, text: str, attributes: Mapping[str, Any]) -> None:
        super().__init__(tag=name, text=text)
        for key, value in attributes.items():
            if key == "class":
                self.classes(value)
            elif key == "style":
                self.style(value)
            else:
                self.props[key] = value


def tag(name: str, text: str = "", classes: str = "", **props: Any) -> Tag:
    """An HTML element; inside ``Surface.drawing`` one of the surface.

    Args:
        name: Of the element.
        text: Shown as it is.
        classes: For the style sheet.
        props: Attributes; ``aria_label`` stands for ``aria-label``, ``for_`` for ``for``.
    """
    attributes = {"class": classes} if classes else {}
    for word, value in props.items():
        key = word.rstrip("_").replace("_", "-")
        # As an attribute it is where a field begins; as a property, every update of the page would undo typing.
        if key in ("checked", "selected"):
            if value:
                attributes[f"^{key}"] = ""
        else:
            attributes["^value" if key == "value" else key] = value
    if is_drawing():
        # It supports what the functions below do with an element, and no more.
        return cast("Tag", Node(name, text, attributes))
    return Tag(name, text, attributes)


def paragraph(text: str, classes: str = "") -> Tag:
    """A paragraph."""
    return tag("p", text, classes)


def heading(text: str, level: int = 2, classes: str = "") -> Tag:
    """A heading."""
    return tag(f"h{level}", text, classes)


def link(text: str, href: str, classes: str = "", **props: Any) -> Tag:
    """A link."""
    return tag("a", text, classes, href=href, **props)


def button(text: str, handler: Handler, key: str, kind: str = "", **props: Any) -> Tag:
    """A button.

    Args:
        text: What it says.
        handler: Called with the event.
        key: Stays the same when the page is redrawn, so that the focus returns to it.
        kind: "primary", "quiet" or "" for the usual look.
        props: Attributes.
    """
    made = tag("button", text, f"button {kind}".strip(), type="button", data_key=key, **props)
    made.on("click", handler, js_handler=_NOTHING)
    return made


def _field(
    label: str, name: str, key: str, handler: Handler, *, js: str, wrong: str = "", **props: Any
) -> Element:
    if wrong:
        props |= {"aria_invalid": "true", "aria_describedby": f"wrong-{key}"}
    # The sentence is beside the label, not inside: it describes the field and is not part of its name.
    with tag("div", "", "field"):
        with tag("label", "", "field"):
            tag("span", label, "field-name")
            made = tag(name, "", data_key=key, **props)
            made.on("change", lambda e: handler(e.args), js_handler=js)
        if wrong:
            tag("span", wrong, "wrong-value", id=f"wrong-{key}", role="alert")
    return made


def number(
    label: str, value: float | str, handler: Handler, key: str, *, wrong: str = "", **props: Any
) -> Element:
    """A field for a number; ``handler`` receives its text when the focus leaves it, or at Enter.

    Args:
        label: Over it.
        value: At first.
        handler: Called with what was typed.
        key: As of ``button``.
        wrong: What is wrong with the value, shown below the field.
        props: Attributes.
    """
    return _field(label, "input", key, handler, js=_VALUE, type="number", value=value, wrong=wrong, **props)


def text_field(
    label: str, value: str, handler: Handler, key: str, *, wrong: str = "", **props: Any
) -> Element:
    """A field for a line of text; ``wrong`` as of ``number``."""
    return _field(
        label,
        "input",
        key,
        handler,
        js=_VALUE,
        type="text",
        value=value,
        autocomplete="off",
        wrong=wrong,
        **props,
    )


def choice(label: str, options: Mapping[str, str], value: str, handler: Handler, key: str) -> Element:
    """A list to choose from: values with what is shown; ``handler`` gets the value."""
    with tag("label", "", "field"):
        tag("span", label, "field-name")
        made = tag("select", "", data_key=key)
        made.on("change", lambda e: handler(e.args), js_handler=_VALUE)
        with made:
            for option, shown in options.items():
                tag("option", shown, value=option, selected=option == value)
    return made


def tick(label: str, value: bool, handler: Handler, key: str) -> Element:
    """A box to tick; ``handler`` gets a boolean."""
    with tag("label", "", "tick"):
        made = tag("input", "", data_key=key, type="checkbox", checked=value)
        made.on("change", lambda e: handler(bool(e.args)), js_handler=_CHECKED)
        tag("span", label)
    return made


def table(rows: Table, label: str) -> None:
    """A table that scrolls by itself where it is wider than the page."""
    with tag("div", "", "scroll", tabindex=0, role="region", aria_label=label), tag("table"):
        with tag("thead"), tag("tr"):
            for i, name in enumerate(rows.columns):
                tag("th", name, "number" if i in rows.right else "", scope="col")
        with tag("tbody"):
            for row in rows.rows:
                with tag("tr"):
                    for i, cell in enumerate(row):
                        tag("td", cell, "number" if i in rows.right else "")


def show_step(step: Step, *, sentences: int | None = None) -> None:
    """A step of the lab as the terminal and the report say it."""
    for sentence in step.sentences[:sentences]:
        paragraph(sentence)
    if step.table is not None:
        table(step.table, step.title)


def picture(pixels: np.ndarray, alt: str, classes: str = "", **props: Any) -> Tag:
    """Pixels (h, w, 1 or 3) uint8 as a picture."""
    sharp = " sharp" if max(pixels.shape[:2]) <= SHARP else ""
    return tag("img", "", f"{classes}{sharp}".strip(), src=image_address(pixels), alt=alt, **props)


def strip_of(pixels: np.ndarray, alt: str) -> None:
    """Pictures (k, h, w, c) in a row that wraps."""
    with tag("div", "", "strip", role="img", aria_label=alt):
        for one in pixels:
            picture(one, "")
