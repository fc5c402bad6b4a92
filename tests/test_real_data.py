"""The lab on the real data sets, where CONVICTION_DATA_DIR has them; and on the other backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import conviction
from tests.conftest import ON_JAX, Cli
from tests.patience import PATIENCE

HOW = (
    "set CONVICTION_DATA_DIR to a folder with fashion-mnist/*.gz (the four official IDX files) and "
    "cifar10-jpeg75.zip (an image-folder archive with train/ and test/)"
)


def data(name: str) -> Path:
    place = Path(os.environ.get("CONVICTION_DATA_DIR", "/nonexistent")) / name
    if not place.exists():
        pytest.skip(f"no {name} here: {HOW}")
    return place


@pytest.mark.full
@pytest.mark.data
def test_fashion_mnist_learns_within_an_epoch(cli: Cli, tmp_path: Path) -> None:
    data("fashion-mnist")
    result = cli("fit", "fashion_mnist", "training.epochs=1", "training.batch_size=256", "--out", "run")
    assert result.code == 0, result.err
    evaluation = conviction.load_run(tmp_path / "run").evaluation
    assert evaluation.test.n == 10_000
    assert evaluation.accuracy > 0.8
    assert "brought by the source" in result.out
    assert (tmp_path / "run" / "report.html").stat().st_size < 8_000_000


@pytest.mark.data
@pytest.mark.full
def test_an_archive_and_its_folder_give_the_same_bits(cli: Cli, tmp_path: Path) -> None:
    archive = data("cifar10-jpeg75.zip")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    keys = ["training.epochs=1", "training.batch_size=512", "model.filters=[8]", "model.dense=[16]"]
    assert cli("fit", archive, *keys, "--out", "zip").code == 0
    assert cli("fit", "unpacked", *keys, "--out", "folder").code == 0
    one, two = (conviction.load_run(tmp_path / name) for name in ("zip", "folder"))
    assert (one.path / "history.csv").read_bytes() == (two.path / "history.csv").read_bytes()
    assert one.split == two.split
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.data
@pytest.mark.full
@pytest.mark.long
def test_the_lab_overfits_fashion_mnist_and_the_run_says_so(cli: Cli, tmp_path: Path) -> None:
    data("fashion-mnist")
    result = cli("fit", "fashion_mnist", "recipe=lab", "evaluation.test=false", "--out", "run")
    assert result.code == 0, result.err
    run = conviction.load_run(tmp_path / "run")
    lowest = min(run.epoch_rows, key=lambda row: row.val_loss).epoch
    assert run.evaluation.overfitting.verdict == "overfitting"
    assert run.evaluation.overfitting.since == lowest
    assert f"Verdict: overfitting since epoch {lowest}." in result.out
    assert (
        "To try: conviction fit fashion_mnist --config run/config.yaml training.early_stopping=3"
        in result.out
    )


@pytest.mark.full
@pytest.mark.parametrize("room", ["model", "training", "explanation"])
def test_what_holds_on_tensorflow_holds_on_jax(room: str) -> None:
    """The tests of networks, options and training once more, in a process of their own."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is an extra: pip install 'conviction[jax]'")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not full",
            # XLA compiles each backbone for minutes; one is enough, and tests/cluster trains it on JAX.
            "-k",
            "not (mobilenet or efficientnet_v2 or resnet or convnext)",
            "--ignore=tests/model/test_backbones.py",
            f"tests/{room}",
        ],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **ON_JAX},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.full
@pytest.mark.parametrize("recipe", ["fast", "best"])
def test_recipes_learn_on_jax(cli: Cli, recipe: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is an extra: pip install 'conviction[jax]'")
    keys = [f"recipe={recipe}", "training.epochs=4"]
    result = cli("fit", "digits", *keys, "--out", "run", env={"KERAS_BACKEND": "jax"})
    assert result.code == 0, result.err
    assert result.err == ""
    assert conviction.load_run(tmp_path / "run").evaluation.accuracy > 0.9


@pytest.mark.full
def test_the_lab_runs_on_jax(cli: Cli, tmp_path: Path) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is an extra: pip install 'conviction[jax]'")
    keys = ["recipe=lab", "training.epochs=8", "model.dropout=0.1"]
    for name in ("one", "two"):
        result = cli("fit", "digits", *keys, "--out", name, env={"KERAS_BACKEND": "jax"})
        assert result.code == 0, result.err
        assert result.err == ""
    assert cli("fit", "digits", *keys, "--out", "tensorflow").code == 0
    runs = {name: conviction.load_run(tmp_path / name) for name in ("one", "two", "tensorflow")}
    assert runs["one"].environment.versions["backend"] == "jax"
    assert runs["one"].epoch_rows == runs["two"].epoch_rows
    assert runs["one"].evaluation.accuracy > 0.93
    # What JAX trained, TensorFlow reads, and answers the same.
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), dtype=np.uint8)
    assert runs["one"].predict_pixels(pixels).probabilities.shape == (20, 10)
    # The first epoch starts from other weights, but the same images in the same order.
    assert runs["one"].split == runs["tensorflow"].split
