"""``show="log"``: what is shown elsewhere goes to Python's logging, and nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import conviction
from conviction.reporting import board


def test_a_run_is_logged_line_by_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = {"recipe": "lab", "training.epochs": 2, "model.filters": [4]}
    with caplog.at_level(logging.INFO, "conviction"):
        conviction.fit("digits", keys, out=tmp_path / "run", show="log")
    assert capfd.readouterr() == ("", "")
    assert {(r.name, r.levelno) for r in caplog.records} == {("conviction", logging.INFO)}
    lines = [r.getMessage() for r in caplog.records]
    assert not any("\n" in line or "\x1b" in line or line != line.rstrip() or not line for line in lines)
    text = "\n".join(lines)
    for words in ("Load", "Audit", "Train", "Evaluate", "val_accuracy", "Test accuracy"):
        assert words in text, text
    run = conviction.load_run(tmp_path / "run")
    for row in run.epoch_rows:
        assert f"{row.accuracy:.2%}" in text


def test_without_a_handler_at_this_level_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    conviction.inspect("digits", show="log")
    assert capfd.readouterr() == ("", "")


def test_the_runs_of_a_study_are_logged_as_they_end(caplog: pytest.LogCaptureFixture) -> None:
    shown = board("log")
    with caplog.at_level(logging.INFO, "conviction"):
        shown.begin(3, 1)
        shown.epoch("base/0", "base", {"epoch": 1, "val_accuracy": 0.25})
        shown.ended("base/0", "base", {"failure": "took longer than 1 s", "seconds": 1.0})
        shown.close()
    assert [r.getMessage().strip() for r in caplog.records] == [
        "1 of 3 runs are already finished; continuing.",
        "2 of 3  base, seed 0: failed: took longer than 1 s",
    ]
