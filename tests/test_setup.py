"""Set-up: which Pythons are taken, what is said where it cannot work, a fresh clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent


def stub(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def venv_script(tmp_path: Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "venv.sh"), str(tmp_path / "venv"), "."],
        cwd=ROOT,
        env={"PATH": path, "HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_python_without_a_tensorflow_is_refused_in_one_line(tmp_path: Path) -> None:
    stub(tmp_path, "python3", '[ "$1" = --version ] && echo "Python 3.14.1"; [ "$1" = --version ]')
    for name in ("sh", "echo"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    done = venv_script(tmp_path, str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "found Python 3.14.1" in done.stderr


def test_a_debian_without_venv_says_which_package_to_install(tmp_path: Path) -> None:
    # Answers the version checks as the real one does, and fails as Debian's does without ensurepip.
    stub(tmp_path, "python3", f'[ "$1" = -m ] && exit 1; exec {sys.executable} "$@"')
    done = venv_script(tmp_path, f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt install python{version}-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_where_venv_fails_virtualenv_is_tried(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stub(
        tmp_path,
        "python3",
        f'echo "$@" >> {log}; [ "$2" = venv ] && exit 1; [ "$2" = virtualenv ] && exit 0; exec {sys.executable} "$@"',
    )
    venv_script(tmp_path, f"{tmp_path}:/usr/bin:/bin")
    assert "-m virtualenv" in log.read_text()


def test_supported_pythons_are_said_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "scripts" / "venv.sh").read_text()


def test_constraints_pin_everything_and_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[A-Za-z0-9._-]+==[^ ]+( ;.*)?$", line) for line in lines)
    pinned = {re.split(r"==", line)[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=\[]", need)[0].lower().replace("_", "-") for need in wanted}
    assert names <= pinned


@pytest.mark.full
def test_make_demo_from_a_fresh_clone(tmp_path: Path) -> None:
    """Nothing but git, make and a Python; the environment is empty."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    keep = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "HTTP", "SSL", "http", "https"))}
    done = subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"],
        cwd=tmp_path / "clone",
        env={**keep, "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Test accuracy 9" in done.stdout
    assert (tmp_path / "clone" / "runs" / "digits-fast-1" / "report.html").is_file()
