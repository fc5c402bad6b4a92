"""Parity on real images, in every format."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import conviction
from conviction.artefacts import load
from tests.artefacts.answers import predict_files
from tests.conftest import FORMATS, Cli, artefact
from tests.test_real_data import data

SMALL = [
    "recipe=lab",
    "training.epochs=1",
    "model.filters=[8,16]",
    "model.dense=[32]",
    "training.batch_size=256",
]


@pytest.mark.full
@pytest.mark.long
@pytest.mark.data
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10-jpeg75.zip"])
def test_every_format_answers_as_the_run(cli: Cli, tmp_path: Path, name: str) -> None:
    place = data(name)
    fitted = cli("fit", "fashion_mnist" if name == "fashion-mnist" else place, *SMALL, "--out", "run")
    assert fitted.code == 0, fitted.err
    done = cli("export", "run", "--format", ",".join(FORMATS), "--json")
    assert done.code == 0, done.err
    for made in done.json["exports"]:
        assert made["parity"]["part"] == "test"
        assert made["parity"]["images"] == 1000
        assert made["parity"]["other_classes"] == 0
        assert made["parity"]["greatest"] < 1e-5


@pytest.mark.full
@pytest.mark.data
def test_jpeg_files_are_classified_alike_from_their_archive(cli: Cli, tmp_path: Path) -> None:
    """Twenty files of the archive as a user would hand them over, to the run and to ONNX."""

    place = data("cifar10-jpeg75.zip")
    fitted = cli("fit", place, *SMALL, "--out", "run", "evaluation.test=false")
    assert fitted.code == 0, fitted.err
    assert cli("export", "run").code == 0
    with zipfile.ZipFile(place) as archive:
        names = [n for n in archive.namelist() if n.endswith(".jpg")][::3000]
        archive.extractall(tmp_path / "some", names)
    expected, _ = predict_files(conviction.load_run(tmp_path / "run"), [tmp_path / "some"])
    found, _ = predict_files(load(artefact(tmp_path / "run" / "exports", "onnx")), [tmp_path / "some"])
    assert [p.label for p in found] == [p.label for p in expected]
    assert len(found) == len(names)
