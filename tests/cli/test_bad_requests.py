"""Whatever is wrong with a request: one line, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cli, Result, picture


def assert_refused(result: Result, *parts: str) -> None:
    assert result.code == 2, result.err
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("conviction: ")
    assert "Traceback" not in result.err
    for part in parts:
        assert part in lines[0], lines[0]
    assert result.out == ""


@pytest.mark.full
def test_nothing_is_written_by_a_wrong_request(cli: Cli, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert_refused(cli("fit", "digts"), "'digts'", "Did you mean 'digits'?")
    assert_refused(cli("fit", "digits", "training.epoch=1"), "Did you mean 'training.epochs'?")
    assert_refused(cli("fit", "digits", "training.batch_size=2000"), "1295", "2000")
    assert_refused(
        cli("fit", "digits", "recipe=lab", "model.filters=[8,8,8,8]"),
        "model.layers.6",
        "Shapes:",
        "data.image_size=",
    )
    # Found before it is built: 1,024 maps of 2000x2000 for each image.
    huge = ["data.image_size=2000", "model.filters=[1024]", "model.padding=same", "training.batch_size=1000"]
    assert_refused(cli("fit", "digits", "recipe=lab", *huge), "GB of memory", "GB are free")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["fit"], ["Missing argument 'SOURCE'", "conviction fit --help"]),
        (["fit", "digits", "--nope"], ["No such option", "--nope"]),
        (["nope"], ["No such command 'nope'"]),
        # digits needs no folder, and is not asked for here.
        (["fit", "mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (["fit", "digits", "--config", "none.yaml"], ["none.yaml", "No such file"]),
        (["predict", "no-run", "x.png"], ["no-run", "no such run folder"]),
        (["predict", ".", "x.png"], ["expected a run folder"]),
        (["predict"], ["Missing argument"]),
    ],
)
def test_the_command_line_itself(cli: Cli, arguments: list[str], parts: list[str]) -> None:
    assert_refused(cli(*arguments), *parts)


def folder_source(tmp_path: Path, classes: dict[str, int]) -> Path:
    for label, (name, count) in enumerate(classes.items()):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(picture(i, label)).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def npz_source(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "data.npz"


GOOD = np.zeros((6, 8, 8), np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def unreadable_class(tmp_path: Path) -> Path:
    place = folder_source(tmp_path, {"cat": 5, "dog": 0})
    for i in range(5):
        (place / "dog" / f"{i}.png").write_text("text")
    return place


def escaping_zip(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("../cat/1.png", b"x")
    return tmp_path / "data.zip"


def pickled(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}], dtype=object), y=LABELS[:1], allow_pickle=True)
    return tmp_path / "data.npz"


def with_nan(tmp_path: Path) -> Path:
    x = np.full((6, 8, 8), 0.5)
    x[3, 2, 2] = np.nan
    return npz_source(tmp_path, x=x, y=LABELS)


SOURCES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "empty folder": (lambda p: folder_source(p, {}) if (p / "data").mkdir() else p / "data", ["subfolder"]),
    "one class": (lambda p: folder_source(p, {"cat": 5}), ["two classes", "'cat'"]),
    "too few": (lambda p: folder_source(p, {"cat": 9, "dog": 2}), ["'dog'", "2 images", "at least 3"]),
    "unreadable class": (unreadable_class, ["'dog'", "no readable picture"]),
    "object arrays": (pickled, ["Python objects"]),
    "lengths": (lambda p: npz_source(p, x=GOOD, y=LABELS[:4]), ["6 images", "4 labels"]),
    "float range": (lambda p: npz_source(p, x=GOOD - 1.5, y=LABELS), ["data.range=[-1.5,-1.5]"]),
    "nan": (with_nan, ["NaN"]),
    "negative labels": (lambda p: npz_source(p, x=GOOD, y=LABELS - 1), ["from 0 upwards", "-1"]),
    "fractional labels": (lambda p: npz_source(p, x=GOOD, y=LABELS + 0.5), ["whole numbers"]),
    "escaping archive": (escaping_zip, ["'../cat/1.png'", "leads out"]),
}


@pytest.mark.parametrize("name", list(SOURCES))
def test_sources_that_cannot_be_used(cli: Cli, tmp_path: Path, name: str) -> None:
    make, parts = SOURCES[name]
    source = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert_refused(cli("fit", source), *parts)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_folder_that_is_not_empty(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    assert_refused(cli("fit", "digits", "--out", "mine"), "mine", "not empty", "--out")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert_refused(cli("fit", "digits", "--out", "locked/run"), "no permission")


def test_json_requests_fail_as_one_object_too(cli: Cli) -> None:
    result = cli("fit", "digits", "training.epoch=1", "--json")
    assert result.code == 2
    assert result.json["error"]["exit_code"] == 2
    assert "training.epochs" in result.json["error"]["message"]


@pytest.mark.parametrize(
    "file", ["config.yaml", "data.json", "evaluation.json", "model.keras", "history.csv"]
)
def test_a_damaged_run_folder(cli: Cli, trained: Path, tmp_path: Path, file: str) -> None:
    import shutil

    damaged = tmp_path / "runs" / "damaged"
    shutil.copytree(trained, damaged)
    whole = (damaged / file).read_bytes()
    (damaged / file).write_bytes(b"\x00{[" + whole[: len(whole) // 3])
    Image.fromarray(picture(0, 0)).save(tmp_path / "x.png")
    if file == "model.keras":
        assert_refused(cli("predict", damaged, "x.png"), "model.keras", "damaged")
    listed = cli("runs", "--json")
    assert listed.code == 0
    row = listed.json["runs"][0]
    if file != "model.keras":
        assert row["status"] == "damaged"
        assert file in row["reason"]


def test_a_run_without_a_model(cli: Cli, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "config.yaml").write_bytes((trained / "config.yaml").read_bytes())
    Image.fromarray(picture(0, 0)).save(tmp_path / "x.png")
    assert_refused(cli("predict", "partial", "x.png"), "no model.keras")


def test_a_hostile_model_is_not_run(cli: Cli, trained: Path, tmp_path: Path) -> None:
    """A Lambda layer with code, in a model.keras that otherwise looks like one of ours."""
    import json
    import shutil

    hostile = tmp_path / "hostile"
    shutil.copytree(trained, hostile)
    with zipfile.ZipFile(trained / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "evil",
            "function": {
                "class_name": "__lambda__",
                "config": {"code": "4wEAAAA=", "defaults": None, "closure": None},
            },
        },
        "registered_name": None,
    }
    members["config.json"] = json.dumps(config).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    (hostile / "model.keras").write_bytes(buffer.getvalue())
    Image.fromarray(picture(0, 0)).save(tmp_path / "x.png")
    assert_refused(cli("predict", "hostile", "x.png"), "model.keras")
