"""What a panel shows, as the plain values of an address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

KEYS = ("picture", "layer", "row", "column", "channel")
# No layer is this long; larger numbers come from an edited address.
MOST = 10**7


@dataclass(frozen=True)
class View:
    """What is looked at.

    Attributes:
        picture: The number of a validation image, or the hash of a picture that was uploaded or drawn.
        layer: Its name; empty for the first convolution.
        row: In the layer's output, from 0; of layers that give vectors 0.
        column: As ``row``.
        channel: The channel, or the unit of a layer that gives a vector.
    """

    picture: str = "0"
    layer: str = ""
    row: int = 0
    column: int = 0
    channel: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """What an address asks for; mistakes in it are ignored, because addresses are shared and shortened.

        >>> View.of({"layer": "conv_1", "row": "3", "column": "x"})
        View(picture='0', layer='conv_1', row=3, column=0, channel=0)
        """
        numbers = {name: _number(query.get(name, "")) for name in ("row", "column", "channel")}
        return cls(query.get("picture", "0")[:64], query.get("layer", "")[:64], **numbers)

    def to_query(self) -> dict[str, str]:
        """The same for an address."""
        return {name: str(getattr(self, name)) for name in KEYS}

    def within(self, shape: tuple[int, ...]) -> View:
        """The nearest position that exists in an output of this shape: (rows, columns, channels) or (units,)."""
        if len(shape) == 1:
            return replace(self, row=0, column=0, channel=min(self.channel, shape[0] - 1))
        row, column, channel = (
            min(at, n - 1) for at, n in zip((self.row, self.column, self.channel), shape, strict=True)
        )
        return replace(self, row=row, column=column, channel=channel)

    def position(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The position as ``explain_value`` takes it."""
        return (self.channel,) if len(shape) == 1 else (self.row, self.column, self.channel)

    def at(self, position: tuple[int, ...]) -> View:
        """The same layer at another position."""
        if len(position) == 1:
            return replace(self, row=0, column=0, channel=position[0])
        return replace(self, row=position[0], column=position[1], channel=position[2])


def row_width(units: int) -> int:
    """How many values of a vector are in a row: all of up to 32; then about as many as there are rows.

    >>> row_width(10), row_width(128), row_width(2304)
    (10, 32, 48)
    """
    return min(units, max(32, 16 * math.ceil(math.sqrt(units) / 16)))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 and int(text) < MOST else 0
