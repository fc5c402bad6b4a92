"""What every kind of source must give, and that the same pictures are the same data however they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conviction.config import DataSpec
from conviction.data import ImageSet, load_source, split_images
from tests.data import builders


def load(kind: str, tmp_path: Path) -> ImageSet:
    if kind == "digits":
        return load_source("digits")
    return load_source({**builders.FILE_SOURCES, **builders.ARRAY_SOURCES}[kind](tmp_path))


@pytest.mark.parametrize("kind", [*builders.FILE_SOURCES, *builders.ARRAY_SOURCES, "digits"])
def test_every_source_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    images = load(kind, tmp_path)
    n = len(images)
    assert n >= 24
    assert images.pixels.dtype == np.uint8
    assert images.pixels.shape == (n, *images.rule.shape)
    assert images.labels.dtype == np.int64
    assert images.labels.shape == images.hashes.shape == images.parts.shape == (n,)
    assert set(images.labels) == set(range(len(images.class_names)))
    assert len(images.names) == len(set(images.names)) == n
    assert set(images.parts) <= {"", "train", "validation", "test"}
    assert images.hashes.itemsize == 16
    assert images.unreadable == []
    if kind != "digits":
        assert images.class_names == (["0", "1", "2"] if "idx" in kind else list(builders.CLASSES))
        # Lossless pictures of the right size arrive as they are.
        channels = np.s_[..., :1] if "idx" in kind else np.s_[:]
        want = {(label, builders.image(label, i)[channels].tobytes()) for label in range(3) for i in range(8)}
        got = {(int(y), p.tobytes()) for y, p in zip(images.labels, images.pixels, strict=True)}
        assert want <= got
    split = split_images(images, DataSpec(), seed=0)
    assert sum(len(split.of(p)) for p in ("train", "validation", "test")) == n


def canonical(images: ImageSet) -> list[tuple[bytes, str]]:
    """What training will see, in its order: pixels and class of each part."""
    split = split_images(images, DataSpec(), seed=3)
    return [
        (images.pixels[i].tobytes(), images.class_names[images.labels[i]])
        for part in ("train", "validation", "test")
        for i in split.of(part)
    ]


@pytest.mark.parametrize("kind", builders.FILE_SOURCES)
def test_the_same_pictures_are_the_same_data_wherever_they_lie(kind: str, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    reference = load_source(builders.folder(tmp_path / "reference"))
    images = load(kind, tmp_path)
    assert canonical(images) == canonical(reference)
    assert split_images(images, DataSpec(), 0).test_hash == split_images(reference, DataSpec(), 0).test_hash


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_reading_an_archive_writes_nothing(kind: str, tmp_path: Path) -> None:
    path = builders.FILE_SOURCES[kind](tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    load_source(path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
