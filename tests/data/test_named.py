"""Named sets: where they are looked for, what is refused, what is said when they are not available."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import DataSpec
from conviction.data import load_source, named
from conviction.errors import SourceError, SourceNotFoundError

X = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
Y = (np.arange(20) % 10).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of a named set, with 20 images in the place of 70,000."""
    import hashlib

    digest = hashlib.sha256(X.tobytes()).hexdigest()
    small = replace(named.NAMED_SETS["mnist"], train_size=20, test_size=10, train_sha256=digest)
    monkeypatch.setitem(named.NAMED_SETS, "mnist", small)
    monkeypatch.delenv("CONVICTION_DATA_DIR", raising=False)


def save(folder: Path, x: np.ndarray = X, n_test: int = 10) -> None:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "mnist.npz", x_train=x, y_train=Y, x_test=X[:n_test], y_test=Y[:n_test])


def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Exception("URL fetch failure on somewhere: None -- [Errno -2] Name or service not known")

    for name in ("mnist", "cifar10"):
        monkeypatch.setattr(getattr(import_keras().datasets, name), "load_data", fail)


def test_the_folder_that_is_asked_for_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "asked")
    save(tmp_path / "variable")
    monkeypatch.setenv("CONVICTION_DATA_DIR", str(tmp_path / "variable"))
    assert load_source("mnist", data_dir=tmp_path / "asked").location == str(tmp_path / "asked" / "mnist.npz")
    images = load_source("mnist")
    assert images.location == str(tmp_path / "variable" / "mnist.npz")
    assert images.name == "MNIST"
    assert images.class_names == list("0123456789")


@pytest.mark.parametrize("changed", ["a pixel", "the number of test images"])
def test_what_is_not_the_official_set_is_refused(changed: str, tmp_path: Path) -> None:
    x = X.copy()
    if changed == "a pixel":
        x[3, 4, 5] ^= 1
    save(tmp_path / "d", x, n_test=10 if changed == "a pixel" else 9)
    with pytest.raises(SourceError, match="not the official mnist") as caught:
        load_source("mnist", data_dir=tmp_path / "d")
    assert "give this path itself as SOURCE" in str(caught.value)
    assert len(load_source(tmp_path / "d" / "mnist.npz")) >= 29  # as it says


def test_a_set_that_cannot_be_had_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_download(monkeypatch)
    save(tmp_path / "d")
    with pytest.raises(SourceNotFoundError) as caught:
        load_source("cifar10", data_dir=tmp_path / "d")
    message = str(caught.value)
    for part in (
        "cifar10",
        str(tmp_path / "d"),
        "Keras's cache",
        "Name or service not known",
        "digits, mnist",
    ):
        assert part in message
    with pytest.raises(SourceNotFoundError, match="CONVICTION_DATA_DIR are unset"):
        load_source("cifar10")


def test_keras_supplies_what_lies_nowhere_and_is_checked_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_keras().datasets.mnist

    def load_data() -> tuple:
        print("Downloading data")
        return (X, Y), (X[:10], Y[:10])

    monkeypatch.setattr(module, "load_data", load_data)
    assert len(load_source("mnist")) == 30
    assert capsys.readouterr() == ("", "Downloading data\n")  # stdout belongs to --json
    monkeypatch.setattr(module, "load_data", lambda: ((255 - X, Y), (X[:10], Y[:10])))
    with pytest.raises(SourceError, match="checksum differs"):
        load_source("mnist")


def test_a_data_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="data_dir"):
        load_source("mnist", data_dir=tmp_path / "nowhere")


REAL = os.environ.get("CONVICTION_DATA_DIR")


@pytest.mark.data
@pytest.mark.parametrize(("name", "first"), [("fashion_mnist", "Ankle boot"), ("mnist", "5")])
def test_the_real_sets_are_known_by_their_checksums(
    name: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    if REAL is None or named.find_in(Path(REAL), name) is None:
        pytest.skip(
            f"set CONVICTION_DATA_DIR to a folder with the official {name} (IDX files or Keras's npz)"
        )
    images = load_source(name, DataSpec())
    assert images.pixels.shape == (70_000, 28, 28, 1)
    assert images.class_names[images.labels[0]] == first
    assert images.counts() == [7000] * 10 or name == "mnist"
