"""predict, runs, summary, doctor, --version: tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import conviction
from conviction.artefacts.card import parse_card
from conviction.artefacts.run_card import card_of
from conviction.flow.again import load_again
from conviction.runs.folder import MODEL, MODEL_CARD
from tests.conftest import Cli, Exports
from tests.data.builders import png, png16


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Twenty real digits as pictures of many sizes, modes and formats, and two files that are none."""
    digits = load_digits()
    folder = tmp_path / "scans"
    (folder / "deep").mkdir(parents=True)
    modes = ["L", "RGB", "RGBA", "P", "CMYK"]
    for i in range(20):
        pixels = np.rint(digits.images[i] * 255 / 16).astype(np.uint8)
        size = (16 + 8 * (i % 4),) * 2
        scan = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).convert(modes[i % 5])
        suffix = "tif" if i % 5 == 4 else "png"
        scan.save(folder / ("deep" if i % 2 else "") / f"{digits.target[i]}-{i}.{suffix}")
    (folder / "broken.png").write_text("no picture")
    (folder / "notes.txt").write_text("not even by name")
    return folder


def test_predict_reads_folders_of_any_size_and_mode(cli: Cli, trained: Path, scans: Path) -> None:
    result = cli("predict", trained, scans, "--json")
    assert result.code == 0, result.err
    predictions = result.json["predictions"]
    assert len(predictions) == 20
    right = [Path(p["file"]).name[0] == p["label"] for p in predictions]
    assert np.mean(right) >= 0.9
    assert [u["name"] for u in result.json["unreadable"]] == [str(scans / "broken.png")]
    assert "left out" in result.err


def test_predict_as_a_table_and_as_csv(cli: Cli, trained: Path, scans: Path) -> None:
    table = cli("predict", trained, scans)
    assert table.code == 0
    assert len(table.out.splitlines()) == 21
    assert str(scans / "0-0.png") in table.out
    rows = list(csv.DictReader(io.StringIO(cli("predict", trained, scans, "--csv").out)))
    assert len(rows) == 20
    assert list(rows[0])[:3] == ["file", "label", "probability"]
    for row in rows:
        assert float(row["probability"]) == max(float(row[str(c)]) for c in range(10))


def test_predict_abstains_below_the_threshold(cli: Cli, trained: Path, scans: Path) -> None:
    every = cli("predict", trained, scans, "--json").json["predictions"]
    # Several may be as sure as can be.
    level = max(p["probability"] for p in every)
    below = sum(p["probability"] < level for p in every)
    assert below
    labels = {p["file"]: p["probability"] for p in every}
    some = cli("predict", trained, scans, "--json", "--abstain-below", str(level)).json["predictions"]
    for p in some:
        assert (p["label"] is None) == (labels[p["file"]] < level)
    assert sum(p["label"] is None for p in some) == below
    refused = cli("predict", trained, scans, "--abstain-below", "2")
    assert (refused.code, "from 0 to 1" in refused.err) == (2, True)


def test_predict_says_what_is_wrong_with_paths(cli: Cli, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("x")
    for path, part in (("none.png", "no such file"), ("empty", "no picture"), ("text.png", "could be read")):
        result = cli("predict", trained, path)
        assert result.code == 2
        assert part in result.err.splitlines()[-1]


def test_predict_in_python_refuses_another_scale(trained: Path) -> None:
    run = conviction.load_run(trained)
    with pytest.raises(conviction.ConvictionError, match=r"from 0 \(black\) to 16 \(white\)"):
        run.predict(np.full((1, 8, 8), 255, np.uint8))
    with pytest.raises(conviction.ConvictionError, match="Wrap it in a list"):
        run.predict(np.zeros((8, 8)))
    one = run.predict([np.zeros((8, 8)), np.ones((12, 9))])
    assert one.probabilities.shape == (2, 10)


def test_files_of_16_bits_mean_what_those_of_8_mean(
    cli: Cli, exported: Exports, trained: Path, tmp_path: Path
) -> None:
    """The network learned from arrays of 0 to 16, which says nothing of files."""
    pixels = conviction.load_source("digits").pixels[:20]
    for i, one in enumerate(pixels):
        for folder, written in (("8", png(one[..., 0])), ("16", png16(one.astype(np.uint16) * 257))):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{i:02}.png").write_bytes(written)
    for model in (trained, exported("onnx")):
        answers = [cli("predict", model, folder, "--json").json["predictions"] for folder in ("8", "16")]
        assert answers[0]
        assert [p["probabilities"] for p in answers[0]] == [p["probabilities"] for p in answers[1]]
    opened = [Image.open(tmp_path / "16" / f"{i:02}.png") for i in range(20)]
    labels = conviction.load_run(trained).predict(opened).labels
    assert labels == [p["label"] for p in cli("predict", trained, "16", "--json").json["predictions"]]
    for one in opened:
        one.close()


def test_a_run_of_an_earlier_decoding_rule_is_read_by_that_rule(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old"
    shutil.copytree(trained, copy)
    data = json.loads((copy / "data.json").read_text())
    later = ("array_type", "file_range", "fit")
    data["decoding"] = {k: v for k, v in data["decoding"].items() if k not in later}
    for version in (1, 2):
        data["decoding"]["version"] = version
        (copy / "data.json").write_text(json.dumps(data))
        images = load_again(conviction.load_run(copy), None)
        assert (images.rule.version, images.rule.deep_range) == (version, (0.0, 16.0))
        assert images.rule.fit == "stretch"
        assert np.array_equal(images.pixels, conviction.load_source("digits").pixels)
    data["decoding"]["version"] = 99
    (copy / "data.json").write_text(json.dumps(data))
    with pytest.raises(conviction.ConvictionError, match=r"data\.json.*decoding\.version"):
        load_again(conviction.load_run(copy), None)


def test_a_model_saved_before_rules_said_how_shapes_change_stretches(trained: Path, tmp_path: Path) -> None:
    copy, run = tmp_path / "old", conviction.load_run(trained)
    shutil.copytree(trained, copy)
    with zipfile.ZipFile(trained / MODEL) as old, zipfile.ZipFile(copy / MODEL, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MODEL_CARD:
                card = json.loads(content)
                del card["decoding"]["fit"]
                content = json.dumps(card).encode()
            new.writestr(name, content)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 50), dtype=np.uint8))
    reopened = conviction.load_run(copy)
    assert reopened.rule == run.rule
    assert np.array_equal(reopened.predict(picture).probabilities, run.predict(picture).probabilities)
    text = card_of(run, "onnx").model_dump(mode="json")
    del text["decoding"]["fit"], text["specification"]["data"]["fit"]
    assert parse_card(json.dumps(text), "old.onnx").decoding == run.rule


def test_runs_lists_every_run_with_its_interval(cli: Cli, trained: Path) -> None:
    listed = cli("runs", trained.parent)
    assert listed.code == 0
    assert "done" in listed.out
    assert "digits" in listed.out
    row = cli("runs", trained.parent, "--json").json["runs"][0]
    assert row["test_accuracy"] == conviction.load_run(trained).evaluation.accuracy
    assert row["epochs"] == 8
    none = cli("runs", "nowhere")
    assert (none.code, none.out) == (0, "")
    assert "conviction fit digits" in none.err


def test_summary_shows_the_network_without_training(cli: Cli, tmp_path: Path) -> None:
    shown = cli("summary", "digits", "model.filters=[16,32]", "data.image_size=28")
    assert shown.code == 0
    for part in ("conv_2", "13x13 to", "28x28x1", "Most parameters are in dense_1", "multiply-adds", "10x10"):
        assert part in shown.out or part == "13x13 to"
    for recipe, filters in (("fast", 16), ("lab", 32)):
        layers = cli("summary", "digits", f"recipe={recipe}", "--json").json["layers"]
        assert layers[1]["output"] == [30, 30, filters]
    assert not (tmp_path / "runs").exists()


def test_doctor_knows_this_machine(cli: Cli) -> None:
    found = cli("doctor", "--json").json
    assert found["versions"]["backend"] == "tensorflow"
    assert found["hardware"]["usable_cores"] >= 1
    assert found["data_sets"]["digits"] == "scikit-learn"
    shown = cli("doctor")
    assert shown.code == 0
    assert "bfloat16" in shown.out
    assert shown.err == ""


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out.strip() == f"conviction {conviction.__version__}"
    for command in ("fit", "summary", "predict", "explain", "runs", "doctor"):
        result = cli(command, "--help")
        assert result.code == 0
        assert "Usage: conviction" in result.out
