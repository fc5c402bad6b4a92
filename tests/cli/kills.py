"""Kills a run at moments of its life until it is done; shared by the tests and ``make bench-kill``."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.patience import PATIENCE

# Short and with state of every kind: dropout, moving averages, a schedule, augmentation, early stopping that does not
# come. A checkpoint after every call, so that most of the time is spent within the writing of one.
KEYS = (
    "recipe=lab",
    "model.filters=[4]",
    "model.dense=[8]",
    "model.dropout=0.2",
    "model.batch_norm=true",
    "augmentation.shift=0.1",
    "training.epochs=3",
    "training.ema=0.9",
    "training.schedule=one_cycle",
    "training.early_stopping=50",
    "training.checkpoint_steps=1",
)


def kill_once(command: list[str], run: Path, cwd: Path, env: Mapping[str, str], rng: random.Random) -> bool:
    """Starts a command and kills it at a random moment; whether it died of that, and had not ended before.

    The moment is some time after one of the first files has appeared: the specification, or a checkpoint that was not
    there before. Within that stretch files are being written nearly all the time.
    """
    before = _checkpoints(cwd / run)
    wanted = rng.choice(["config", "checkpoint", "checkpoint", "checkpoint"])
    process = subprocess.Popen(
        [sys.executable, "-m", "conviction", *command],
        cwd=cwd,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while process.poll() is None:
            seen = (
                (cwd / run / "config.yaml").is_file()
                if wanted == "config"
                else _checkpoints(cwd / run) != before
            )
            if seen:
                time.sleep(rng.uniform(0, 0.25))
                break
            time.sleep(0.001)
        process.kill()
    finally:
        _, err = process.communicate(timeout=PATIENCE)
    if process.returncode in (0, -9):
        return process.returncode == -9
    raise AssertionError(f"{command} ended with {process.returncode}: {err}")


def _checkpoints(run: Path) -> set[str]:
    place = run / "checkpoints"
    return {p.name for p in place.iterdir() if p.suffix == ".ckpt"} if place.is_dir() else set()


def kill_until_done(
    source: str, cwd: Path, env: Mapping[str, str], kills: int, *, seed: int, keys: Sequence[str] = KEYS
) -> int:
    """Makes a run in ``cwd / "run"``, killing it at most so often on its way; how often it was killed."""
    rng = random.Random(seed)
    run = Path("run")
    begin = ["fit", source, *keys, "--out", str(run)]
    died = 0
    for _ in range(kills):
        begun = (cwd / run / "config.yaml").is_file() and (cwd / run / "data.json").is_file()
        if not kill_once(["resume", str(run)] if begun else begin, run, cwd, env, rng):
            return died
        died += 1
    begun = (cwd / run / "config.yaml").is_file() and (cwd / run / "data.json").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "conviction", *(["resume", str(run)] if begun else begin)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return died


def fingerprint(run: Path) -> dict[str, str]:
    """What must not depend on whether a run was interrupted: its history, and its weights."""
    with zipfile.ZipFile(run / "model.keras") as model:
        weights = hashlib.sha256(model.read("model.weights.h5")).hexdigest()
    return {"history": (run / "history.csv").read_text(), "weights": weights}
