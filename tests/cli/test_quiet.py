"""--quiet prints the folder alone, for scripts; and the shell completes."""

from __future__ import annotations

from pathlib import Path

import pytest

import conviction
from tests.conftest import Cli

SMALL = ("training.epochs=1", "model.filters=[4]", "model.dense=[8]")


def test_fit_and_resume_print_the_folder_alone(cli: Cli, tmp_path: Path) -> None:
    for arguments in (("fit", "digits", *SMALL, "--out", "run"), ("resume", "run", "training.epochs=2")):
        done = cli(*arguments, "--quiet")
        assert (done.code, done.out, done.err) == (0, "run\n", "")
    assert len(conviction.load_run(tmp_path / "run").history) == 2


@pytest.mark.full
@pytest.mark.parametrize(
    "command",
    [
        ("explore", "--question", "kernel", "--seeds", "1"),
        ("tune", "--trials", "2", "--confirm", "1", "--no-test"),
    ],
    ids=lambda command: command[0],
)
def test_studies_print_the_folder_alone(command: tuple[str, ...], cli: Cli) -> None:
    name, *options = command
    done = cli(name, "digits", *SMALL, *options, "--out", "study", "-q")
    assert (done.code, done.out, done.err) == (0, "study\n", "")


def test_what_is_wrong_is_still_said(cli: Cli) -> None:
    done = cli("fit", "nothing", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert "nothing" in done.err


def test_the_shell_completes_commands(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CONVICTION_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "conviction sus")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert cli().out.split() == ["suspects"]
