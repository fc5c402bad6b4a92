"""A field for a number that the server can change without taking away what is being typed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from nicegui import ui

from conviction.web.elements.plain import tag

_SEND = "(e) => { e.target.dataset.sent = e.target.value; emit(e.target.value); }"


class NumberField:
    """Built into the current container.

    Args:
        label: Over it.
        value: At first.
        most: From 0 to this.
        handler: Receives the text when the focus leaves the field, or at Enter.
        key: Stays the same when the page is redrawn.
    """

    def __init__(
        self, label: str, value: int, most: int, handler: Callable[[str], Awaitable[None]], key: str
    ) -> None:
        with tag("label", "", "field"):
            tag("span", label, "field-name")
            # As an attribute. A property would be set again at each update of the page, over what is being typed.
            self._box = tag("input", "", type="number", min=0, max=most, step=1, data_key=key)
            self._box.props["^value"] = value
            self._box.on("change", lambda event: self._sent(str(event.args)), js_handler=_SEND)
        self._value: int | None = value
        self._handler = handler

    def _sent(self, text: str) -> Awaitable[None]:
        self._value = None  # what it shows now is the reader's own
        return self._handler(text)

    def show(self, value: int) -> None:
        """Shows another number; what is typed and not yet sent stays."""
        if value == self._value:
            return
        self._value = value
        with self._box:
            ui.run_javascript(
                f"const e = getHtmlElement({self._box.id});"
                f"if (e && (document.activeElement !== e || e.dataset.sent === e.value)) e.value = {json.dumps(value)};"
            )
