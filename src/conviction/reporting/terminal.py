"""The lab in the terminal: steps as they happen, a bar while it trains, a line for each epoch."""

from __future__ import annotations

import sys
from typing import IO, Any, cast

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table as RichTable
from rich.text import Text

from conviction.reporting.steps import MOST_ROWS, Step, Table
from conviction.training import EpochRow, EpochTiming
from conviction.training import Progress as State

# Width of what is left and right of the bar, for up to 999 epochs: a wider bar would push the time out.
_BESIDE_THE_BAR = 74


class Terminal:
    """Shows a run to a person.

    Args:
        file: Where.
        plain: Lines alone, without bars, which only a terminal can move.
    """

    def __init__(self, file: IO[str], *, plain: bool = False) -> None:
        self.console = console(file, plain=plain)
        self._epochs = 0
        self._heads = False
        self._steps = 0
        self._status: Status | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def loading(self, source: str, doing: str = "reading") -> None:
        """Shows that something is under way that takes a while."""
        self.close()  # a second spinner beside the first would never stop
        if self.console.is_terminal:
            self._status = self.console.status(f"{escape(doing)} {escape(source)} ...")
            self._status.start()

    def computing(self, done: int, total: int) -> None:
        """Moves the bar of what a frozen network makes of the images."""
        self._counting(
            done, total, "{task.completed:,.0f} of {task.total:,.0f} images through the frozen network"
        )

    def folds_done(self, done: float, total: int) -> None:
        """Moves the bar of the networks that are trained for the estimate by folds."""
        self._counting(done, total, "{task.completed:,.1f} of {task.total:,.0f} networks of the folds")

    def _counting(self, done: float, total: int, words: str) -> None:
        if not self.console.is_terminal:
            return
        if self._bar is None:
            self.close()
            self._bar = Progress(
                TextColumn(f"    {words}"),
                BarColumn(bar_width=24),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
        if done == total:
            self.close()

    def step(self, step: Step) -> None:
        """Prints one step of the lab."""
        self.close()
        self._steps += 1
        self.console.print(f"\n[bold cyan]{self._steps:>2}  {escape(step.title)}[/]")
        for sentence in step.sentences:
            self._sentence(Text(sentence))
        if step.table is not None:
            _print_whole(self.console, _rich(step.table, indent="   "))

    def training_starts(self, epochs: int) -> None:
        """How many epochs are ahead, for the time left."""
        self._epochs = epochs
        self._heads = False

    def progress(self, state: State) -> None:
        """Moves the bar; where the output is not a terminal, bars are noise and nothing is shown."""
        if not self.console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("    epoch {task.fields[epoch]}"),
                BarColumn(bar_width=max(4, min(24, self.console.width - _BESIDE_THE_BAR))),
                TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.2%}"),
                TextColumn("{task.fields[rate]:,.0f} images/s"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, **_fields(state, self._epochs))
            self._bar.start()
        self._bar.update(
            self._task,
            total=state.total * self._epochs,
            completed=state.total * (state.epoch - 1) + state.images,
            **_fields(state, self._epochs),
        )

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Prints the line of an epoch."""
        if not self._heads:
            self._heads = True
            self.console.print(
                "    epoch    loss  accuracy  val_loss  val_accuracy  images/s  seconds",
                style="dim",
            )
        seconds = timing.train_seconds + timing.validation_seconds
        self.console.print(
            f"    {row.epoch:>5}  {row.loss:.4f}  {row.accuracy:>8.2%}  {row.val_loss:>8.4f}  "
            f"{row.val_accuracy:>12.2%}  {timing.images_per_second:>8,.0f}  {seconds:>7.1f}"
        )

    def noticed(self, sentence: str) -> None:
        """Prints what the curves show, below the epoch that showed it."""
        self._sentence(Text(sentence, "yellow"))

    def _sentence(self, text: Text) -> None:
        """Prints a sentence, indented on every line of a terminal; one line elsewhere."""
        if self.console.is_terminal:
            self.console.print(Padding(text, (0, 0, 0, 4)))
        else:
            self.console.print(Text("    ") + text, soft_wrap=True)

    def close(self) -> None:
        """Removes spinner and bar; call it however the work ended."""
        for live in (self._status, self._bar):
            if live is not None:
                live.stop()
        self._status = self._bar = None


def _fields(state: State, epochs: int) -> dict[str, Any]:
    return {
        "epoch": f"{state.epoch}/{epochs}",
        "loss": state.loss,
        "accuracy": state.accuracy,
        "rate": state.images_per_second,
    }


def print_table(table: Table) -> None:
    """Prints a whole table on stdout."""
    _print_whole(console(sys.stdout), _rich(table, len(table.rows)))


def _print_whole(out: Console, table: RichTable) -> None:
    """Prints a table; where the output is not a terminal, a row is one line however long its file names are."""
    if not out.is_terminal:
        out.width = max(out.width, out.measure(table, options=out.options.update(max_width=100_000)).maximum)
    out.print(table)


def console(file: IO[str], *, plain: bool = False) -> Console:
    """A console on ``file``, with a fixed width where that is not a terminal, or where it is to be plain."""
    out = Console(
        file=_replacing(file),
        highlight=False,
        force_terminal=False if plain else None,
        force_jupyter=False if plain else None,
    )
    if not out.is_terminal:
        out.width = 120
    return out


class _Replacing:
    """A text file that accepts every letter; those that its encoding lacks become question marks."""

    def __init__(self, file: IO[str], encoding: str) -> None:
        self._file, self._encoding = file, encoding

    def write(self, text: str) -> int:
        """Writes any text."""
        return self._file.write(text.encode(self._encoding, "replace").decode(self._encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _replacing(file: IO[str]) -> IO[str]:
    encoding = getattr(file, "encoding", None)
    strict = getattr(file, "errors", None) == "strict"
    return cast("IO[str]", _Replacing(file, encoding)) if strict and encoding else file


def _rich(table: Table, most: int = MOST_ROWS, indent: str = "") -> RichTable:
    most = len(table.rows) if table.whole else most
    out = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first = [indent] if indent else []
    for i, column in enumerate([*first, *table.columns]):
        right = i - len(first) in table.right
        # Cells may be broken anywhere, because long names must be; words of a heading may not.
        least = max(map(cell_len, column.split()), default=None)
        out.add_column(column, justify="right" if right else "left", overflow="fold", min_width=least)
    for row in table.rows[:most]:
        # Cells are data: a class called [red] is not markup.
        out.add_row(*first, *map(escape, row))
    if len(table.rows) > most:
        out.add_row(*first, f"... {len(table.rows) - most} more")
    return out


class Silent:
    """Shows nothing, for programs that want the result alone."""

    def loading(self, source: str, doing: str = "reading") -> None:
        """Nothing."""

    def computing(self, done: int, total: int) -> None:
        """Nothing."""

    def folds_done(self, done: float, total: int) -> None:
        """Nothing."""

    def step(self, step: Step) -> None:
        """Nothing."""

    def training_starts(self, epochs: int) -> None:
        """Nothing."""

    def progress(self, state: State) -> None:
        """Nothing."""

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Nothing."""

    def noticed(self, sentence: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
