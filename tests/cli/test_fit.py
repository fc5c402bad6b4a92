"""``conviction fit`` as a user types it: the lab end to end on real images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import conviction
from conviction.data import load_source, split_images
from tests.conftest import Cli

FILES = [
    "checkpoints",
    "config.yaml",
    "data.json",
    "environment.json",
    "evaluation.json",
    "history.csv",
    "model.keras",
    "predictions.npz",
    "report.html",
    "timing.csv",
]


def test_digits_reach_the_accuracy_that_the_demo_promises(trained: Path) -> None:
    test = json.loads((trained / "evaluation.json").read_text())["test"]
    assert test["accuracy"] >= 0.97
    low, high = test["accuracy_ci95"]
    assert low < test["accuracy"] < high
    assert test["openings"] == 1


def test_every_step_of_the_lab_is_visible_and_nothing_else_is(trained: Path) -> None:
    out = (trained.parent / "stdout.txt").read_text()
    titles = re.findall(r"^ ?\d+  (\w+)$", out, flags=re.MULTILINE)
    assert titles == [
        "Load",
        "Reshape",
        "Normalise",
        "Encode",
        "Audit",
        "Split",
        "Model",
        "Compile",
        "Train",
        "Evaluate",
        "Keep",
    ]
    for words in (
        "enlarged to 32x32",
        "one-hot",
        "sealed",
        "categorical_crossentropy, because",
        "Pooling shrinks",
    ):
        assert words in out
    assert len(re.findall(r"^ +\d+  \d\.\d{4} +\d+\.\d\d%", out, flags=re.MULTILINE)) == 8
    assert (trained.parent / "stderr.txt").read_text() == ""


def test_the_run_folder_is_what_the_design_says(trained: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == FILES
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    with (trained / "timing.csv").open() as file:
        head = csv.DictReader(file).fieldnames
    assert head == ["epoch", "train_seconds", "validation_seconds", "images_per_second"]
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["data"]["image_size"] == [32, 32]
    assert config["training"]["threads"] >= 1
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["versions"]["backend"] == "tensorflow"
    assert environment["peak_memory_bytes"] > 100_000_000


def test_data_json_names_every_image_by_its_hash(trained: Path) -> None:
    data = json.loads((trained / "data.json").read_text())
    images = load_source("digits")
    split = split_images(images, conviction.load_run(trained).config.data, 0)
    hashes = {images.names[i]: images.hashes[i].tobytes().hex() for i in split.test}
    assert data["split"]["test"] == hashes
    assert data["split"]["test_hash"] == split.test_hash
    sizes = [len(data["split"][part]) for part in ("train", "validation", "test")]
    assert sum(sizes) == 1797


def test_evaluation_is_measured_on_the_saved_file(trained: Path) -> None:
    run = conviction.load_run(trained)
    images = load_source("digits")
    split = split_images(images, run.config.data, run.config.training.seed)
    labels = images.labels[split.test]
    predictions = run.predict_pixels(images.pixels[split.test])
    got = np.mean(np.array(predictions.labels) == np.array(images.class_names)[labels])
    assert run.evaluation.accuracy == pytest.approx(got, abs=1e-12)
    p = predictions.probabilities[np.arange(len(labels)), labels].astype(float)
    assert run.evaluation.loss == pytest.approx(float(-np.log(p.clip(1e-7, 1 - 1e-7)).mean()), abs=1e-9)
    matrix = np.array(run.evaluation.test.confusion)
    assert matrix.sum() == len(labels)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(run.evaluation.accuracy)


def test_the_model_is_an_ordinary_sequential_for_raw_pixels(trained: Path) -> None:
    from sklearn.datasets import load_digits

    run = conviction.load_run(trained)
    keras = __import__("keras")
    assert isinstance(run.model, keras.Sequential)
    assert run.model.input_shape == (None, 32, 32, 1)
    # Arrays on the scale of the training data are taken as they are: 8x8, 0 to 16.
    digits = load_digits()
    said = run.predict(digits.images[:50])
    assert np.mean(np.array(said.labels) == digits.target[:50].astype(str)) > 0.9


def test_the_same_command_twice_gives_the_same_bits(cli: Cli, tmp_path: Path) -> None:
    keys = ["training.epochs=2", "model.filters=[8]", "model.dense=[16]", "model.dropout=0.3"]
    for name in ("one", "two"):
        assert cli("fit", "digits", *keys, "model.batch_norm=true", "--out", name).code == 0
    one, two = conviction.load_run(tmp_path / "one"), conviction.load_run(tmp_path / "two")
    for name in ("history.csv", "data.json", "config.yaml"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        assert np.array_equal(a, b)
    # The second run says that it was not the first to look.
    first, second = (r.evaluation.test for r in (one, two))
    assert (first.openings, second.openings) == (1, 2)
    assert first.model_copy(update={"openings": 2}) == second


def test_two_classes_train_one_sigmoid_unit_and_predict_the_right_names(
    cli: Cli, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = image_folder(classes=("zebra", "apple"), per_class=40)
    result = cli(
        "fit", pictures, "training.epochs=15", "model.filters=[8]", "model.dense=[16]", "--out", "run"
    )
    assert result.code == 0, result.err
    assert "binary_crossentropy" in result.out
    assert "images in batches of 32: 2 steps each" in result.out
    run = conviction.load_run(tmp_path / "run")
    assert run.model.output_shape == (None, 1)
    assert run.class_names == ["apple", "zebra"]
    assert run.evaluation.accuracy >= 0.9
    predicted = cli("predict", "run", pictures, "--json").json["predictions"]
    assert len(predicted) == 80
    right = [p["label"] == Path(p["file"]).parent.name for p in predicted]
    assert np.mean(right) >= 0.9
    assert all(sum(p["probabilities"].values()) == pytest.approx(1.0) for p in predicted)


def test_json_is_one_object_on_stdout_and_people_read_stderr(cli: Cli) -> None:
    result = cli("fit", "digits", "training.epochs=1", "model.filters=[4]", "--json")
    assert result.code == 0
    assert result.json["run"] == "runs/digits-fast-1"
    assert result.json["evaluation"]["test"]["n"] == 359
    assert "Evaluate" in result.err


def test_a_sealed_test_set_stays_sealed(cli: Cli, tmp_path: Path) -> None:
    result = cli("fit", "digits", "training.epochs=1", "model.filters=[4]", "evaluation.test=false")
    assert result.code == 0
    assert "stays sealed" in result.out
    run = conviction.load_run(tmp_path / "runs" / "digits-fast-1")
    assert run.evaluation.test is None
    assert run.evaluation.accuracy is None
    assert not (tmp_path / "home" / "openings.jsonl").exists()
    assert "sealed" in cli("runs").out


@pytest.mark.full
def test_a_run_can_be_repeated_from_its_own_config(cli: Cli, tmp_path: Path) -> None:
    assert cli("fit", "digits", "training.epochs=1", "model.filters=[4]", "--out", "one").code == 0
    again = cli("fit", "digits", "--config", tmp_path / "one" / "config.yaml", "--out", "two")
    assert again.code == 0, again.err
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("one", "two")]
    assert histories[0] == histories[1]


def test_broken_images_among_good_ones_are_left_out_and_listed(
    cli: Cli, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = image_folder()
    (pictures / "cat" / "text.png").write_text("not a picture")
    (pictures / "cat" / "empty.jpg").write_bytes(b"")
    whole = (pictures / "dog" / "0.png").read_bytes()
    (pictures / "dog" / "short.png").write_bytes(whole[: len(whole) // 2])
    result = cli("fit", pictures, "training.epochs=1", "training.batch_size=8", "--out", "run")
    assert result.code == 0, result.err
    assert "Left out 3 unreadable files" in result.out
    listed = json.loads((tmp_path / "run" / "data.json").read_text())["audit"]["unreadable"]
    assert set(listed) == {"cat/text.png", "cat/empty.jpg", "dog/short.png"}
    report = (tmp_path / "run" / "report.html").read_text()
    assert all(name in report for name in listed)


@pytest.mark.full
def test_a_class_name_that_looks_like_markup_is_shown_as_it_is(
    cli: Cli, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = image_folder(classes=("[red]x", "<b>y"))
    result = cli("fit", pictures, "training.epochs=1", "training.batch_size=8", "--out", "run")
    assert result.code == 0, result.err
    assert "[red]x" in result.out
    report = (tmp_path / "run" / "report.html").read_text()
    assert "<b>y" not in report
    assert "&lt;b&gt;y" in report
