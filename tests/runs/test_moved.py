"""Images that have been moved: a run takes them at their new place if they are the same, and remembers it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.errors import RequestError, SourceNotFoundError
from tests.conftest import Cli

QUICK = {"training.epochs": 1, "model.filters": [4, 4], "model.dense": [8], "training.threads": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set of pictures and a run on it."""
    path = tmp_path_factory.mktemp("made")
    chance = np.random.default_rng(0)
    for number, name in enumerate(("dark", "light")):
        (path / "set" / name).mkdir(parents=True)
        for i in range(25):
            pixels = np.clip(120 * number + chance.normal(60, 20, (10, 10)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / "set" / name / f"{i}.png")
    conviction.fit(path / "set", QUICK, out=path / "run", show=None)
    return path


@pytest.fixture
def moved(made: Path, tmp_path: Path) -> Path:
    """A copy of both, of which the set has another name than the run knows."""
    shutil.copytree(made / "set", tmp_path / "elsewhere")
    shutil.copytree(made / "run", tmp_path / "run")
    content = json.loads((tmp_path / "run" / "data.json").read_text())
    content["source"] = str(tmp_path / "set")
    (tmp_path / "run" / "data.json").write_text(json.dumps(content))
    return tmp_path


def test_a_run_whose_images_are_gone_says_what_to_do(moved: Path, cli: Cli) -> None:
    with pytest.raises(
        SourceNotFoundError, match=r"the images of the run are gone: .* run\.set_source\('\.\.\.'\)"
    ):
        conviction.load_run(moved / "run").images()
    done = cli("report", "run")
    assert done.code == 2
    assert "say where they are now with --source" in done.err


@pytest.mark.parametrize("command", ["report", "evaluate", "export", "resume"])
def test_every_command_takes_the_new_place(command: str, moved: Path, cli: Cli) -> None:
    keys = ["training.epochs=2"] if command == "resume" else []
    done = cli(command, "run", *keys, "--source", "elsewhere")
    assert done.code == 0, done.err
    assert conviction.load_run(moved / "run").data.source == str(moved / "elsewhere")
    assert cli("report", "run").code == 0  # it is remembered


def test_an_archive_of_the_same_pictures_is_the_same_source(moved: Path) -> None:
    shutil.make_archive(str(moved / "packed"), "zip", moved / "elsewhere")
    run = conviction.load_run(moved / "run")
    run.set_source(moved / "packed.zip")
    assert len(run.images()) == 50


def test_other_images_are_refused_and_nothing_is_changed(moved: Path) -> None:
    run = conviction.load_run(moved / "run")
    before = (moved / "run" / "data.json").read_bytes()
    picture = moved / "elsewhere" / "dark" / "0.png"
    other = np.asarray(Image.open(picture)).copy()
    other[0, 0] ^= 1
    Image.fromarray(other).save(picture)
    with pytest.raises(RequestError, match=r"1 of the 50 images of the run are not there, .*\(dark/0\.png\)"):
        run.set_source(moved / "elsewhere")
    shutil.rmtree(moved / "elsewhere" / "light")
    with pytest.raises(RequestError, match="two classes"):
        run.set_source(moved / "elsewhere")
    with pytest.raises(SourceNotFoundError):
        run.set_source(moved / "nowhere")
    with pytest.raises(RequestError, match="class_names have changed"):
        run.set_source("digits")
    assert (moved / "run" / "data.json").read_bytes() == before


def test_the_same_images_with_other_labels_are_refused(moved: Path) -> None:
    (moved / "elsewhere" / "dark" / "0.png").rename(moved / "elsewhere" / "light" / "dark0.png")
    with pytest.raises(RequestError, match="have other labels"):
        conviction.load_run(moved / "run").set_source(moved / "elsewhere")
