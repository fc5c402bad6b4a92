"""What is installed: without extras it predicts and serves, and everything else says in one line what it needs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import conviction
from conviction.extras import EXTRAS, missing_package
from tests.conftest import Exports, environment, flowers
from tests.patience import PATIENCE
from tests.without_extras import ONLY, ROOT, modules_without_extras

TRAINS = "pip install 'conviction[tensorflow]'"
WITHOUT = {
    "predict": ("predict", "model.onnx", "one.png"),
    "keys": ("keys", "rate"),
    "runs": ("runs",),
    "mistakes": ("mistakes", "run"),
    "suspects": ("suspects", "run"),
    "doctor": ("doctor",),
    "cache": ("cache",),
    "version": ("--version",),
    "help": ("fit", "--help"),
}
WITH = {
    "fit": ("fit", "digits"),
    "resume": ("resume", "run", "training.epochs=9"),
    "evaluate": ("evaluate", "run"),
    "report": ("report", "run"),
    "compare": ("compare", "run", "other"),
    "threshold": ("threshold", "run"),
    "inspect": ("inspect", "digits"),
    "summary": ("summary", "digits"),
    "explore": ("explore", "digits", "--question", "kernel"),
    "tune": ("tune", "digits"),
    "export": ("export", "run"),
    "explain": ("explain", "run", "one.png"),
    "predict with a run": ("predict", "run", "one.png"),
    "learn": ("learn",),
}


PYTHON = """
import conviction
run = conviction.load_run("run")
for call in (
    lambda: conviction.fit("digits"),
    lambda: conviction.inspect("digits"),
    lambda: run.model,
    lambda: run.history,
):
    try:
        call()
    except conviction.ConvictionError as failure:
        print(failure)
"""


@pytest.fixture
def place(tmp_path: Path, trained: Path, exported: Exports) -> Path:
    for name in ("run", "other"):
        shutil.copytree(trained, tmp_path / name)
    shutil.copy(exported("onnx"), tmp_path / "model.onnx")
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    return tmp_path


def without_extras(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ONLY, ",".join(sorted(modules_without_extras())), *arguments],
        cwd=place,
        env=environment(place / "home"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("name", WITHOUT)
def test_what_works_without_extras(name: str, place: Path) -> None:
    done = without_extras(place, *WITHOUT[name])
    assert done.returncode == 0, done.stderr
    if name == "doctor":
        assert TRAINS in done.stdout


@pytest.mark.parametrize("name", WITH)
def test_what_needs_an_extra_says_which_in_one_line(name: str, place: Path) -> None:
    done = without_extras(place, *WITH[name])
    assert done.returncode == 2
    assert TRAINS in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(p.name for p in place.iterdir() if p.name != "home") == [
        "model.onnx",
        "one.png",
        "other",
        "run",
    ]


def test_python_says_it_too(place: Path) -> None:
    code = ONLY.removesuffix("from conviction.cli.main import main\nmain()\n") + PYTHON
    done = subprocess.run(
        [sys.executable, "-c", code, ",".join(sorted(modules_without_extras()))],
        cwd=place,
        env=environment(place / "home"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("'conviction[tensorflow]'" in line for line in lines)


def test_a_module_that_no_extra_brings_is_a_fault_of_ours() -> None:
    assert (
        missing_package(
            ModuleNotFoundError("No module named 'conviction.nowhere'", name="conviction.nowhere")
        )
        is None
    )
    assert missing_package(ModuleNotFoundError()) is None


def test_every_extra_that_is_named_exists() -> None:
    assert {extra for _, extra in EXTRAS.values()} <= set(project()["optional-dependencies"])


def instructions(name: str) -> list[str]:
    """What follows each ``name`` in the Dockerfile, continued lines joined."""
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]


def test_the_image_has_what_it_installs_and_starts_a_server(place: Path, tmp_path: Path) -> None:
    """Its own commands, without Docker: what is copied is all there is, and the entry point takes its options."""
    context = tmp_path / "context"
    context.mkdir()
    for copied in instructions("COPY"):
        *sources, _ = copied.split()
        for source in sources:
            (context / source).symlink_to(ROOT / source)
    (install,) = [line for line in instructions("RUN") if line.startswith("pip install")]
    assert "--constraint constraints.txt ." in install
    for named in ("constraints.txt", "pyproject.toml", *project()["license-files"], project()["readme"]):
        assert (context / named).is_file(), named
    assert (context / "src" / "conviction").is_dir()
    entry, extra = json.loads(instructions("ENTRYPOINT")[0]), json.loads(instructions("CMD")[-1])
    command = [str(place / "model.onnx") if word == "/model/model.onnx" else word for word in entry + extra]
    command[command.index("8000")] = "0"
    command[command.index("0.0.0.0")] = "127.0.0.1"
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            address = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
            (check,) = instructions("HEALTHCHECK")
            assert f"{address.rstrip('/')}/readyz".endswith(check.split("8000")[1].split("'")[0])
            assert httpx.get(f"{address}/readyz", timeout=PATIENCE, trust_env=False).status_code == 200
        finally:
            server.terminate()


def project() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def clean_environment(folder: Path, extras: str = "") -> Path:
    """A new environment with the wheel and what it brings."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    for arguments in (
        ["build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT)],
        ["venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
    ):
        subprocess.run([uv, *arguments], check=True, timeout=PATIENCE)
    (wheel,) = (folder / "dist").glob("*.whl")
    options = ["--quiet", "--python", str(folder / "venv"), "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([uv, "pip", "install", *options, f"{wheel}{extras}"], check=True, timeout=PATIENCE)
    return folder / "venv"


def kinds_of_output(notebook: Path) -> list[list[list[str]]]:
    """What each cell of code shows, without its content."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    return [[sorted(o.get("data", [o["output_type"]])) for o in cell["outputs"]] for cell in cells]


@pytest.mark.full
def test_the_tutorials_run_from_a_wheel_in_a_clean_environment(tmp_path: Path) -> None:
    installed = clean_environment(tmp_path, "[tensorflow,export,notebook,transfer]")
    clean = {
        **environment(tmp_path / "home"),
        "PATH": f"{installed / 'bin'}{os.pathsep}{os.defpath}",
        "CONVICTION_CACHE": str(tmp_path / "cache"),
    }
    tutorials = ROOT / "docs" / "tutorials"
    notebooks = sorted(tutorials.glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        copy = tmp_path / notebook.name
        shutil.copy(notebook, copy)
        command = [installed / "bin" / "python", ROOT / "scripts" / "notebooks.py", copy]
        done = subprocess.run(
            command, env=clean, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert kinds_of_output(copy) == kinds_of_output(notebook)
    flowers(tmp_path / "flowers")
    page = (tutorials / "photographs.md").read_text()
    for line in "".join(re.findall("^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)).splitlines():
        if line.startswith("conviction ") and not line.startswith("conviction serve"):
            words = shlex.split(line)
            command = [installed / "bin" / words[0], *words[1:]]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=clean,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.full
def test_a_wheel_predicts_and_serves_in_a_clean_environment(place: Path, tmp_path: Path) -> None:
    installed = clean_environment(tmp_path / "installed")
    size = sum(p.stat().st_size for p in installed.rglob("*") if p.is_file() and not p.is_symlink())
    assert size < 300e6
    command = str(installed / "bin" / "conviction")
    where: dict[str, Any] = {"cwd": place, "env": {**environment(place / "home"), "PATH": os.defpath}}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments], **where, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version").strip() == f"conviction {conviction.__version__}"
    (answer,) = json.loads(run("predict", "model.onnx", "one.png", "--json"))["predictions"]
    with Image.open(place / "one.png") as picture:
        expected = conviction.load(place / "model.onnx").predict(picture)
    assert answer["label"] == expected.labels[0]
    asked = [command, "serve", "model.onnx", "--port", "0"]
    with subprocess.Popen(asked, **where, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
            files = {"files": (place / "one.png").read_bytes()}
            response = httpx.post(f"{address}/v1/predict", files=files, timeout=PATIENCE, trust_env=False)
            assert response.json()["predictions"][0]["label"] == answer["label"]
        finally:
            server.terminate()


@pytest.mark.full
def test_a_wheel_trains_on_jax_without_tensorflow(tmp_path: Path) -> None:
    installed = clean_environment(tmp_path / "installed", "[jax]")
    assert not list(installed.glob("lib/python*/site-packages/tensorflow*"))
    where: dict[str, Any] = {
        "cwd": tmp_path,
        "env": {**environment(tmp_path / "home"), "PATH": os.defpath},
        "capture_output": True,
        "text": True,
        "timeout": PATIENCE,
    }

    def run(*arguments: str, code: int = 0) -> str:
        command = [installed / "bin" / "python", "-m", "conviction", *arguments]
        done = subprocess.run(command, **where, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "jax" in run("doctor")
    out = run("fit", "digits", "recipe=fast", "training.epochs=2", "--out", "run")
    assert "Test accuracy" in out
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    run("evaluate", "run")
    run("explain", "run", "one.png")
    run("export", "run", "--format", "keras", "--out", "exported")
    (model,) = (tmp_path / "exported").glob("*.keras")
    assert run("predict", str(model), "one.png") == run("predict", "run", "one.png")
    refused = run("export", "run", "--format", "saved_model", "--out", "other", code=2)
    assert "saved_model: needs TensorFlow: pip install 'conviction[tensorflow]'" in refused
    assert "Traceback" not in refused
