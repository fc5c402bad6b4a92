"""Trials as they run: a live table in a terminal or a notebook; elsewhere a line for each that has ended."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal, TypeAlias

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from conviction.errors import RequestError
from conviction.reporting.live import Block, in_notebook
from conviction.reporting.log_lines import LogLines
from conviction.reporting.terminal import console

_BLOCKS = "▁▂▃▄▅▆▇█"
# How many epochs of a curve are shown.
_WIDTH = 16


def sparkline(values: Sequence[float]) -> str:
    """Values as blocks, the lowest at the bottom; the last 16 of them."""
    shown = list(values)[-_WIDTH:]
    low, high = min(shown), max(shown)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((v - low) / (high - low) * top) if high > low else 0] for v in shown)


class Board:
    """Shows the trials of a study.

    Attributes:
        file: Where its lines go.
    """

    def __init__(self, file: IO[str], *, plain: bool = False, notebook: bool = False) -> None:
        self.file = file
        self._console = console(file, plain=plain or notebook)
        self._notebook = notebook
        self._live: Live | _Cell | None = None
        self._running: dict[str, tuple[str, list[float]]] = {}
        self._all = self._done = self._before = self._failed = 0
        self._best: tuple[float, str] | None = None
        self._began = 0.0

    def begin(self, trials: int, done: int) -> None:
        """Starts the table."""
        self._all, self._done, self._before = trials, done, done
        self._began = time.monotonic()
        if done:
            self._console.print(f"{done} of {trials} runs are already finished; continuing.")
        if done < trials and self._notebook:
            self._live = _Cell()
            self._refresh()
        elif done < trials and self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, transient=True, refresh_per_second=4)
            self._live.start()

    def epoch(self, key: str, label: str, row: Mapping[str, Any]) -> None:
        """Adds to the curve of a running trial."""
        if row["epoch"] == 1 or key not in self._running:
            self._running[key] = (label, [])
        self._running[key][1].append(float(row["val_accuracy"]))
        self._refresh()

    def ended(self, key: str, label: str, outcome: Mapping[str, Any]) -> None:
        """Counts a trial as done; without a live table, a line says how it ended."""
        self._running.pop(key, None)
        self._done += 1
        seed = key.rsplit("/", 1)[-1]
        if outcome["failure"] is not None:
            self._failed += 1
            message = f"failed: {outcome['failure']}"
        else:
            accuracy = outcome["value"]["history"][-1]["val_accuracy"]
            self._best = max(self._best or (0.0, ""), (accuracy, label))
            message = f"validation accuracy {accuracy:.2%}, {outcome['seconds']:.1f} s"
        if self._live is None:
            self._console.print(
                f"{self._done:>4} of {self._all}  {label}, seed {seed}: {message}",
                markup=False,
                soft_wrap=True,
            )
        self._refresh()

    def close(self) -> None:
        """Removes the table; a notebook keeps its first line."""
        if self._live is not None:
            self._running.clear()
            self._live.update(self._table())
            self._live.stop()
            self._live = None

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._table())

    def _table(self) -> Group:
        rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("running", "seed", "epoch", "validation accuracy", ""):
            rows.add_column(column)
        for key, (label, curve) in self._running.items():
            seed = key.rsplit("/", 1)[-1]
            rows.add_row(Text(label), seed, str(len(curve)), f"{curve[-1]:.2%}", sparkline(curve))
        made = self._done - self._before
        left = ""
        if made and self._done < self._all:
            minutes = (time.monotonic() - self._began) / made * (self._all - self._done) / 60
            left = f", about {minutes:.0f} minutes left" if minutes >= 1 else ", less than a minute left"
        best = f"; best so far {self._best[0]:.2%} ({self._best[1]})" if self._best else ""
        failed = f"; {self._failed} failed" if self._failed else ""
        state = Text(f"{self._done} of {self._all} runs done{left}{best}{failed}")
        return Group(state, rows) if self._running else Group(state)


class _Cell:
    """A table of Rich in a notebook."""

    def __init__(self) -> None:
        self._block = Block()
        self._last = ""

    def update(self, table: Group) -> None:
        """Shows the table, unless it has just been shown."""
        drawn = Console(file=io.StringIO(), record=True, width=110, force_jupyter=False, highlight=False)
        drawn.print(table)
        # The colours of the notebook are kept, which may be light or dark.
        text = drawn.export_html(code_format="{code}", inline_styles=False)
        self._last = f'<pre style="overflow-x:auto;line-height:1.3">{text}</pre>'
        if self._block.due:
            self._block.draw(self._last)

    def stop(self) -> None:
        """Shows the last table, however soon after the one before."""
        self._block.draw(self._last)


StudyShowing: TypeAlias = Board | Literal["live", "plain", "log"] | None


def board(show: StudyShowing) -> Board:
    """What shows a study.

    Args:
        show: "live": a table that changes, in a notebook or a terminal (stderr); "plain": a line for each run; "log":
            these lines as records of Python's logger ``conviction``; None: nothing. Or what shows it.

    Raises:
        RequestError: It is another text.
    """
    if isinstance(show, Board):
        return show
    if show is None:
        return Board(io.StringIO())
    if show == "log":
        return Board(LogLines(), plain=True)
    if show not in ("live", "plain"):
        raise RequestError(f"show: expected 'live', 'plain', 'log' or None; got '{show}'.")
    notebook = in_notebook()
    return Board(
        sys.stdout if notebook else sys.stderr, plain=show == "plain", notebook=notebook and show == "live"
    )
