"""The two elements that NiceGUI does not have: maps of numbers to choose from, and a canvas to draw on."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui.element import Element
from nicegui.events import GenericEventArguments


@dataclass(frozen=True)
class Pick:
    """A value of a map that was chosen."""

    map: int
    row: int
    column: int


class Maps(Element, component="maps.js"):
    """Maps side by side, or one large one that the arrow keys move in.

    Args:
        maps: int8 (count, rows, columns), from ``small.scaled``.
        on_pick: Called with the value that was chosen.
        at: (map, row, column) that is marked.
        window: (top, left, rows, columns) that is outlined.
        last: How many values of a map are real; all by default.
        gray: A picture, 0 black and 127 white.
        keys: Whether it takes the focus and the arrow keys; with it ``label`` is read out.
        label: What it shows.
    """

    def __init__(
        self,
        maps: np.ndarray,
        on_pick: Callable[[Pick], Awaitable[None] | None],
        *,
        at: Sequence[int] | None = None,
        window: Sequence[int] | None = None,
        last: int | None = None,
        gray: bool = False,
        keys: bool = False,
        label: str = "",
    ) -> None:
        super().__init__()
        self.props["gray"], self.props["keys"] = gray, keys
        self.show(maps, at=at, window=window, last=last, label=label)

        def picked(event: GenericEventArguments) -> Awaitable[None] | None:
            return on_pick(Pick(int(event.args["map"]), int(event.args["row"]), int(event.args["column"])))

        self.on("pick", picked)

    def show(
        self,
        maps: np.ndarray,
        *,
        at: Sequence[int] | None = None,
        window: Sequence[int] | None = None,
        last: int | None = None,
        label: str = "",
    ) -> None:
        """Shows other maps in the same place, so that the focus stays."""
        content: dict[str, Any] = {
            "maps": base64.b64encode(np.ascontiguousarray(maps, np.int8).tobytes()).decode(),
            "count": maps.shape[0],
            "rows": maps.shape[1],
            "columns": maps.shape[2],
            "last": last,
            "at": None if at is None else list(at),
            "window": None if window is None else list(window),
            "label": label,
        }
        for name, value in content.items():
            self.props[name] = value


class DrawingCanvas(Element, component="drawing.js"):
    """A canvas; ``on_drawn`` gets the bytes of a PNG after ``done``, none if nothing was drawn."""

    def __init__(self, on_drawn: Callable[[bytes], Awaitable[None] | None]) -> None:
        super().__init__()
        self.on("drawn", lambda event: on_drawn(base64.b64decode(str(event.args))))

    def done(self) -> None:
        """Asks for the picture."""
        self.run_method("done")

    def clear_board(self) -> None:
        """Makes the board black again."""
        self.run_method("clear")
