"""A call leaves the process as it found it, and finds in it what it needs, whatever the user has set."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conviction
from conviction import errors
from conviction.backend import import_keras
from conviction.process import POLICY, SETTINGS, default_variable, process_restored
from conviction.reporting.steps import Step, Table
from conviction.reporting.terminal import Terminal
from tests.conftest import Cli, environment, run_cli
from tests.data import builders

ROOT = Path(__file__).parent.parent
NEEDED = {**SETTINGS, "dtype_policy": POLICY}
QUICK = ["training.epochs=1", "model.filters=[4,4]", "model.dense=[16]"]


def python(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    whole = {**environment(cwd / "home", env), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=whole, capture_output=True, text=True, check=False
    )


@pytest.fixture
def keras_of_a_user() -> Any:
    """Keras with settings that no run should have; they are put back afterwards."""
    keras = import_keras()
    ours = {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first"}
    before = {name: getattr(keras.config, name)() for name in (*ours, "dtype_policy")}
    for name, value in (*ours.items(), ("dtype_policy", "float16")):
        getattr(keras.config, f"set_{name}")(value)
    yield keras
    for name, value in before.items():
        getattr(keras.config, f"set_{name}")(value)


def settings(keras: Any) -> dict[str, Any]:
    found = {name: getattr(keras.config, name)() for name in SETTINGS}
    return {**found, "dtype_policy": keras.config.dtype_policy().name}


def test_what_libraries_share_is_restored_also_after_a_failure(keras_of_a_user: Any) -> None:
    def shared() -> list[Any]:
        return [
            dict(os.environ),
            list(warnings.filters),
            random.getstate(),
            str(np.random.get_state()),
            multiprocessing.get_start_method(allow_none=True),
            settings(keras_of_a_user),
        ]

    before = shared()

    @process_restored()
    def planted() -> None:
        default_variable("CONVICTION_OF_THE_TESTS", "1")
        os.environ.pop("PATH")
        warnings.simplefilter("ignore")
        random.seed(1)
        np.random.seed(1)
        multiprocessing.set_start_method("spawn", force=True)
        with process_restored():
            assert settings(import_keras()) == NEEDED
        assert settings(import_keras()) == NEEDED  # the outermost call restores
        raise errors.TrainingError("planted")

    with pytest.raises(errors.TrainingError):
        planted()
    assert shared() == before


def test_of_calls_beside_one_another_the_last_one_restores(keras_of_a_user: Any) -> None:
    mine = settings(keras_of_a_user)
    begun, end = threading.Event(), threading.Event()
    beside: list[dict[str, Any]] = []

    @process_restored()
    def call() -> None:
        beside.append(settings(import_keras()))
        begun.set()
        end.wait()
        beside.append(settings(import_keras()))

    def work() -> None:
        keras_of_a_user.config.set_dtype_policy("mixed_bfloat16")  # Keras has one for each thread
        call()
        beside.append(settings(keras_of_a_user))

    thread = threading.Thread(target=work)
    with process_restored():
        thread.start()
        begun.wait()
    assert settings(keras_of_a_user) == {**NEEDED, "dtype_policy": "float16"}
    end.set()
    thread.join()
    assert beside == [NEEDED, NEEDED, {**mine, "dtype_policy": "mixed_bfloat16"}]
    assert settings(keras_of_a_user) == mine


@pytest.mark.parametrize(
    "error",
    [
        *(e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.ConvictionError)),
    ],
)
def test_errors_come_out_of_a_child_process_as_they_are(error: type[errors.ConvictionError]) -> None:
    was = error("why", signal.SIGTERM) if error is errors.Interrupted else error("why")
    came = pickle.loads(pickle.dumps(was))
    assert (type(came), str(came), came.exit_code) == (error, "why", was.exit_code)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("theano", "expected tensorflow or jax", marks=pytest.mark.full),
        ("tensorfow", "Did you mean 'tensorflow'?"),
        pytest.param("torch", "expected tensorflow or jax", marks=pytest.mark.full),
    ],
)
def test_a_backend_that_cannot_be_is_refused_in_a_line(cli: Cli, name: str, reason: str) -> None:
    refused = cli("fit", "digits", *QUICK, "--out", "run", env={"KERAS_BACKEND": name})
    assert (refused.code, len(refused.err.splitlines())) == (2, 1), refused.err
    assert f"KERAS_BACKEND={name}" in refused.err
    assert reason in refused.err


def test_letters_that_an_encoding_lacks_do_not_end_a_command(cli: Cli, tmp_path: Path) -> None:
    pictures = folder_of(tmp_path, "кошка", "собака")
    shown = cli("inspect", pictures, env={"PYTHONIOENCODING": "cp1252"})
    assert shown.code == 0, shown.err
    assert "?????" in shown.out
    assert shown.err.splitlines()[-1].startswith("conviction: some letters are shown as '?'")


def test_a_stream_of_python_takes_every_letter() -> None:
    raw = io.BytesIO()
    terminal = Terminal(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    terminal.step(Step("Data", ("кошка",), Table(("class",), (("кошка",),))))
    terminal.close()
    assert raw.getvalue().decode("ascii").count("?????") == 2


def folder_of(place: Path, *names: str) -> Path:
    for label, name in enumerate(names):
        (place / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            (place / "pictures" / name / f"{i}.png").write_bytes(builders.png(builders.image(label, i)))
    return place / "pictures"


@pytest.mark.full
def test_a_plain_call_gives_the_same_before_and_after_each_public_function(tmp_path: Path) -> None:
    from tests.calls import public_functions  # which imports all that a user would

    named = {*conviction.__all__} - {"ConvictionError", "__version__"}
    assert named <= {*public_functions()}
    done = python("-m", "tests.calls", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    differences = json.loads(done.stdout.splitlines()[-1])
    assert {*differences} == {*public_functions()}
    assert differences == {name: {} for name in differences}


FIRST = """
import conviction
from conviction.reporting.terminal import Silent
small = {"training.epochs": 1, "model.filters": [4, 4], "model.dense": [16]}
for threads in (1, 2, 3):
    conviction.fit("digits", {**small, "training.threads": threads}, out=str(threads), show=Silent())
import os, keras, numpy as np
assert "KERAS_BACKEND" not in os.environ
model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])
model.compile(loss="mse")
model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
"""


@pytest.mark.full
def test_runs_with_other_threads_follow_one_another_and_plain_keras_follows_them(tmp_path: Path) -> None:
    done = python("-c", FIRST, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for threads in (1, 2, 3):
        asked = ["fit", "digits", *QUICK, f"training.threads={threads}", "--out", f"cli-{threads}"]
        assert run_cli(*asked, cwd=tmp_path, home=tmp_path / "home").code == 0
        of_python, of_cli = (tmp_path / name / "history.csv" for name in (f"{threads}", f"cli-{threads}"))
        assert of_python.read_bytes() == of_cli.read_bytes()


STOPPED = """
import os, signal, sys
import conviction
from conviction.reporting.terminal import Silent

class Stops(Silent):
    def epoch_done(self, row, timing):
        os.kill(os.getpid(), signal.SIGINT)

threads = 1 if len(os.sched_getaffinity(0)) > 1 else 2
small = {"training.epochs": 200, "model.filters": [4, 4], "training.threads": threads}
try:
    conviction.fit("digits", small, out="run", show=Stops())
except conviction.ConvictionError as stopped:
    print(stopped.exit_code, stopped)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
run = conviction.resume("run", {"training.epochs": len(conviction.load_run("run").epoch_rows) + 1}, show=Silent())
print(run.status)
try:
    conviction.fit("nowhere", small, out="other", show=Silent())
except conviction.ConvictionError as refused:
    print(refused.exit_code, refused)
"""


@pytest.mark.full
def test_ctrl_c_and_errors_pass_between_the_processes(tmp_path: Path) -> None:
    done = python("-c", STOPPED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("130 SIGINT stopped training after")
    assert lines[1] == "done"
    assert lines[2].startswith("2 'nowhere' is neither")


@pytest.mark.full
def test_the_settings_of_a_user_do_not_change_the_result(cli: Cli, tmp_path: Path) -> None:
    histories = set()
    for name, asked in (
        ("none", {}),
        ("first", {"image_data_format": "channels_first", "backend": "torch", "epsilon": 0.1}),
        ("half", {"floatx": "float16"}),
        ("double", {"floatx": "float64", "dtype_policy": "mixed_float16"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keras.json").write_text(json.dumps(asked))
        done = cli("fit", "digits", *QUICK, "--out", f"run-{name}", env={"KERAS_HOME": str(tmp_path / name)})
        assert done.code == 0, done.err
        histories.add((tmp_path / f"run-{name}" / "history.csv").read_bytes())
    assert len(histories) == 1


@pytest.mark.full
def test_a_class_that_the_terminal_cannot_show_is_trained(cli: Cli, tmp_path: Path) -> None:
    pictures = folder_of(tmp_path, "кошка", "собака")
    done = cli("fit", pictures, *QUICK, "--out", "run", env={"PYTHONIOENCODING": "cp1252"})
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "data.json").read_text())["class_names"] == ["кошка", "собака"]
