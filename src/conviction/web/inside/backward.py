"""The way back from the loss to one value, below its calculation; and one step against the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from nicegui import ui
from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError
from conviction.explanation import Descent
from conviction.explanation.numbers import number
from conviction.reporting import Table
from conviction.web.elements.maps import Maps, Pick
from conviction.web.elements.plain import button, choice, heading, paragraph, table, tag
from conviction.web.elements.plain import number as number_field
from conviction.web.inside.back import Back
from conviction.web.inside.context import PanelContext
from conviction.web.inside.small import scaled
from conviction.web.inside.tables import groups_html, lines_html
from conviction.web.inside.view import View, row_width

RATE = 0.01
NEARLY_CERTAIN = 0.99
# Below this a probability in percent would be read as 0.
LEAST_SHARE = 0.0005
# Beside the step that was asked for, a shorter and a longer one.
FACTORS = (0.1, 1.0, 10.0)
_AT = '(e) => { const c = e.target.closest("[data-at]"); if (c) emit(c.dataset.at); }'


class Backward:
    """Built into the current container; folded, and computed only while it is open."""

    def __init__(self, panel: PanelContext, class_names: Sequence[str]) -> None:
        self._panel, self._names = panel, class_names
        self._open = False
        self._view: View | None = None
        self._shape: tuple[int, ...] = ()
        self._label: int | None = None  # None: the picture's own class, or what the network says
        self._picture = ""
        self._shown: tuple[View, int | None] | None = None
        self._rate = f"{RATE:g}"
        with tag("details", "", "way-back") as details:
            tag("summary", "The way back: how the loss changes with this value")
            self._body = tag("div")
        details.on("toggle", self._toggled, js_handler="(e) => emit(e.target.open)")
        with self._body:
            self._class = tag("div", "", "steps")
            self._meaning = tag("div", role="status")
            with tag("div", "", "flow"), tag("figure"):
                self._title = tag("figcaption")
                self._map = Maps(np.zeros((1, 1, 1), np.int8), self._picked)
                self._map.classes("large")
            self._scale = tag("p", "", "scale")
            self._flows = tag("div", "", "scroll", tabindex=0, role="region", aria_label="What comes back")
            self._lines = tag("div")
            self._weights = tag(
                "div", "", "scroll", tabindex=0, role="region", aria_label="Gradients of the weights"
            )
            heading("Take one step", 4)
            paragraph(
                "Every weight moves against its gradient: by the rate, times the gradient. The run's network is not "
                "changed; the step is only tried.",
                "soft",
            )
            with tag("div", "", "steps"):
                number_field("Rate", self._rate, self._rated, "rate", min=0, step="any")
                button("Take one step", self._step, "step")
            self._result = tag("div", role="status")

    async def show(self, view: View, shape: tuple[int, ...]) -> None:
        """Shows the way back to a value, if it is open."""
        if view.picture != self._picture:
            self._picture, self._label = view.picture, None
            self._result.clear()
        self._view, self._shape = view, shape
        if not self._open or self._shown == (view, self._label):
            return
        asked = (view, self._label)
        picture = await self._panel.picture(view)
        back = await self._panel.inspector.way_back(
            self._panel.run, picture, view.layer, view.position(shape), self._label
        )
        if asked == (self._view, self._label):  # nothing else has been asked for since
            self._shown = asked
            self._fill(back)

    async def _toggled(self, event: GenericEventArguments) -> None:
        self._open = bool(event.args)
        await self._again()

    async def _again(self) -> None:
        if self._view is None:
            return
        try:
            await self.show(self._view, self._shape)
        except ConvictionError as failure:
            self._panel.say(str(failure), "message trouble")

    async def _labelled(self, text: str) -> None:
        if text.isdecimal() and int(text) < len(self._names):
            self._label = int(text)
            self._result.clear()
            await self._again()

    def _fill(self, back: Back) -> None:
        assert self._view is not None
        self._class.clear()
        with self._class:
            options = {str(i): name for i, name in enumerate(self._names)}
            choice("The picture is of class", options, str(back.label), self._labelled, "label")
        self._meaning.clear()
        with self._meaning:
            paragraph(_loss(back, self._names[back.label]))
            paragraph(_meaning(back))
            if back.probability > NEARLY_CERTAIN:
                paragraph(
                    "The network is almost certain of this class, so there is little to learn and every gradient is "
                    "small. Choose another class, or a picture that it gets wrong.",
                    "soft",
                )
            for name, kind in back.nothing:
                paragraph(_nothing(name, kind))
        self._show_map(back)
        self._flows.clear()
        if back.flows:
            with self._flows:
                html = ui.html(groups_html(back.flows, every=True), sanitize=False)
                html.on("click", lambda event: self._follow(back, str(event.args)), js_handler=_AT)
        self._lines.clear()
        with self._lines:
            ui.html(lines_html(back.lines), sanitize=False)
            if back.agrees:
                paragraph(
                    f"The framework computes {back.computed!r}: the same, except for rounding.", "agrees soft"
                )
            else:
                paragraph(
                    f"The framework computes {back.computed!r}: this differs by more than rounding.",
                    "message trouble",
                )
        self._weights.clear()
        if back.weights:
            with self._weights:
                paragraph(_weights(back), "said")
                ui.html(groups_html(back.weights, every=True, links=False), sanitize=False)

    def _show_map(self, back: Back) -> None:
        view, vector = self._view, len(self._shape) == 1
        assert view is not None
        at = divmod(view.channel, row_width(self._shape[0])) if vector else (view.row, view.column)
        self._title.clear()
        with self._title:
            tag("span", "The gradient of every " + ("logit" if back.is_output else "value"))
            tag("b", view.layer.rpartition("/")[2] + ("" if vector else f", channel {view.channel}"))
        maps = scaled(back.map, back.scale)[np.newaxis]
        self._map.show(maps, at=(0, *at), last=self._shape[0] if vector else None)
        self._scale.clear()
        with self._scale:
            tag("i", "", "above")
            tag("span", "a larger value raises the loss  ")
            tag("i", "", "below")
            tag("span", f"a larger value lowers it; full colour is {number(back.scale)}.")

    async def _picked(self, pick: Pick) -> None:
        view = self._view
        if view is None:
            return
        if len(self._shape) == 1:
            unit = pick.row * row_width(self._shape[0]) + pick.column
            await self._panel.go(view.at((unit,)))
        else:
            await self._panel.go(view.at((pick.row, pick.column, view.channel)))

    async def _follow(self, back: Back, text: str) -> None:
        """A click on what a following layer passes back leads there."""
        of, *at = (int(part) for part in text.split(","))
        name, shape = back.following[of]
        assert self._view is not None
        view = View(self._view.picture, name).at(tuple(at))
        await self._panel.go(view.within(shape))

    def _rated(self, text: str) -> None:
        self._rate = text

    async def _step(self, _: GenericEventArguments) -> None:
        view = self._view
        if view is None:
            return
        self._result.clear()
        try:
            rate = float(self._rate)
        except ValueError:
            rate = 0.0
        with self._result:
            if not (math.isfinite(rate) and 0 < rate <= 1e6):
                paragraph("Rate: expected a number above 0, such as 0.01.", "message trouble")
                return
            paragraph("The step is being tried ...", "waiting")
        try:
            picture = await self._panel.picture(view)
            rates = tuple(rate * factor for factor in FACTORS)
            descent = await self._panel.inspector.descend(self._panel.run, picture, rates, self._label)
        except ConvictionError as failure:
            self._result.clear()
            with self._result:
                paragraph(str(failure), "message trouble")
            return
        self._result.clear()
        with self._result:
            name = self._names[descent.label]
            paragraph(_step(descent, 1 + FACTORS.index(1.0), name))
            rows = tuple(
                (f"{rate:g}" if rate else "no step", number(loss), f"{p[descent.label]:.1%}")
                for rate, loss, p in zip(descent.rates, descent.losses, descent.probabilities, strict=True)
            )
            table(Table(("rate", "loss", f"probability of {name}"), rows, right=(0, 1, 2)), "Steps")


def _loss(back: Back, name: str) -> str:
    share = f"{back.probability:.2%}" if back.probability >= LEAST_SHARE else f"{back.probability:.2g}"
    return (
        f"If this picture is of class {name}, its loss is {number(back.loss)}: minus the logarithm of the probability "
        f"that the network gives this class, {share}."
    )


def _meaning(back: Back) -> str:
    what = "its logit" if back.is_output else "this value"
    if back.gradient == 0:
        return f"A small change of {what} changes nothing: its gradient is 0."
    moves = "rise" if back.gradient > 0 else "fall"
    change = number(abs(back.gradient) * 0.01)
    return f"If {what} grew by 0.01, the loss would {moves} by about {change}."


def _nothing(name: str, kind: str) -> str:
    if kind == "MaxPooling2D":
        return f"{name} passes nothing back here: the value is not the largest of any window."
    return f"{name} passes nothing back here: no window covers the value."


def _weights(back: Back) -> str:
    sentences = [
        "Training changes weights, not values. This value adds to the gradients of those it is made with."
    ]
    if back.values > 1:
        sentences.append(
            f"The same weights make all {back.values:,} values of this channel, so their gradient is the sum over all "
            "of these."
        )
    if not back.trained:
        sentences.append("They are frozen: training leaves them as they are.")
    return " ".join(sentences)


def _step(descent: Descent, chosen: int, name: str) -> str:
    before, after = (float(descent.losses[i]) for i in (0, chosen))
    rate, line = descent.rates[chosen], descent.slope * descent.rates[chosen]
    moved = f"{descent.weights:,} weights move, at rate {rate:g}."
    if not np.isfinite(after) or after > before:
        return (
            f"{moved} The loss rises from {number(before)} to {number(after)}: the step is too long. A gradient says "
            "how the loss changes near the weights as they are, and no further."
        )
    p, q = (float(descent.probabilities[i][descent.label]) for i in (0, chosen))
    return (
        f"{moved} The loss falls from {number(before)} to {number(after)}, and the probability of {name} goes from "
        f"{p:.1%} to {q:.1%}. Along a straight line it would have fallen by {number(line)}."
    )
