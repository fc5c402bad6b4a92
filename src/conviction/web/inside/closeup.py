"""One value close up: where it is, what came in, and the calculation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.explanation.numbers import number
from conviction.web.elements.fields import NumberField
from conviction.web.elements.maps import Maps, Pick
from conviction.web.elements.plain import button, paragraph, tag
from conviction.web.inside.calculation import Calculation
from conviction.web.inside.context import PanelContext
from conviction.web.inside.parts import Position
from conviction.web.inside.seeing import Close
from conviction.web.inside.small import scaled
from conviction.web.inside.tables import GROUPS_SHOWN, LINKED_CELL, groups_html, lines_html
from conviction.web.inside.view import View, row_width


class CloseUp:
    """Built into the current container; elements that can have the focus stay the same when the value changes."""

    def __init__(self, panel: PanelContext) -> None:
        self._panel = panel
        self._layer = ""
        self._container = tag("div")
        self._after: Maps | None = None

    def show(self, view: View, close: Close, shape: tuple[int, ...]) -> None:
        """Shows a value."""
        self._view, self._close, self._shape = view, close, shape
        if view.layer != self._layer:
            self._layer = view.layer
            self._container.clear()
            with self._container:
                self._build()
        self._fill()

    @property
    def _is_first(self) -> bool:
        """Whether the layer takes the picture itself, which is no layer that one could go to."""
        return not self._close.before_name

    def _build(self) -> None:
        close, shape = self._close, self._shape
        tag("h3", f"{self._view.layer}: {close.calculation.kind}")
        paragraph(close.calculation.description, "said")
        with tag("div", "", "close-up"):
            with tag("div"):
                self._fields()
                self._maps()
                self._channels(shape[-1])
            with tag("div"):
                self._heard = tag("div", "", "unseen", role="status")
                self._title = tag("p", "", "value-of")
                self._numbers = _Numbers(self._to_input)

    def _maps(self) -> None:
        """What came in, and what came out."""
        with tag("div", "", "flow"):
            with tag("figure"):
                self._before_title = tag("figcaption")
                self._before = Maps(np.zeros((1, 1, 1), np.int8), self._back, gray=self._is_first)
                self._before.classes("large")
            tag("span", "→", "arrow", aria_hidden="true")
            with tag("figure"):
                self._after_title = tag("figcaption")
                self._after = Maps(np.zeros((1, 1, 1), np.int8), self._moved, keys=True)
                self._after.props["data-key"] = "after"
        with tag("p", "", "scale"):
            tag("i", "", "above")
            tag("span", "above 0  ")
            tag("i", "", "below")
            self._scale = tag("span", "")

    def _channels(self, count: int) -> None:
        """All maps of the layer; the diagram shows only the first few."""
        self._strip: Maps | None = None
        channels = self._close.channels
        if channels is None or len(channels.maps) < 2:
            return
        shown = len(channels.maps)
        with tag("details"):
            tag("summary", f"The first {shown} of {count:,} maps" if shown < count else f"All {count} maps")
            self._strip = Maps(channels.maps, self._channel_of_strip, at=(self._view.channel, 0, 0))
        self._strip.classes("strip-of-channels")
        # Many channels scroll, also by keyboard; the field above is the way to choose by it.
        self._strip.props.update({"tabindex": 0, "role": "group", "aria-label": "Channels"})

    def _fields(self) -> None:
        with tag("div", "", "steps"):
            names = ("row", "column", "channel") if len(self._shape) == 3 else ("unit",)
            self._boxes: dict[str, NumberField] = {}
            for name, size in zip(names, self._shape, strict=True):
                self._boxes[name] = NumberField(
                    name, _coordinate(self._view, name), size - 1, self._typed(name), f"at {name}"
                )

    @property
    def _wanted(self) -> View:
        """Where the next step starts: the value of this layer that was requested last, even while it is still loading.

        Two steps may come faster than one is answered; if the second started from what is shown, it would undo the
        first.
        """
        wanted = self._panel.view
        return wanted if wanted.layer == self._view.layer else replace(self._view, picture=wanted.picture)

    def _typed(self, name: str) -> Callable[[str], Awaitable[None]]:
        async def typed(text: str) -> None:
            if text.isascii() and text.isdigit():
                at = int(text[:8])
                position = list(self._wanted.position(self._shape))
                position[list(self._boxes).index(name)] = at
                await self._panel.go(self._wanted.at(tuple(position)).within(self._shape))
            # A position that does not exist does not stay in the field either.
            self._boxes[name].show(_coordinate(self._wanted, name))

        return typed

    def _fill(self) -> None:
        view, close = self._view, self._close
        shown = close.calculation
        for name, box in self._boxes.items():
            box.show(_coordinate(view, name))
        if self._strip is not None and close.channels is not None:
            self._strip.show(close.channels.maps, at=(view.channel, 0, 0))
        self._fill_before(shown)
        assert self._after is not None
        vector = len(self._shape) == 1
        width = row_width(self._shape[0])
        at = divmod(view.channel, width) if vector else (view.row, view.column)
        what = f"{view.layer}, {shown.position_text}: {number(shown.value)}"
        self._after_title.clear()
        with self._after_title:
            tag("span", "What came out")
            tag("b", _short(view.layer) + ("" if vector else f", channel {view.channel}"))
        self._after.show(
            scaled(close.after, close.scale)[np.newaxis],
            at=(0, *at),
            last=self._shape[0] if vector else None,
            label=f"{what}. Arrow keys move to other values.",
        )
        self._heard.text = what
        came = "" if self._is_first else f"{number(close.before_scale)} in what came in, "
        self._scale.text = (
            f"below 0; full colour is {came}{number(close.scale)} in what came out. "
            "Click a value, or use the arrow keys."
        )
        self._title.text = f"{shown.position_text[0].upper()}{shown.position_text[1:]}: {number(shown.value)}"
        self._numbers.show(shown, linked=not self._is_first)

    def _fill_before(self, shown: Calculation) -> None:
        close = self._close
        name = _short(close.before_name) or "the picture"
        window: tuple[int, int, int, int] | None = shown.window
        if window is None and shown.source is not None:
            width = close.before.shape[1]
            row, column = shown.source[:2] if len(shown.source) == 3 else divmod(shown.source[0], width)
            window = (row, column, 1, 1)
        most = ""
        channel = "" if close.before_channel is None else f", channel {close.before_channel}"
        if close.before_channel is not None and shown.kind == "Conv2D" and close.before_count > 1:
            most = " (counts most)"
        elif len(close.inputs) > 1:
            most = f" (of {len(close.inputs)}, the larger)"
        self._before_title.clear()
        with self._before_title:
            tag("span", f"What came in{most}")
            tag("b", name + channel)
        vector = close.before_channel is None
        self._before.show(
            scaled(close.before, close.before_scale)[np.newaxis],
            window=window,
            last=close.before_count if vector else None,
        )

    async def _channel_of_strip(self, pick: Pick) -> None:
        await self._panel.go(replace(self._wanted, channel=pick.map))

    async def _moved(self, pick: Pick) -> None:
        if len(self._shape) == 1:
            unit = pick.row * row_width(self._shape[0]) + pick.column
            await self._panel.go(self._wanted.at((unit,)))
        else:
            await self._panel.go(replace(self._wanted, row=pick.row, column=pick.column))

    async def _back(self, pick: Pick) -> None:
        """A click on what came in leads there."""
        if self._is_first:
            return
        close = self._close
        if close.before_channel is None:
            unit = pick.row * close.before.shape[1] + pick.column
            await self._to_input((unit,))
        else:
            await self._to_input((pick.row, pick.column, close.before_channel))

    async def _to_input(self, at: Position, of: int | None = None) -> None:
        """Goes to a value that came in; ``of`` is the number of the input, None for the one that is shown."""
        shown = self._close.calculation.strongest_of
        name, shape = self._close.inputs[shown if of is None else of]
        if len(at) == len(shape):
            await self._panel.go(replace(self._wanted, layer=name).at(at).within(shape))


class _Numbers:
    """The calculation as tables and lines; of many input channels only the first few, until all are requested."""

    def __init__(self, to_input: Callable[[Position, int | None], Awaitable[None]]) -> None:
        self._to_input = to_input
        self._every = False
        self._tables = tag("div", "", "scroll", tabindex=0, role="region", aria_label="The numbers")
        self._lines = tag("div")

    def show(self, shown: Calculation, *, linked: bool) -> None:
        """Shows a calculation; ``linked`` if its inputs are another layer's values, to which one can go."""
        self._tables.clear()
        with self._tables:
            html = ui.html(groups_html(shown.groups, every=self._every, links=linked), sanitize=False)
            html.on(
                "click",
                self._follow,
                js_handler=LINKED_CELL,
            )
        self._lines.clear()
        with self._lines:
            count = len(shown.groups)
            if count > GROUPS_SHOWN:
                words = "Show fewer input channels" if self._every else f"Show all {count} input channels"
                button(words, lambda _: self._toggle_every(shown, linked=linked), "every", "quiet")
            ui.html(lines_html(shown.lines), sanitize=False)
            if shown.agrees:
                paragraph(
                    f"The network gave {shown.computed!r}: the same, except for rounding.", "agrees soft"
                )
            else:
                paragraph(
                    f"The network gave {shown.computed!r}: this differs by more than rounding.",
                    "message trouble",
                )
            if linked:
                # For the keyboard: where the value comes from, or the input that adds most.
                button("Go to where it comes from", lambda _: self._to_input(shown.strongest, None), "source")

    def _toggle_every(self, shown: Calculation, *, linked: bool) -> None:
        self._every = not self._every
        self.show(shown, linked=linked)

    async def _follow(self, event: GenericEventArguments) -> None:
        of, *at = (int(part) for part in str(event.args).split(","))
        await self._to_input(tuple(at), of)


def _short(name: str) -> str:
    """The name of a layer without that of the backbone that it is in; the heading has both."""
    return name.rpartition("/")[2]


def _coordinate(view: View, name: str) -> int:
    return int(getattr(view, "channel" if name == "unit" else name))
