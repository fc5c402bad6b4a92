"""Images that have been moved: a run takes them at their new place if they are the same, and remembers it."""

from __future__ import annotations

import html
import json
import re
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
    done = cli("evaluate", "run")
    assert done.code == 2
    assert "say where they are now with --source" in done.err


def words(page: Path) -> str:
    """What a report says, without pictures and what is only said of pictures."""
    text = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", page.read_text(), flags=re.DOTALL)
    text = re.sub(
        r"<h2>(The audit|Augmentation|Is it worse on some pictures.)</h2>.*?</section>",
        "",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"<[^>]+>", "\n", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The last one is worded differently for a size that a rule has decided.
    of_pictures = ("Middle row of", "The pictures were not", "Images of 10x10 were enlarged")
    return "\n".join(line for line in lines if not line.startswith(of_pictures))


def test_a_report_needs_no_pictures(tmp_path: Path, cli: Cli) -> None:
    """Of a set with a copy of a training picture in its test part, which is left out."""
    chance = np.random.default_rng(1)
    for part, count in (("train", 25), ("test", 9)):
        for number, name in enumerate(("dark", "light")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(60 * number + chance.normal(60, 40, (10, 10)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / part / name / f"{i}.png")
    shutil.copy(
        tmp_path / "set" / "test" / "dark" / "1.png", tmp_path / "set" / "train" / "dark" / "copy.png"
    )
    (tmp_path / "set" / "train" / "light" / "broken.png").write_bytes(b"no picture")
    keys = [f"{key}={value}".replace(" ", "") for key, value in QUICK.items()]
    made = cli("fit", "set", *keys, "data.on_leak=drop", "--out", "run")
    assert made.code == 0, made.err
    run = conviction.load_run(tmp_path / "run")
    assert run.split.left_out["leak"] == ["train/dark/copy.png"]
    page = run.path / "report.html"
    whole = words(page)
    shutil.rmtree(tmp_path / "set")
    done = cli("report", "run", "--png", "figures")
    assert done.code == 0, done.err
    assert "The report has gray boxes in their place." in done.err
    assert "Gray boxes stand for them" in page.read_text()
    assert {"leak", "unreadable"} <= {finding.kind for finding in run.data.audit.findings}
    for finding in run.data.audit.findings:
        assert finding.sentence in html.unescape(page.read_text())
    assert words(page) == whole
    assert list((tmp_path / "figures").glob("*.png"))


@pytest.mark.parametrize("content", ["no hash", "00" * 16, ""])
def test_a_report_without_pictures_believes_no_damaged_split(
    content: str, made: Path, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(made / "run", tmp_path / "run")
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    data["source"] = str(tmp_path / "gone")
    data["split"]["train"][next(iter(data["split"]["train"]))] = content
    (tmp_path / "run" / "data.json").write_text(json.dumps(data))
    before = (tmp_path / "run" / "report.html").read_bytes()
    done = cli("report", "run")
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert (tmp_path / "run" / "report.html").read_bytes() == before


def test_a_report_without_pictures_does_not_invent_labels(tmp_path: Path, made: Path, cli: Cli) -> None:
    """Those of a sealed test set are in no file of the run."""
    shutil.copytree(made / "set", tmp_path / "set")
    conviction.fit(tmp_path / "set", {**QUICK, "evaluation.test": False}, out=tmp_path / "run", show=None)
    shutil.rmtree(tmp_path / "set")
    before = (tmp_path / "run" / "report.html").read_bytes()
    done = cli("report", "run")
    assert done.code == 2
    assert "say where they are now with --source" in done.err
    assert (tmp_path / "run" / "report.html").read_bytes() == before


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
