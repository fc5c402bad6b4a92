"""At a real terminal: nothing left of a spinner, no broken line, prompts and cursor where they belong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal import AtTerminal

SMALL = ("digits", "recipe=lab", "training.epochs=2", "model.filters=[4,4]", "model.dense=[8]")
# Of rich's spinner "dots", what stands behind it, and its bar.
SPINNER = re.compile(r"[⠀-⣿━]|\.\.\.$")

Start = Callable[..., AtTerminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command at a terminal."""
    started = []

    def call(*arguments: str) -> AtTerminal:
        started.append(AtTerminal(list(arguments), tmp_path, tmp_path / "home"))
        return started[-1]

    yield call
    for terminal in started:
        terminal.close()


def clean(terminal: AtTerminal) -> bool:
    assert terminal.cursor_shown
    assert not terminal.too_long
    assert not [line for line in terminal.lines if SPINNER.search(line)]
    return True


def asked(terminal: AtTerminal, question: str, times: int) -> None:
    """Waits until a question has been asked so many times, and the cursor stands behind it."""
    terminal.until(
        lambda t: (
            len([line for line in t.lines if re.fullmatch(question, line)]) == times
            and re.fullmatch(question, t.line_of_the_cursor) is not None
        )
    )


def test_fit_leaves_its_steps_and_nothing_that_moved(start: Start) -> None:
    terminal = start("fit", *SMALL, "--out", "run")
    assert terminal.end() == 0, terminal.lines
    assert clean(terminal)
    assert "conviction predict run IMAGE" in " ".join(" ".join(terminal.lines).split())
    # A sentence is indented as a whole.
    step = terminal.lines[terminal.lines.index(" 1  Load") + 1 :]
    assert all(line.startswith("    ") for line in step[: step.index("")])


def test_a_walk_shows_where_enter_goes_on(start: Start) -> None:
    terminal = start("learn", "walkthrough", *SMALL)
    for pause in range(1, 4):
        asked(terminal, "Press Enter to continue.", pause)
        assert clean(terminal)
        terminal.press("\n" if pause < 3 else "\x03")
    assert terminal.end() == 130
    assert terminal.last_line == "conviction: Stopped by SIGINT."
    assert clean(terminal)


@pytest.mark.parametrize(
    "moving", [r"reading digits \.\.\.", pytest.param(r"epoch \d+/500 ", marks=pytest.mark.full)]
)
def test_ctrl_c_beside_something_that_moves_leaves_a_clean_terminal(start: Start, moving: str) -> None:
    terminal = start("fit", *SMALL[:2], "training.epochs=500", "model.filters=[4,4]", "--out", "run")
    terminal.until(lambda t: any(re.search(moving, line) for line in t.lines))
    terminal.press("\x03")
    assert terminal.end() == 130
    assert clean(terminal)
    assert any(line.startswith("conviction: ") for line in terminal.lines)


def test_a_question_waits_below_what_it_offers(start: Start) -> None:
    terminal = start("learn", "quiz", "training")
    asked(terminal, r"(a/b[c-d/]*\?) ?\w?", 1)
    assert clean(terminal)
    terminal.press("a\n")
    asked(terminal, r"(a/b[c-d/]*\?) ?\w?", 2)
    terminal.press("\x03")
    assert terminal.end() == 130
    assert clean(terminal)


@pytest.mark.full
def test_a_table_of_trials_goes_when_they_are_done(start: Start) -> None:
    terminal = start("explore", *SMALL, "--question", "kernel", "--seeds", "2", "--out", "study")
    assert terminal.end() == 0, terminal.lines
    assert clean(terminal)


@pytest.mark.full
def test_ctrl_c_takes_the_table_of_trials_away(start: Start) -> None:
    terminal = start("explore", *SMALL, "--question", "kernel", "--seeds", "2", "--out", "study")
    terminal.until(lambda t: any("runs done" in line for line in t.lines))
    terminal.press("\x03")
    assert terminal.end() == 130
    assert clean(terminal)
    assert not any("runs done" in line for line in terminal.lines)
