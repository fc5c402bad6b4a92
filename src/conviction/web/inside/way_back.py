"""The way back from the loss to one value, below its calculation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError
from conviction.explanation.numbers import number
from conviction.web.elements.maps import Maps, Pick
from conviction.web.elements.plain import button, choice, paragraph, tag
from conviction.web.inside.context import PanelContext
from conviction.web.inside.descent import DescentPanel, share_text
from conviction.web.inside.gradient_tables import CHANNELS_SHOWN, GradientTables
from conviction.web.inside.parts import Position
from conviction.web.inside.small import scaled
from conviction.web.inside.tables import LINKED_CELL, groups_html, lines_html
from conviction.web.inside.view import View, row_width

NEARLY_CERTAIN = 0.99


class WayBackPanel:
    """Built into the current container; folded, and computed only while it is open.

    Args:
        panel: What it is a part of.
        class_names: In order.
    """

    def __init__(self, panel: PanelContext, class_names: Sequence[str]) -> None:
        self._panel, self._names = panel, class_names
        self._open = self._busy = False
        self._view: View | None = None
        self._shape: tuple[int, ...] = ()
        self._label: int | None = None  # None: the picture's own class, or what the network says
        self._chosen: int | None = None  # what the list of classes shows
        self._shown: tuple[View, int | None] | None = None
        with tag("details", "", "way-back") as details:
            tag("summary", "The way back (backpropagation): how the loss changes with this value")
            self._state = tag("div", role="status")
            self._body = tag("div")
        details.on("toggle", self._toggled, js_handler="(e) => emit(e.target.open)")
        with self._body:
            self._build()
        self._body.set_visibility(False)

    def _build(self) -> None:
        self._class = tag("div")
        self._meaning = tag("div")
        with tag("div", "", "flow"), tag("figure"):
            self._title = tag("figcaption")
            self._map = Maps(np.zeros((1, 1, 1), np.int8), self._picked)
            self._map.classes("large")
        self._scale = tag("p", "", "scale")
        self._flows = _region("What comes back")
        self._lines = tag("div")
        self._about_weights = tag("div")
        self._weights = _region("Gradients of the weights")
        self._descent = DescentPanel(self._panel, self._names)

    async def show(self, view: View, shape: tuple[int, ...]) -> None:
        """Shows the way back to a value, if it is open; of several calls at once only the last one counts."""
        if self._view is None or view.picture != self._view.picture:
            self._label = None
        self._view, self._shape = view, shape
        self._descent.of(view, self._label)
        await self._catch_up()

    async def _catch_up(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self._open and self._view is not None and self._shown != (self._view, self._label):
                await self._compute(self._view, self._shape, self._label)
        finally:
            self._busy = False

    async def _compute(self, view: View, shape: tuple[int, ...], label: int | None) -> None:
        self._shown = view, label
        if not self._body.visible:
            self._say("The gradients are being computed.", "waiting")
        try:
            tables = await self._panel.inspector.way_back(
                self._panel.run, await self._panel.picture(view), view.layer, view.position(shape), label
            )
        except ConvictionError as failure:
            self._body.set_visibility(False)
            self._say(str(failure), "message trouble")
            return
        if self._shown == (self._view, self._label):
            self._say("")
            self._body.set_visibility(True)
            self._fill(view, shape, tables)

    def _say(self, sentence: str, kind: str = "") -> None:
        self._state.clear()
        if sentence:
            with self._state:
                paragraph(sentence, kind)

    async def _toggled(self, event: GenericEventArguments) -> None:
        self._open = bool(event.args)
        await self._catch_up()

    async def _labelled(self, text: str) -> None:
        if text.isdecimal() and int(text) < len(self._names):
            self._label = self._chosen = int(text)
            if self._view is not None:
                self._descent.of(self._view, self._label)
            await self._catch_up()

    def _fill(self, view: View, shape: tuple[int, ...], tables: GradientTables) -> None:
        if self._chosen != tables.label:
            # A list that is open stays so while other values are looked at.
            self._chosen = tables.label
            self._class.clear()
            with self._class:
                options = {str(i): name for i, name in enumerate(self._names)}
                choice("Label", options, str(tables.label), self._labelled, "label")
        self._meaning.clear()
        with self._meaning:
            paragraph(_loss(tables, self._names[tables.label]))
            paragraph(_meaning(tables))
            for name, kind in tables.nothing:
                paragraph(_nothing(name, kind))
            if tables.probability > NEARLY_CERTAIN:
                paragraph(
                    "The network is almost certain of this label, so there is little to learn from the picture and the "
                    "gradients are small. Choose another label, or a picture that it gets wrong.",
                    "soft",
                )
        self._show_map(view, shape, tables)
        self._flows.set_visibility(bool(tables.flows))
        self._flows.clear()
        with self._flows:
            html = ui.html(groups_html(tables.flows, every=True), sanitize=False)
            html.on("click", lambda event: self._follow(tables, str(event.args)), js_handler=LINKED_CELL)
        self._show_lines(tables)
        self._about_weights.clear()
        self._weights.set_visibility(bool(tables.weights))
        self._weights.clear()
        if tables.weights:
            with self._about_weights:
                paragraph(_weights(tables), "said")
                if not tables.weights_agree:
                    paragraph(
                        "The gradients of the weights differ from the framework's by more than rounding.",
                        "message trouble",
                    )
            with self._weights:
                ui.html(groups_html(tables.weights, every=True, links=False), sanitize=False)

    def _show_map(self, view: View, shape: tuple[int, ...], tables: GradientTables) -> None:
        vector = len(shape) == 1
        at = divmod(view.channel, row_width(shape[0])) if vector else (view.row, view.column)
        self._title.clear()
        with self._title:
            tag("span", "The gradient of every " + ("logit" if tables.is_output else "value"))
            tag("b", view.layer.rpartition("/")[2] + ("" if vector else f", channel {view.channel}"))
        maps = scaled(tables.gradients, tables.scale)[np.newaxis]
        self._map.show(maps, window=(*at, 1, 1), last=shape[0] if vector else None)
        self._scale.clear()
        with self._scale:
            if not tables.scale:
                tag("span", "All of them are 0.")
                return
            tag("i", "", "above")
            tag("span", "a larger value raises the loss  ")
            tag("i", "", "below")
            tag("span", f"a larger value lowers it; full colour is {number(tables.scale)}.")

    def _show_lines(self, tables: GradientTables) -> None:
        self._lines.clear()
        with self._lines:
            ui.html(lines_html(tables.lines), sanitize=False)
            same = f"The framework computes {tables.computed!r}"
            if tables.agrees:
                paragraph(f"{same}: the same, except for rounding.", "agrees soft")
            else:
                paragraph(f"{same}: this differs by more than rounding.", "message trouble")
            if tables.following:
                # For the keyboard: the output of the first layer that passes most back.
                name, shape = tables.following[0]
                at = tables.flows[0].grids[0].rows[0][0].at
                button(
                    f"Go on to {name.rpartition('/')[2]}", lambda _: self._to(name, shape, at or ()), "onward"
                )

    async def _picked(self, pick: Pick) -> None:
        view, shape = self._view, self._shape
        if view is None:
            return
        if len(shape) == 1:
            unit = pick.row * row_width(shape[0]) + pick.column
            await self._panel.go(view.at((unit,)).within(shape))
        else:
            await self._panel.go(view.at((pick.row, pick.column, view.channel)))

    async def _follow(self, tables: GradientTables, text: str) -> None:
        """A click on what a following layer passes back leads there."""
        of, *at = (int(part) for part in text.split(","))
        await self._to(*tables.following[of], tuple(at))

    async def _to(self, name: str, shape: tuple[int, ...], at: Position) -> None:
        if self._view is not None:
            await self._panel.go(View(self._view.picture, name).at(at).within(shape))


def _region(label: str) -> ui.element:
    """What is wider than the page scrolls in it."""
    return tag("div", "", "scroll", tabindex=0, role="region", aria_label=label)


def _loss(tables: GradientTables, name: str) -> str:
    beginning = (
        f"You have not said what this picture shows, so the network's own answer, {name}, is the label. The"
        if tables.assumed
        else f"With the label {name}, the"
    )
    return (
        f"{beginning} loss of this picture is {number(tables.loss)}: minus the logarithm of the probability that the "
        f"network gives this class, {share_text(tables.probability)}."
    )


def _meaning(tables: GradientTables) -> str:
    what = "its logit" if tables.is_output else "this value"
    if tables.gradient == 0:
        return f"The gradient of {what} is 0."
    higher = "higher" if tables.gradient > 0 else "lower"
    change = number(abs(tables.gradient) * 0.01)
    return f"If {what} were 0.01 larger, the loss would be about {change} {higher}."


def _nothing(name: str, kind: str) -> str:
    if kind == "MaxPooling2D":
        return (
            f"{name} passes nothing back here: the value wins no window. Another one is larger, or is as large and "
            "comes first."
        )
    return f"{name} passes nothing back here: no window covers the value."


def _weights(tables: GradientTables) -> str:
    sentences = [
        "Training does not set values, only weights. This value contributes to the gradients of the weights that it is "
        "computed with."
    ]
    if tables.values > 1:
        sentences.append(
            f"The same weights make all {tables.values:,} values of this channel, so their gradient is the sum over "
            "all of these."
        )
    if tables.channels > CHANNELS_SHOWN:
        sentences.append(
            f"Of the kernel's {tables.channels} input channels you see the {CHANNELS_SHOWN} to which it adds most."
        )
    if not tables.trained:
        sentences.append("They are frozen: training leaves them as they are.")
    sentences.append(
        "All this is for one picture, with the means and variances that normalisation uses in an answer. Training "
        "averages over a batch, with the batch's own."
    )
    return " ".join(sentences)
