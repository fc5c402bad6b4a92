"""What many tests share: the real command line in a subprocess, small images, one trained run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell starts what runs in the background with SIGINT ignored, and children inherit that; tests interrupt both.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVICTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tests' own ledger, and none of the variables that would change what a command does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONVICTION_", "KERAS_", "TF_"))}
    data = os.environ.get("CONVICTION_DATA_DIR")
    if data:
        clean["CONVICTION_DATA_DIR"] = data
    return {
        **clean,
        "CONVICTION_HOME": str(home),
        "CONVICTION_CACHE": os.environ["CONVICTION_CACHE"],
        **(extra or {}),
    }


def run_cli(*arguments: str | Path, cwd: Path, home: Path, env: Mapping[str, str] | None = None) -> Result:
    """The command as a user's shell would start it."""
    done = subprocess.run(
        [sys.executable, "-m", "conviction", *map(str, arguments)],
        cwd=cwd,
        env=environment(home, env),
        capture_output=True,
        text=True,
        timeout=900,  # whole data sets on a busy machine
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs the command line in ``tmp_path`` with a ledger of its own."""

    def call(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
        return run_cli(*arguments, cwd=tmp_path, home=tmp_path / "home", env=env)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of ``conviction fit digits``, exactly as ``make demo`` makes it."""
    place = tmp_path_factory.mktemp("trained")
    result = run_cli("fit", "digits", "--out", "run", cwd=place, home=place / "home")
    assert result.code == 0, result.err
    (place / "stdout.txt").write_text(result.out)
    (place / "stderr.txt").write_text(result.err)
    return place / "run"


def picture(seed: int, label: int, size: tuple[int, int] = (20, 20)) -> np.ndarray:
    """A noisy RGB picture (h, w, 3) whose class shows: class 0 is bright on top, class 1 on the left, ..."""
    rng = np.random.default_rng([seed, label])
    pixels = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
    half = [np.s_[: size[0] // 2], np.s_[:, : size[1] // 2], np.s_[size[0] // 2 :]][label % 3]
    pixels[half] += 120
    return pixels


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes an image folder of PNG files, ``per_class`` pictures in each class."""

    def make(name: str = "pictures", classes: tuple[str, ...] = ("cat", "dog"), per_class: int = 20) -> Path:
        for label, class_name in enumerate(classes):
            folder = tmp_path / name / class_name
            folder.mkdir(parents=True)
            for i in range(per_class):
                Image.fromarray(picture(i, label)).save(folder / f"{i}.png")
        return tmp_path / name

    return make
