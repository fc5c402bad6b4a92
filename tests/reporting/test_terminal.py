"""The terminal: a bar that moves while it trains, and nothing that moves where nobody watches."""

from __future__ import annotations

import io

import pytest

from conviction.config.model import Conv2D, Flatten, ModelSpec
from conviction.model import walk
from conviction.reporting.steps import MOST_ROWS, Step, Table, model_step
from conviction.reporting.terminal import Terminal
from conviction.training import EpochRow, EpochTiming, Progress

ROW = EpochRow(1, 0.5, 0.8, 0.6, 0.75, 0.001)
TIMING = EpochTiming(1, 2.0, 0.5, 50.0)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def train_on(file: io.StringIO) -> str:
    terminal = Terminal(file)
    terminal.loading("digits [1]")
    terminal.step(Step("Train", ("Two epochs.",)))
    terminal.training_starts(2)
    terminal.progress(Progress(1, 50, 100, 0.5432, 0.8, 1234.0))
    terminal.epoch_done(ROW, TIMING)
    terminal.close()
    return file.getvalue()


def test_a_terminal_sees_loss_accuracy_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    shown = train_on(Screen())
    for part in ("epoch 1/2", "0.5432", "80.00%", "1,234 images/s", "reading digits [1]"):
        assert part in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_a_file_gets_whole_lines_and_no_control_characters() -> None:
    shown = train_on(io.StringIO())
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "1,234" not in shown
    assert shown.splitlines()[-1].split() == ["1", "0.5000", "80.00%", "0.6000", "75.00%", "50", "2.5"]


def test_long_tables_are_cut_and_say_so() -> None:
    rows = tuple((f"class-{i}", str(i)) for i in range(MOST_ROWS + 80))
    file = io.StringIO()
    Terminal(file).step(Step("Split", (), Table(("class", "images"), rows, (1,))))
    assert f"class-{MOST_ROWS - 1} " in file.getvalue()
    assert f"class-{MOST_ROWS} " not in file.getvalue()
    assert "... 80 more" in file.getvalue()


def test_data_is_not_markup() -> None:
    file = io.StringIO()
    Terminal(file).step(Step("Load", ("[bold]x[/]",), Table(("a",), (("[red]y[/]",),))))
    assert "[bold]x[/]" in file.getvalue()
    assert "[red]y[/]" in file.getvalue()


def test_a_file_gets_a_line_for_each_row_however_long() -> None:
    file = io.StringIO()
    Terminal(file).step(Step("Load", (), Table(("file", "class"), (("x" * 200, "cat"), ("y", "dog")))))
    rows = file.getvalue().splitlines()[-2:]
    assert [row.split() for row in rows] == [["x" * 200, "cat"], ["y", "dog"]]


def test_a_network_is_shown_to_its_output() -> None:
    file = io.StringIO()
    layers = [Conv2D(filters=4, kernel_size=(1, 1)) for _ in range(MOST_ROWS + 5)]
    rows = walk(ModelSpec(layers=(*layers, Flatten())), (8, 8, 1), 10)
    Terminal(file).step(model_step(rows))
    shown = file.getvalue()
    assert all(f" {row.name} " in shown for row in rows)
    assert " more\n" not in shown
