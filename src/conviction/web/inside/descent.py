"""One step of gradient descent that is only tried: the loss before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nicegui.events import GenericEventArguments

from conviction.errors import ConvictionError
from conviction.explanation import Descent
from conviction.explanation.numbers import number
from conviction.reporting import Table
from conviction.web.elements.plain import button, heading, paragraph, table, tag
from conviction.web.elements.plain import number as number_field
from conviction.web.inside.context import PanelContext
from conviction.web.inside.view import View

RATE = 0.01
# Beside the step that was asked for, a shorter and a longer one.
RATES = (0.1, 1.0, 10.0)
# Below this share of the loss, or of 1, a step has changed nothing that one could see.
LEAST_CHANGE = 1e-4


class DescentPanel:
    """Built into the current container.

    Args:
        panel: What it is a part of.
        class_names: In order.
    """

    def __init__(self, panel: PanelContext, class_names: Sequence[str]) -> None:
        self._panel, self._names = panel, class_names
        self._view = View()
        self._label: int | None = None
        self._rate = f"{RATE:g}"
        heading("Take one step", 4)
        paragraph(
            "Every weight that is trained moves by minus the learning rate times its gradient. The step is only tried: "
            "the run's network stays as it is.",
            "soft",
        )
        with tag("div", "", "row"):
            number_field("Learning rate", self._rate, self._rated, "rate", min=0, step="any")
            button("Take one step", self._step, "step")
        self._result = tag("div", role="status")

    def of(self, view: View, label: int | None) -> None:
        """Of which picture a step is, and its label; without one what is known of it, or the network's answer."""
        if (self._view.picture, self._label) != (view.picture, label):
            self._result.clear()
        self._view, self._label = view, label

    def _rated(self, text: str) -> None:
        self._rate = text

    async def _step(self, _: GenericEventArguments) -> None:
        view, label = self._view, self._label
        try:
            rate = float(self._rate)
        except ValueError:
            rate = 0.0
        self._result.clear()
        with self._result:
            if not (math.isfinite(rate) and rate > 0):
                paragraph("Learning rate: expected a number above 0, such as 0.01.", "message trouble")
                return
            paragraph("The step is being tried.", "waiting")
        try:
            descent: Descent | ConvictionError = await self._panel.inspector.descend(
                self._panel.run, await self._panel.picture(view), tuple(rate * r for r in RATES), label
            )
        except ConvictionError as failure:
            descent = failure
        if (self._view.picture, self._label) != (view.picture, label):
            return  # another picture, or label, is looked at by now
        self._result.clear()
        with self._result:
            if isinstance(descent, ConvictionError):
                paragraph(str(descent), "message trouble")
                return
            name = self._names[descent.label]
            paragraph(_step_sentence(descent, 1 + RATES.index(1.0), name))
            rows = tuple(
                (f"{rate:g}" if rate else "no step", number(loss), share_text(float(p[descent.label])))
                for rate, loss, p in zip(descent.rates, descent.losses, descent.probabilities, strict=True)
            )
            table(Table(("learning rate", "loss", f"probability of {name}"), rows, right=(0, 1, 2)), "Steps")


def share_text(probability: float) -> str:
    """In percent, unless that would be read as 0."""
    return f"{probability:.2%}" if probability >= LEAST_CHANGE or not probability else f"{probability:.2g}"


def _step_sentence(descent: Descent, chosen: int, name: str) -> str:
    before, after = (float(descent.losses[i]) for i in (0, chosen))
    rate = descent.rates[chosen]
    moved = f"{descent.weights:,} weights move, at a learning rate of {rate:g}."
    p, q = (float(descent.probabilities[i][descent.label]) for i in (0, chosen))
    if abs(after - before) <= LEAST_CHANGE * before:
        return f"{moved} The loss, {number(before)}, does not change noticeably. Try a larger rate."
    if not math.isfinite(after) or after > before:
        return (
            f"{moved} The loss rises from {number(before)} to {number(after)}: the step is too long. A gradient says "
            "how the loss changes near the weights as they are, and no further."
        )
    return (
        f"{moved} The loss falls from {number(before)} to {number(after)}, and the probability of {name} goes from "
        f"{share_text(p)} to {share_text(q)}. If the loss were a straight line, it would have fallen by "
        f"{number(descent.squared_norm * rate)}."
    )
