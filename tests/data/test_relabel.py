"""Corrected labels: read from a CSV, used everywhere, said and kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import conviction
from conviction.data import ImageSet
from conviction.data.image_set import labels_hash
from conviction.errors import RequestError

QUICK = {"training.epochs": 1, "model.filters": [4, 4], "model.dense": [8], "training.threads": 1}
CLASSES = ("dark", "grey", "white")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty pictures of each class, each a shade of its own; the first dark one lies with the white ones."""
    chance = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        for i in range(20):
            shade = np.clip(100 * number + chance.normal(20, 5, (12, 12)), 0, 255).astype(np.uint8)
            where = "white" if (name, i) == ("dark", 0) else name
            (tmp_path / "set" / where).mkdir(exist_ok=True)
            Image.fromarray(shade).save(tmp_path / "set" / where / f"{name}{i:02}.png")
    return tmp_path / "set"


def corrections(
    path: Path, *rows: tuple[str, ...], head: tuple[str, ...] = ("file", "label", "proposed")
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def label_of(images: ImageSet, name: str) -> str:
    return images.class_names[images.labels[images.names.index(name)]]


def load(source: Path, listed: Path) -> ImageSet:
    return conviction.load_source(source, conviction.config.load_recipe({"data.relabel": str(listed)}).data)


def test_a_label_is_changed_and_others_are_not(source: Path, tmp_path: Path) -> None:
    listed = corrections(
        tmp_path / "c.csv", ("white/dark00.png", "white", "dark"), ("grey/grey01.png", "grey", "")
    )
    before, after = conviction.load_source(source), load(source, listed)
    assert label_of(after, "white/dark00.png") == "dark"
    assert (before.labels != after.labels).sum() == 1
    assert after.relabelled is not None
    assert after.relabelled.changes == {"white/dark00.png": ("white", "dark")}


def test_the_column_label_may_be_missing(source: Path, tmp_path: Path) -> None:
    listed = corrections(tmp_path / "c.csv", ("white/dark00.png", "dark"), head=("file", "proposed"))
    assert label_of(load(source, listed), "white/dark00.png") == "dark"


def test_a_class_without_images_is_no_class(source: Path, tmp_path: Path) -> None:
    rows = [(f"grey/{p.name}", "grey", "white") for p in (source / "grey").iterdir()]
    images = load(source, corrections(tmp_path / "c.csv", *rows))
    assert images.class_names == ["dark", "white"]
    assert images.counts() == [19, 41]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("white/nobody.png", "white", "dark")], "1 of its 1 names are not in"),
        ([("white/dark00.png", "white", "drak")], "no class of the source. Did you mean 'dark'?"),
        ([("white/dark00.png", "grey", "dark")], "its label is 'white'"),
        ([("white/dark00.png", "white", "white")], "it changes no label"),
        ([("white/dark00.png", "white", "")], "it changes no label"),
        ([("white/dark00.png", "", "dark"), ("white/dark00.png", "", "grey")], "Leave one line"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    rows: list[tuple[str, ...]], words: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as failure:
        load(source, corrections(tmp_path / "c.csv", *rows))
    assert words in str(failure.value)
    assert "data.relabel=" in str(failure.value)


def test_a_file_without_the_column_is_refused(source: Path, tmp_path: Path) -> None:
    listed = corrections(tmp_path / "c.csv", ("white/dark00.png", "dark"), head=("file", "class"))
    with pytest.raises(RequestError, match="expected a header with the columns 'file' and 'proposed'"):
        load(source, listed)


def test_a_run_says_what_was_changed_and_needs_the_file_no_more(source: Path, tmp_path: Path) -> None:
    listed = corrections(tmp_path / "c.csv", ("white/dark00.png", "white", "dark"))
    run = conviction.fit(source, {**QUICK, "data.relabel": str(listed)}, out=tmp_path / "run", show=None)
    assert sum(run.data.counts.totals.values()) == 60
    assert [sum(c) for c in zip(*vars(run.data.counts).values(), strict=True)] == [20, 20, 20]
    report = (run.path / "report.html").read_text()
    assert "1 label was changed, as" in report
    assert "1 of white to dark" in report
    assert "Changed labels: " in report
    listed.unlink()
    assert label_of(run.images(), "white/dark00.png") == "dark"
    assert run.resume({"training.epochs": 2}, show=None).status == "done"


def test_the_same_pictures_with_other_labels_are_other_data(source: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    for picture in source.rglob("*.png"):
        # A source that says which part an image is in leaves the split as it is.
        part = {"0": "train", "1": "test"}[picture.stem[-2]] if picture.stem[-1] != "9" else "validation"
        (parts / part / picture.parent.name).mkdir(parents=True, exist_ok=True)
        picture.rename(parts / part / picture.parent.name / picture.name)
    run = conviction.fit(parts, QUICK, out=tmp_path / "run", show=None)
    (parts / "train" / "white" / "dark00.png").rename(parts / "train" / "dark" / "dark00.png")
    with pytest.raises(RequestError, match="the same images have other labels"):
        run.resume({"training.epochs": 2}, show=None)


def test_a_run_of_a_version_without_the_hash_of_labels_is_resumed(source: Path, tmp_path: Path) -> None:
    run = conviction.fit(source, QUICK, out=tmp_path / "run", show=None)
    content = json.loads((run.path / "data.json").read_text())
    del content["labels_hash"]
    (run.path / "data.json").write_text(json.dumps(content))
    assert conviction.load_run(run.path).resume({"training.epochs": 2}, show=None).status == "done"


def test_the_hash_of_labels_is_that_of_contents_with_classes() -> None:
    images = conviction.load_source("digits")
    rows = np.arange(len(images))
    assert labels_hash(images, rows) == labels_hash(images, rows[::-1])
    images.labels[[0, 1]] = images.labels[[1, 0]]
    assert labels_hash(images, rows) != labels_hash(conviction.load_source("digits"), rows)
