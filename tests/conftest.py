"""What many tests share: the real command line in a subprocess, small images, one trained run."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

from tests.patience import PATIENCE
from tests.zygote import READ_AT_IMPORT, Zygote

# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell starts what runs in the background with SIGINT ignored, and children inherit that; tests interrupt both.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """``-n auto`` is a process more than there are processors: each waits for commands and browsers at times."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of whoever runs the tests, or counts in their ledger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVICTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("CONVICTION_HOME", str(tmp_path_factory.mktemp("home")))
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

# What XLA compiles in a test runs for moments: without its optimizations, compiling takes a third less.
ON_JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}


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


ZYGOTE = Zygote()


@pytest.fixture(scope="session", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    ZYGOTE.close()


def run_cli(
    *arguments: str | Path,
    cwd: Path,
    home: Path,
    env: Mapping[str, str] | None = None,
    largest_file: int | None = None,
    afresh: bool = False,
) -> Result:
    """The command as a user's shell would start it, but for imports that have been made already.

    Args:
        arguments: Of the command.
        cwd: Where it runs.
        home: Its ledger and settings.
        env: Variables besides.
        largest_file: Fails larger writes as a full disk does.
        afresh: Imports included.
    """
    words = [str(a) for a in arguments]
    whole = environment(home, env)
    fixed = any(name.startswith(READ_AT_IMPORT) for name in env or {})
    if afresh or fixed or largest_file is not None or not hasattr(os, "fork"):
        return _run_afresh(words, cwd, whole, largest_file)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        code = ZYGOTE.run(words, cwd, whole, out, err)
        # A command to type again has a name that is not Unicode as its bytes.
        texts = [path.read_text(encoding="utf-8", errors="surrogateescape") for path in (out, err)]
        return Result(code, *texts)


def _run_afresh(words: list[str], cwd: Path, whole: Mapping[str, str], largest_file: int | None) -> Result:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    done = subprocess.run(
        [sys.executable, "-m", "conviction", *words],
        cwd=cwd,
        env=whole,
        capture_output=True,
        text=True,
        timeout=PATIENCE,  # whole data sets on a busy machine
        # Only where it is needed: with it Python forks, which a process that runs JAX should not do.
        preexec_fn=None if largest_file is None else limit,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs the command line in ``tmp_path`` with a ledger of its own."""

    def call(*arguments: str | Path, **how: Any) -> Result:
        return run_cli(*arguments, cwd=tmp_path, home=tmp_path / "home", **how)

    return call


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of the processes that run the tests makes, and that all of them read."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of ``conviction fit digits``, exactly as ``make demo`` makes it."""

    def fit(folder: Path) -> None:
        result = run_cli("fit", "digits", "--out", "run", cwd=folder, home=folder / "home", afresh=True)
        assert result.code == 0, result.err
        (folder / "stdout.txt").write_text(result.out)
        (folder / "stderr.txt").write_text(result.err)

    return made_once(tmp_path_factory, "trained", fit) / "run"


@pytest.fixture(scope="session")
def transferred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a frozen backbone under a new output layer, for 72 small pictures of three colours."""

    def fit(folder: Path) -> None:
        coloured_pictures(folder / "pictures")
        keys = ["recipe=transfer", "data.image_size=32", "training.epochs=20", "training.learning_rate=0.01"]
        result = run_cli("fit", "pictures", *keys, "--out", "run", cwd=folder, home=folder / "home")
        assert result.code == 0, result.err

    return made_once(tmp_path_factory, "transferred", fit) / "run"


def coloured_pictures(folder: Path) -> None:
    """An image folder of 24 pictures of 40x52 pixels in each of three colours."""
    for label, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(24):
            rng = np.random.default_rng([i, label])
            pixels = rng.integers(0, 120, (40, 52, 3), dtype=np.uint8)
            pixels[..., label] += rng.integers(60, 130, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


FORMATS = ("onnx", "litert", "saved_model", "keras")
# The formats that take longest to convert to are left to the full tier.
each_format = pytest.mark.parametrize(
    "name",
    [pytest.param(f, marks=[pytest.mark.full] if f in ("litert", "saved_model") else []) for f in FORMATS],
)


# By the name of a format.
Exports = Callable[[str], Path]


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """What ``conviction export`` makes of that run, each format when it is first asked for."""

    def export(name: str, folder: Path) -> None:
        result = run_cli(
            "export", trained, "--format", name, "--out", "exports", cwd=folder, home=folder / "home"
        )
        assert result.code == 0, result.err

    def of_format(name: str) -> Path:
        folder = made_once(tmp_path_factory, f"exported-{name}", partial(export, name))
        return artefact(folder / "exports", name)

    return of_format


def artefact(folder: Path, name: str) -> Path:
    """The file or folder of a format in a folder of exports."""
    suffixes = {"onnx": "model.onnx", "litert": "model.tflite", "keras": "model.keras"}
    return folder / suffixes.get(name, name)


def picture(seed: int, label: int, size: tuple[int, int] = (20, 20)) -> np.ndarray:
    """A noisy RGB picture (h, w, 3) whose class shows: class 0 is bright on top, class 1 on the left, ..."""
    rng = np.random.default_rng([seed, label])
    pixels = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
    half = [np.s_[: size[0] // 2], np.s_[:, : size[1] // 2], np.s_[size[0] // 2 :]][label % 3]
    pixels[half] += 120
    return pixels


def flowers(folder: Path) -> None:
    """The pictures that examples of the documentation take for a reader's own: 30 in each of two classes."""
    for label, name in enumerate(["rose", "tulip"]):
        (folder / name).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(picture(i, label)).save(folder / name / f"{i}.jpg")


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


# A camera that shows a test picture, and a Chromium that does not ask whether a page may use it.
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium; by module, because Playwright's event loop would be in the way of tests that start one."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium for the browser tests: apt-get install chromium")
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *CAMERA])
        yield chromium
        chromium.close()
