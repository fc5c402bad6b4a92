"""The part of a program that reads images gives what the package gave, for every kind of source."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from conviction.config import DataSpec
from conviction.data import ImageSet, load_source
from conviction.data.image_set import PARTS
from conviction.errors import RequestError
from conviction.programs.reading_code import data_path, needs, reading_section
from tests.data import builders


def read_by_program(images: ImageSet, folder: Path) -> dict[str, Any]:
    """The names that the section leaves, run by itself with every third image in each part."""
    index = {part: range(at, len(images), 3) for at, part in enumerate(PARTS)}
    split = {part: {images.names[i]: int(images.labels[i]) for i in index[part]} for part in PARTS}
    (folder / "split.json").write_text(json.dumps({"classes": images.class_names, **split}))
    run: Any = SimpleNamespace(rule=images.rule)
    program = "\n".join([*needs(run, images), reading_section(run, images).code])
    names = {"np": np, "os": os, "json": json, "HERE": str(folder), "DATA": str(data_path(images))}
    exec("from __future__ import annotations\n" + program, names)
    for part in PARTS:
        assert np.array_equal(names["x"][part], images.pixels[list(index[part])])
        assert names["labels"][part].tolist() == images.labels[list(index[part])].tolist()
    return names


@pytest.mark.parametrize("kind", [*builders.FILE_SOURCES, *builders.ARRAY_SOURCES, "digits"])
def test_a_program_reads_every_kind_of_source(kind: str, tmp_path: Path) -> None:
    makers = {**builders.FILE_SOURCES, **builders.ARRAY_SOURCES}
    read_by_program(load_source(makers[kind](tmp_path) if kind in makers else kind), tmp_path)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_a_program_brings_other_shapes_to_one_as_the_package_does(
    kind: str, fit: Literal["crop", "pad"], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    sizes = [(20, 33), (47, 15), (300, 900)]  # the last one is decoded at a part of its size
    folder = tmp_path / "all"
    for i in range(12):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*sizes[i % 3], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.{'jpg' if i % 3 == 2 else 'png'}")
    spec = DataSpec(image_size=(19, 24), fit=fit)
    if kind == "arrays":
        x = rng.integers(0, 256, (12, 20, 33), dtype=np.uint8)
        np.savez(tmp_path / "all.npz", x=x, y=np.arange(12) % 2)
        folder = tmp_path / "all.npz"
    names = read_by_program(load_source(folder, spec), tmp_path)
    assert names["x"]["train"].shape[1:3] == (19, 24)


def test_the_kind_does_not_follow_from_the_name(tmp_path: Path) -> None:
    """A folder of IDX files may be called as an npz file is."""
    idx = builders.ARRAY_SOURCES["idx"](tmp_path)
    folder = idx.rename(tmp_path / "all.npz")
    read_by_program(load_source(folder), tmp_path)


def test_images_without_a_source_have_no_program() -> None:
    images = replace(load_source("digits"), origin=None)
    run: Any = SimpleNamespace(rule=images.rule)
    with pytest.raises(RequestError, match="no program can be written"):
        reading_section(run, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_program_brings_16_bits_to_8_as_the_package_does(channels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "all" / label).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 65536, (9, 8, channels), dtype=np.uint16)
            (tmp_path / "all" / label / f"{i}.png").write_bytes(builders.png16(pixels))
    names = read_by_program(load_source(tmp_path / "all"), tmp_path)
    assert "to_8_bit" in names
