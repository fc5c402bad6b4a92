"""A disk that is full or read-only, a run that ended before it began, and what a run says of its author's machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from conviction.runs import folder
from tests.conftest import Cli, picture, run_cli
from tests.hostile.test_folders import EXPLORE, SMALL, TUNE, refused

pytestmark = pytest.mark.full


def pictures(path: Path) -> Path:
    for label, name in enumerate(("cat", "dog", "owl")):
        (path / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(picture(i, label, (12, 12))).save(path / name / f"{i}.png")
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(path)], check=False)
    if mounted.returncode:
        pytest.skip("this machine allows no mounts")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("command", [EXPLORE, TUNE], ids=["explore", "tune"])
@pytest.mark.parametrize(
    "room",
    [pytest.param(0, marks=pytest.mark.long), 4096, pytest.param(150_000, marks=pytest.mark.long), 300_000],
)
def test_a_study_on_a_full_disk_goes_on_when_there_is_room_again(
    tmp_path: Path, disk: Path, cli: Cli, command: list[str], room: int
) -> None:
    pictures(tmp_path / "pictures")
    words = (
        [*command[:-1], str(disk / "study")]
        if command is EXPLORE
        else ["disk/study" if word == "study" else word for word in command]
    )
    large = disk / "large"
    with large.open("wb") as file:
        file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room))
    result = cli(*words)
    if result.code:  # with the most room, all of it may be written
        lines = result.err.strip().splitlines()
        assert "Traceback" not in result.err, result.err
        assert result.code in (1, 2), result.err
        assert sum(line.startswith("conviction: ") for line in lines) == 1, result.err
        assert room or result.code, "nothing can be written"
    large.unlink()
    again = cli(*words)
    assert again.code == 0, again.err
    assert not [p.name for p in (disk / "study").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("command", [EXPLORE, TUNE], ids=["explore", "tune"])
@pytest.mark.parametrize("when", ["new", "finished"])
def test_a_study_on_a_read_only_disk_is_a_line(
    tmp_path: Path, disk: Path, cli: Cli, command: list[str], when: str
) -> None:
    pictures(tmp_path / "pictures")
    words = ["disk/study" if word == "study" else word for word in command]
    if when == "finished":
        assert cli(*words).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    result = cli(*words)
    refused(result, "disk/study", code=2)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert cli(*words).code == 0


def test_a_run_that_ended_before_it_began_says_how_to_begin_again(tmp_path: Path, cli: Cli) -> None:
    pictures(tmp_path / "pictures")
    assert cli("fit", "pictures", *SMALL, "--out", "run").code == 0
    for path in (tmp_path / "run").iterdir():
        if path.name != folder.CONFIG:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = cli("resume", "run")
    refused(result, "the run ended before it had begun")
    assert "conviction fit SOURCE --config run/config.yaml" in result.err
    (row,) = cli("runs", ".", "--json").json["runs"]
    assert row["status"] == "unfinished"
    assert cli("fit", "pictures", "--config", "run/config.yaml", "--out", "again").code == 0


SECRET = "jane-of-the-secret-lab"


def texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of all files, and of the members of archives among them."""
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = str(file.relative_to(path))
        yield name, name.encode() + b"\n" + file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for member in archive.namelist():
                    yield f"{name}/{member}", archive.read(member)


@pytest.mark.long
def test_what_a_run_leaves_says_nothing_of_its_authors_machine(tmp_path: Path) -> None:
    home = tmp_path / "home" / SECRET
    pictures(home / "pictures")
    (home / "listed.csv").write_text("file,light\n" + "".join(f"cat/{i}.png,day\n" for i in range(20)))
    (home / "left.csv").write_text("file\ncat/0.png\n")
    told = {"HOME": str(home), "USER": SECRET, "LOGNAME": SECRET, "HOSTNAME": SECRET, "SECRET_TOKEN": SECRET}
    run, study, search = (str(home / name) for name in ("run", "study", "search"))
    source = str(home / "pictures")
    keys = [f"evaluation.metadata={home / 'listed.csv'}", f"data.exclude={home / 'left.csv'}"]
    host = socket.gethostname()
    for words in (
        [
            "fit",
            source,
            *SMALL,
            *keys,
            "--tensorboard",
            "--mlflow",
            f"sqlite:///{home}/mlflow.db",
            "--out",
            run,
        ],
        ["resume", run, "training.epochs=3"],
        ["report", run],
        ["evaluate", run],
        ["export", run, "--format", "onnx,keras,script,saved_model,litert"],
        ["explore", source, *SMALL, "--vary", "model.filters=[4],[6]", "--seeds", "1", "--out", study],
        ["tune", source, *SMALL, "--trials", "2", "--confirm", "1", "--out", search, "--jobs", "1"],
    ):
        done = run_cli(*words, cwd=home, home=tmp_path / "ledger", env=told)
        assert done.code == 0, done.err
    told_by = [
        name
        for made in (run, study, search)
        for name, content in texts(Path(made))
        # A short name of a machine may stand in any file by chance.
        if any(word.encode() in content for word in (SECRET, f"{host}:")) or f".{host}." in name
    ]
    assert not told_by
    # It can still be read, at home.
    script = (Path(run) / "exports" / "script" / "train.py").read_text()
    assert 'os.path.expanduser("~/pictures")' in script
    assert (Path(run) / folder.DATA).read_text().count('"~/pictures"') == 2
