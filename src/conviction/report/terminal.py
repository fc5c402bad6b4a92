"""The lab in the terminal: steps as they happen, a bar while it trains, a line an epoch."""

from __future__ import annotations

from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from conviction.report.steps import MOST_ROWS, Step, Table
from conviction.training import EpochRow, EpochTiming
from conviction.training import Progress as State


class Terminal:
    """Shows a run to a person. Everything goes to ``file``, normally stderr."""

    def __init__(self, file: IO[str] | None = None, epochs: int = 0) -> None:
        # Without a terminal rich would cut tables at 80 columns; a log file has no such limit.
        self.console = Console(file=file, stderr=file is None, highlight=False)
        if not self.console.is_terminal:
            self.console.width = 110
        self._epochs = epochs
        self._steps = 0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def step(self, step: Step) -> None:
        """Prints one step of the lab."""
        self._end_bar()
        self._steps += 1
        self.console.print(f"\n[bold cyan]{self._steps:>2}  {step.title}[/]")
        for sentence in step.sentences:
            self.console.print(f"    {sentence}", markup=False, soft_wrap=not self.console.is_terminal)
        if step.table is not None:
            self.console.print(_rich(step.table))

    def training_starts(self, epochs: int) -> None:
        """How many epochs are ahead, for the time left."""
        self._epochs = epochs

    def progress(self, state: State) -> None:
        """Moves the bar; on something that is no terminal, bars are noise and nothing is shown."""
        if not self.console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("    epoch {task.fields[epoch]}"),
                BarColumn(bar_width=24),
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
        if row.epoch == 1:
            self.console.print(
                "    epoch    loss  accuracy  val_loss  val_accuracy  images/s  seconds",
                style="dim",
            )
        seconds = timing.train_seconds + timing.validation_seconds
        self.console.print(
            f"    {row.epoch:>5}  {row.loss:.4f}  {row.accuracy:>8.2%}  {row.val_loss:>8.4f}  "
            f"{row.val_accuracy:>12.2%}  {timing.images_per_second:>8,.0f}  {seconds:>7.1f}"
        )

    def close(self) -> None:
        """Takes the bar away; call it whatever happened."""
        self._end_bar()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _fields(state: State, epochs: int) -> dict[str, Any]:
    return {
        "epoch": f"{state.epoch}/{epochs}",
        "loss": state.loss,
        "accuracy": state.accuracy,
        "rate": state.images_per_second,
    }


def _rich(table: Table) -> RichTable:
    out = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    out.add_column("   ")  # indents the table under its step
    for i, column in enumerate(table.columns):
        out.add_column(column, justify="right" if i in table.right else "left", overflow="fold")
    for row in table.rows[:MOST_ROWS]:
        out.add_row("", *row)
    if len(table.rows) > MOST_ROWS:
        out.add_row("", f"... {len(table.rows) - MOST_ROWS} more", *[""] * (len(table.columns) - 1))
    return out


class Silent:
    """Shows nothing, for programs that want the result alone."""

    def step(self, step: Step) -> None:
        """Nothing."""

    def training_starts(self, epochs: int) -> None:
        """Nothing."""

    def progress(self, state: State) -> None:
        """Nothing."""

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
