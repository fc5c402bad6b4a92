"""mistakes and suspects: every image that is worth another look, and the way from there to corrected labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import conviction
from tests.conftest import Cli

EPOCHS = "training.epochs=6"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_mistakes_are_listed_and_written(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("mistakes", trained, "--out", "m.csv")
    assert done.code == 0, done.err
    rows = rows_of(tmp_path / "m.csv")
    assert done.out.splitlines()[0] == f"{len(rows)} of 359 test images are answered wrongly."
    assert "fit SOURCE --relabel" in done.out
    assert {row["proposed"] for row in rows} == {""}
    assert list(rows[0]) == ["file", "part", "label", "predicted", "probability", "proposed"]
    answer = cli("mistakes", trained, "--part", "train", "--json").json
    assert answer["part"] == "train"
    assert all(row["part"] == "train" for row in answer["mistakes"])


def test_mistakes_that_nobody_has_corrected_change_nothing(cli: Cli, trained: Path, tmp_path: Path) -> None:
    cli("mistakes", trained, "--out", "m.csv")
    done = cli("fit", "digits", "--relabel", "m.csv", "--out", "again")
    assert done.code == 2
    assert "--relabel=m.csv: it changes no label" in done.err
    assert not (tmp_path / "again").exists()


def test_requests_that_are_wrong(cli: Cli, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for words, arguments in {
        "expected one of train, validation, test; got 'exam'": ("mistakes", trained, "--part", "exam"),
        "there is no such run folder": ("suspects", "nowhere"),
        "folder": ("suspects", trained, "--out", "folder"),
    }.items():
        done = cli(*arguments)
        assert done.code == 2
        assert words in done.err


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Digits of which every thirtieth has the next label; the right labels of these by name."""
    digits = load_digits()
    labels, changed = digits.target.copy(), np.arange(0, len(digits.target), 30)
    labels[changed] = (labels[changed] + 1) % 10
    path = tmp_path_factory.mktemp("wrong") / "digits.npz"
    np.savez(path, x=(digits.images * 255 / 16).astype(np.uint8), y=labels)
    return path, {f"image/{i}": str(digits.target[i]) for i in changed}


@pytest.mark.full
def test_planted_labels_are_found_corrected_and_said(
    cli: Cli, wrong: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    source, planted = wrong
    first = cli("fit", source, EPOCHS, "evaluation.folds=2", "--out", "first")
    assert first.code == 0, first.err
    done = cli("suspects", "first", "--out", "s.csv")
    assert done.code == 0, done.err
    rows = rows_of(tmp_path / "s.csv")
    right = [row for row in rows if planted.get(row["file"]) == row["proposed"]]
    # Most of what is listed was planted, and most of what was planted is listed, in each part.
    assert len(right) > 0.7 * len(rows)
    assert len(right) > 0.7 * len(planted)
    assert {row["part"] for row in right} == {"train", "validation", "test"}
    assert "were not judged" not in done.out

    again = cli("fit", source, EPOCHS, "--relabel", "s.csv", "--out", "second")
    assert again.code == 0, again.err
    assert f"{len(rows)} labels were changed, as" in again.out
    images = conviction.load_run(tmp_path / "second").images()
    labels = {name: images.class_names[i] for name, i in zip(images.names, images.labels, strict=True)}
    assert all(labels[row["file"]] == row["proposed"] for row in rows)
    twice = cli("fit", source, EPOCHS, "--relabel", "nowhere.csv", "--out", "third")
    assert twice.code == 2
    assert "--relabel=nowhere.csv: cannot read it" in twice.err


@pytest.mark.full
def test_without_folds_training_labels_are_not_judged(
    cli: Cli, wrong: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    cli("fit", wrong[0], EPOCHS, "--out", "run")
    done = cli("suspects", "run")
    assert "Labels of training images were not judged; with fit ... evaluation.folds=5 they are." in done.out
    rows = cli("suspects", "run", "--json").json["suspects"]
    assert {row["part"] for row in rows} == {"validation", "test"}
