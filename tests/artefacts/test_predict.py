"""``conviction predict`` with runs and artefacts: files, folders, archives, standard input; every kind of output."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.artefacts import load
from tests.artefacts.answers import predict_files
from tests.conftest import Cli, Exports, each_format, environment


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures in two folders, one of them broken."""
    place = tmp_path / "pictures"
    rng = np.random.default_rng(3)
    for i in range(12):
        folder = place / ("a" if i % 2 else "b/c")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i, 30), np.uint8)).save(folder / f"{i}.png")
    (place / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return place


def archived(pictures: Path, kind: str) -> Path:
    files = [p for p in sorted(pictures.rglob("*")) if p.is_file()]
    place = pictures.parent / f"all.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(pictures))
    else:
        with tarfile.open(place, "w:gz") as tar:
            for file in files:
                tar.add(file, file.relative_to(pictures))
    return place


@each_format
def test_an_artefact_predicts_as_the_run_does(
    exported: Exports, trained: Path, pictures: Path, name: str
) -> None:
    expected, left_out = predict_files(conviction.load_run(trained), [pictures])
    found, broken = predict_files(load(exported(name)), [pictures])
    assert broken == left_out
    assert [u.name for u in broken] == [str(pictures / "a" / "broken.jpg")]
    assert [p.file for p in found] == [p.file for p in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.probabilities == pytest.approx(theirs.probabilities, abs=1e-5)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_are_folders(cli: Cli, exported: Exports, pictures: Path, kind: str) -> None:
    of_folder = cli("predict", exported("onnx"), pictures, "--json").json
    place = archived(pictures, kind)
    of_archive = cli("predict", exported("onnx"), place, "--json").json

    def by_name(found: dict, root: Path) -> dict:
        return {str(Path(p["file"]).relative_to(root)): p["probabilities"] for p in found["predictions"]}

    assert by_name(of_archive, place) == by_name(of_folder, pictures)
    assert [u["name"] for u in of_archive["unreadable"]] == [f"{place}/a/broken.jpg"]


def test_standard_input(exported: Exports, pictures: Path, tmp_path: Path) -> None:
    picture = pictures / "a" / "1.png"
    command = [sys.executable, "-m", "conviction", "predict", str(exported("onnx"))]
    home = environment(tmp_path / "home")
    piped = subprocess.run(
        [*command, "-", "--csv"], input=picture.read_bytes(), env=home, capture_output=True, check=True
    )
    named = subprocess.run([*command, str(picture), "--csv"], env=home, capture_output=True, check=True)
    rows = [list(csv.reader(done.stdout.decode().splitlines())) for done in (piped, named)]
    assert rows[0][1][0] == "-"
    assert rows[0][1][1:] == rows[1][1][1:]


def test_files_of_predictions(cli: Cli, exported: Exports, pictures: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    model = exported("onnx")
    expected = cli("predict", model, pictures, "--json").json["predictions"]
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        done = cli("predict", model, pictures, "--out", name)
        assert done.code == 0, done.err
        assert done.out == ""
        assert f"12 predictions are in {name}" in done.err
        assert "broken.jpg" in done.err
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == expected
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [r["label"] for r in rows] == [p["label"] for p in expected]
    assert float(rows[0]["7"]) == expected[0]["probabilities"]["7"]


def test_wrong_requests_write_nothing(cli: Cli, exported: Exports, pictures: Path, tmp_path: Path) -> None:
    model = exported("onnx")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for arguments, said in [
        ((model, pictures, "--out", "out.txt"), "ends in .csv, .jsonl, .parquet"),
        ((model, pictures, "--out", "nowhere/out.csv"), "in a folder that exists"),
        ((model, pictures, "--out", "out.csv", "--json"), "give one of them"),
        ((model, pictures / "a" / "broken.jpg", "--out", "out.csv"), "none of the 1 files could be read"),
        ((model, tmp_path / "empty"), "found no picture"),
        ((model, tmp_path / "none.png"), "no such file"),
        ((pictures / "a" / "1.png", pictures), "expected a run folder"),
    ]:
        done = cli("predict", *arguments)
        assert done.code == 2, done.err
        assert said in done.err
        assert "Traceback" not in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_no_half_file(cli: Cli, exported: Exports, pictures: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = cli("predict", exported("onnx"), pictures, "--out", "out.csv", largest_file=200)
    assert done.code == 1
    assert "could not be written" in done.err
    assert sorted(tmp_path.iterdir()) == before
