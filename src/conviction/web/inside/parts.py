"""What a calculation is made of: tables of numbers, and steps."""

from __future__ import annotations

from dataclasses import dataclass

from conviction.explanation.numbers import number

Position = tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Attributes:
        value: Exact.
        at: Its position in the layer's input, if it has one.
        mark: ``outside`` for padding, ``winner`` for the largest of a window, or nothing.
        of: Which of the layer's inputs that is, where there are several.
    """

    value: float
    at: Position | None = None
    mark: str = ""
    of: int = 0

    @property
    def text(self) -> str:
        """Four significant digits."""
        return number(self.value + 0.0)  # which turns -0 into 0


@dataclass(frozen=True)
class Grid:
    """A table of numbers.

    Attributes:
        title: What they are.
        rows: Of cells.
        heads: Over the columns, if they are of different kinds.
        labels: Before the rows, if they have names.
        chosen: The row that the value is about, if it is one of several.
    """

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    heads: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    chosen: int | None = None


@dataclass(frozen=True)
class Group:
    """Tables that belong together.

    Attributes:
        title: Over them.
        grids: The tables.
        total: What they add to the sum; None if they are not part of one.
        signs: What stands before each table, where one is computed from those before it.
    """

    title: str
    grids: tuple[Grid, ...]
    total: float | None = None
    signs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A step of the calculation: what is done, and its result."""

    label: str
    value: float
    result: bool = False


@dataclass(frozen=True)
class Parts:
    """What one kind of value makes of a calculation; see ``Calculation``."""

    description: str
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    strongest: Position
    window: tuple[int, int, int, int] | None = None
    source: Position | None = None
    named: str = ""
    strongest_of: int = 0
