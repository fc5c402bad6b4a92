"""Images of a run are known again by content; those of equal content by name, or one after the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import conviction
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.programs.script import SPLIT, _write_split
from conviction.runs import RunFolder, folder
from conviction.runs.rows import rows_of_part, rows_of_run
from tests.runs.test_content import RECORDED

ABSENT = "00" * 16


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Rows 1, 3 and 4 are the same picture; row 4 is of another class."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    pixels[[3, 4]] = pixels[1]
    np.savez(tmp_path / "set.npz", x_train=pixels, y_train=np.array([0, 0, 1, 0, 1, 1]))
    return conviction.load_source(tmp_path / "set.npz")


def run_on(path: Path, images: ImageSet, **parts: list[int]) -> RunFolder:
    """A run that says which rows were in which part."""
    shutil.copytree(RECORDED, path)
    hashes = images.hex_hashes()
    split = {part: {images.names[i]: hashes[i] for i in rows} for part, rows in parts.items()}
    data = json.loads((path / folder.DATA).read_text())
    (path / folder.DATA).write_text(json.dumps(data | {"split": {"test_hash": "", **split}}))
    return RunFolder(path)


def test_equal_images_are_one_row_each(images: ImageSet) -> None:
    hashes = images.hex_hashes()
    assert hashes[1] == hashes[3] == hashes[4]
    assert images.rows_of(hashes) == list(range(6))
    assert images.rows_of([hashes[1], hashes[5], hashes[3]]) == [1, 5, 3]
    assert images.rows_of([]) == []


def test_a_name_decides_between_equal_images_and_no_name_finds_another_picture(images: ImageSet) -> None:
    hashes, names = images.hex_hashes(), images.names
    assert images.rows_of([hashes[4], hashes[1]], [names[4], "renamed"]) == [4, 1]
    assert images.rows_of([hashes[4], hashes[1]], ["renamed", names[1]]) == [3, 1]
    assert images.rows_of([hashes[0]], [names[5]]) == [0]


def test_an_image_that_is_gone_has_no_row(images: ImageSet, tmp_path: Path) -> None:
    hashes = images.hex_hashes()
    assert images.rows_of([ABSENT, hashes[2]], ["", images.names[2]]) == [None, 2]
    # There were four copies, and three are left: the content is still there.
    assert None not in images.rows_of([hashes[1]] * 4)
    run = run_on(tmp_path / "run", images, train=[0], validation=[2], test=[5])
    with pytest.raises(RequestError, match=r"1 of 2 images of the run are gone or changed.*conviction fit"):
        rows_of_run(run, images, [hashes[2], ABSENT])


def test_a_program_has_every_image_of_the_split_with_its_own_label(images: ImageSet, tmp_path: Path) -> None:
    run = run_on(tmp_path / "run", images, train=[0, 4, 3], validation=[2], test=[1, 5])
    assert [rows_of_part(run, images, part).tolist() for part in ("train", "validation", "test")] == [
        [0, 4, 3],
        [2],
        [1, 5],
    ]
    run.__dict__["class_names"] = images.class_names
    _write_split(tmp_path / SPLIT, run, images)
    content = json.loads((tmp_path / SPLIT).read_text())
    assert content["train"] == {images.names[0]: 0, images.names[4]: 1, images.names[3]: 0}
    assert content["test"] == {images.names[1]: 0, images.names[5]: 1}
