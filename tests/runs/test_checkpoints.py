"""Checkpoints: the same bits back, any damage found, the one before used, nothing half-written."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.errors import OutputError, RunError, StorageError
from conviction.runs import folder
from conviction.runs.checkpoints import clear_leftovers, read_checkpoint, write_checkpoint
from conviction.runs.folder import CHECKPOINTS
from conviction.training import EpochRow, EpochTiming, TrainingState
from tests.patience import PATIENCE

ABOUT = {"specification": {"training": {"epochs": 3}}, "versions": {}, "processor": "x"}


def state(epoch: int = 1, step: int = 0, size: int = 3) -> TrainingState:
    rng = np.random.default_rng([epoch, step])
    return TrainingState(
        epoch=epoch,
        step=step,
        variables={
            "model": [rng.normal(size=size).astype(np.float32), np.array(7, np.int64)],
            "optimizer": [np.array(step)],
            "metrics": [],
        },
        running={"loss": 0.1, "accuracy": 1 / 3, "seconds": 2.0},
        history=[EpochRow(1, 0.1, 0.2, 1e-45, 0.4, 0.5)] * epoch,
        timing=[EpochTiming(1, 1.0, 2.0, 3.0)] * epoch,
        seconds=1.25,
        best=[rng.normal(size=2)],
    )


def same(one: TrainingState, other: TrainingState) -> bool:
    def arrays(s: TrainingState) -> list[np.ndarray]:
        return [*(v for values in s.variables.values() for v in values), *s.best]

    pairs = list(zip(arrays(one), arrays(other), strict=True))
    return (
        (one.epoch, one.step, one.running, one.seconds)
        == (other.epoch, other.step, other.running, other.seconds)
        and list(one.history) == list(other.history)
        and list(one.timing) == list(other.timing)
        and all(a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b) for a, b in pairs)
    )


def test_what_is_read_is_what_was_written_and_two_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        write_checkpoint(tmp_path, state(1, step), ABOUT)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert same(found[0], state(1, 4))
    assert found[1:] == (ABOUT, [])
    names = sorted(p.name for p in (tmp_path / CHECKPOINTS).iterdir())
    assert names == ["000001-000000003.ckpt", "000001-000000004.ckpt"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["cut", "flip", "empty", "zeros"]))
def test_any_damage_is_found_and_the_one_before_is_used(where: int, how: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        write_checkpoint(run, state(1), ABOUT)
        write_checkpoint(run, state(2), ABOUT)
        last = run / CHECKPOINTS / "000002-000000000.ckpt"
        content = bytearray(last.read_bytes())
        at = where % len(content)
        if how == "cut":
            content = content[:at]
        elif how == "flip":
            content[at] ^= 1 + where % 255
        elif how == "empty":
            content = bytearray()
        else:
            content[at:] = bytes(len(content) - at)
        damaged = bytes(content) != last.read_bytes()
        last.write_bytes(content)
        found = read_checkpoint(run)
        assert found is not None
        assert same(found[0], state(1) if damaged else state(2))
        assert found[2] == ([last] if damaged else [])


def test_without_a_whole_one_there_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path, state(), ABOUT)
    next((tmp_path / CHECKPOINTS).iterdir()).write_bytes(b"conviction checkpoint 1\n")
    assert read_checkpoint(tmp_path) is None


def test_what_a_kill_leaves_beside_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, state(), ABOUT)
    for place in (tmp_path, tmp_path / CHECKPOINTS):
        (place / ".bashrc-old").write_text("mine")
    (tmp_path / CHECKPOINTS / ".000001-000000000-k2_x81ab.ckpt").write_bytes(b"half")
    (tmp_path / ".report-k2_x81ab.html").write_text("half")
    (tmp_path / "notes.txt").write_text("mine")
    clear_leftovers(tmp_path)
    left = {"000001-000000000.ckpt", CHECKPOINTS, "notes.txt", ".bashrc-old"}
    assert {p.name for p in tmp_path.rglob("*")} == left


def test_a_place_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, state(1), ABOUT)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises((StorageError, OutputError), match="No space left"):
        write_checkpoint(tmp_path, state(2), ABOUT)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert same(found[0], state(1))
    assert [p.name for p in (tmp_path / CHECKPOINTS).iterdir()] == ["000001-000000000.ckpt"]


def hold(path: str, taken: object, let_go: object) -> None:
    with folder.claimed(Path(path)):
        taken.set()  # type: ignore[attr-defined]
        let_go.wait()  # type: ignore[attr-defined]


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    taken, let_go = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(str(tmp_path), taken, let_go))
    other.start()
    try:
        assert taken.wait(PATIENCE)
        with (
            pytest.raises(RunError, match="another process is working in this folder"),
            folder.claimed(tmp_path),
        ):
            pass
        other.kill()  # a kill gives it up as well
        other.join(PATIENCE)
        with folder.claimed(tmp_path):
            pass
    finally:
        other.kill()
