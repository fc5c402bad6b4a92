"""Signals, a full disk, a reader that goes away: what there is stays, and a line says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import conviction
from tests.conftest import Cli, environment
from tests.patience import PATIENCE


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "conviction", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[:1] == [str(epoch)] and "%" in line:
            return
    pytest.fail("training ended before the epoch")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.full)]
)
def test_a_signal_keeps_what_there_is(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path, "fit", "digits", "training.epochs=500", "model.filters=[4]", "--out", "run")
    wait_for_epoch(process, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert err.startswith(f"conviction: {signal.Signals(number).name} stopped training after ")
    assert len(err.strip().splitlines()) == 1
    run = conviction.load_run(tmp_path / "run")
    assert run.status == "interrupted"
    assert len(run.epoch_rows) >= 2
    assert run.model.count_params() > 0
    assert "Stopped early" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "home" / "openings.jsonl").exists()


IN_AN_EXEC = """
    exec("raise KeyboardInterrupt")
"""
IN_A_CALLBACK = """
    thing = type("Thing", (), {})()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    threading.Event().wait()
"""
IN_A_CALLBACK_OF_A_SEARCH = """
    with going_on(Path("searched")):
        thing = type("Thing", (), {"__del__": lambda _: signal.raise_signal(signal.SIGTERM)})()
        del thing
        threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        # Python would end by the signal itself, as it does when nothing catches it.
        (IN_AN_EXEC, 130, "Stopped by SIGINT.\n"),
        # Python would drop it.
        (IN_A_CALLBACK, 130, "Stopped by SIGINT.\n"),
        (IN_A_CALLBACK_OF_A_SEARCH, 143, "Stopped. What is finished is kept in searched; "),
    ],
    ids=["exec", "callback", "search"],
)
def test_a_signal_where_python_treats_it_in_its_own_way(
    tmp_path: Path, body: str, code: int, message: str
) -> None:
    head = """
import signal, threading, weakref
from pathlib import Path
import conviction.cli.main as command
from conviction.experiments.request import going_on
def app(**options):"""
    (tmp_path / "planted.py").write_text(f"{head}{body}command.app = app\ncommand.main()\n")
    done = subprocess.run(
        [sys.executable, "-m", "planted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.startswith(f"conviction: {message}")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_kill_leaves_only_whole_files(tmp_path: Path) -> None:
    process = start(tmp_path, "fit", "digits", "training.epochs=500", "model.filters=[4]", "--out", "run")
    wait_for_epoch(process, 3)
    process.kill()
    process.communicate(timeout=PATIENCE)
    run = conviction.load_run(tmp_path / "run")
    assert run.status == "unfinished"
    assert len(run.epoch_rows) >= 3
    assert run.data.source == "digits"


def test_a_file_system_without_room_is_a_line_and_nothing_half_written(tmp_path: Path, cli: Cli) -> None:
    done = cli("fit", "digits", "training.epochs=1", "--out", "run", largest_file=200_000)
    assert done.code == 1, done.err
    assert done.err.startswith(
        "conviction: run/checkpoints/000001-000000000.ckpt: could not be written (File too large)"
    )
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "data.json",
    ]
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(tmp_path: Path, cli: Cli) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine allows no mounts")
    try:
        result = cli("fit", "digits", "training.epochs=1", "--out", disk / "run")
        assert result.code == 1
        assert "No space left on device" in result.err
        assert len(result.err.strip().splitlines()) == 1, result.err
        assert "model.keras" not in [p.name for p in (disk / "run").iterdir()]
        assert not [p for p in (disk / "run").iterdir() if p.name.startswith(".")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    process = start(tmp_path, "summary", "digits")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        err = process.stderr.read()
    process.wait(timeout=PATIENCE)
    assert err == ""
