"""A network as one picture: maps in columns, lines for what flows between them, and a window that slides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

LEGEND = (
    "Each tile is a feature map: blue is above 0, orange below 0, blank is 0. A line shows what one map adds to the "
    "next (blue) or takes away from it (orange), before bias and activation."
)


@dataclass(frozen=True)
class ColumnPick:
    """A column that was chosen, by its number; the number after the last column means the answer."""

    column: int


@dataclass(frozen=True)
class ValuePick:
    """A value of a map that was chosen, by the number of its column and of its map there."""

    column: int
    map: int
    at: tuple[int, int]


class NetworkDiagram(Element, component="network_diagram.js"):
    """Empty until ``show``.

    Args:
        on_pick: Called with what was chosen.
        opens: Whether the calculation of what was chosen then opens below.
    """

    def __init__(
        self, on_pick: Callable[[ColumnPick | ValuePick], Awaitable[None] | None], *, opens: bool = False
    ) -> None:
        super().__init__()
        self.props["opens"] = opens
        self.props["content"] = None

        def picked(event: GenericEventArguments) -> Awaitable[None] | None:
            spot = event.args
            if "map" not in spot:
                return on_pick(ColumnPick(int(spot["stage"])))
            return on_pick(ValuePick(int(spot["stage"]), int(spot["map"]), (int(spot["y"]), int(spot["x"]))))

        self.on("pick", picked)

    def show(self, content: dict[str, Any]) -> None:
        """Shows a network and a picture, as ``DiagramContent`` of ``live/diagram.js`` has them."""
        self.props["content"] = content

    def mark_at(self, at: Sequence[int]) -> None:
        """Marks a column, a value where (column, map, row, column of the map) are given, or nothing."""
        self.run_method("mark", list(at))
