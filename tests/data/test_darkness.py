"""Sets of which nothing is as bright as their type says that white is; and keys that do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.config import DataSpec
from conviction.data import Finding, audit_images, load_source
from conviction.errors import RequestError
from tests.data.builders import image, png, png16, write_tree

SHARE = np.stack([image(i % 2, i) for i in range(12)])[..., 0] / 255.0  # (12, 30, 30), to 1


def audited(source: Path, spec: DataSpec | None = None) -> dict[str, Finding]:
    spec = spec or DataSpec()
    return {f.kind: f for f in audit_images(load_source(source, spec), spec).findings}


def arrays(tmp: Path, values: np.ndarray) -> Path:
    np.savez(tmp / "x.npz", x=values, y=np.arange(len(values)) % 2)
    return tmp / "x.npz"


def folder(tmp: Path, files: list[bytes], name: str = "files") -> Path:
    return write_tree(tmp / name, {f"{'ab'[i % 2]}/{i:02}.png": f for i, f in enumerate(files)})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ((SHARE > 0.5).astype(np.uint8), "data.range=[0,1]"),
        ((SHARE > 0.5).astype(np.int64), "data.range=[0,1]"),
        ((SHARE > 0.5).astype(np.uint16), "data.range=[0,1]"),
        (np.rint(SHARE * 16).astype(np.uint8), "data.range=[0,16]"),
        (np.rint(SHARE * 255).astype(np.uint16), "data.range=[0,255]"),
        (np.rint(SHARE * 1023).astype(np.uint16), "data.range=[0,1023]"),
        (np.rint(SHARE * 4095).astype(np.uint16), "data.range=[0,4095]"),
        (np.rint(SHARE * 16383).astype(np.uint16), "data.range=[0,16383]"),
        (SHARE / 255.0, "data.range=[0,0.00588]"),
    ],
)
def test_arrays_of_another_white_are_noticed_with_the_key_that_mends_them(
    tmp_path: Path, values: np.ndarray, key: str
) -> None:
    source = arrays(tmp_path, values)
    found = audited(source)
    assert key in found["too_dark"].advice
    assert "data.range" not in found["too_dark"].advice_on_page  # where there are no such keys
    assert "blank" not in found
    low, high = key.removeprefix("data.range=[").rstrip("]").split(",")
    mended = audited(source, DataSpec(range=(float(low), float(high))))
    assert not {"too_dark", "blank"} & set(mended)


def test_bool_and_dark_pictures_are_no_such_sets(tmp_path: Path) -> None:
    assert "too_dark" not in audited(arrays(tmp_path, SHARE > 0.5))
    one_light = np.rint(SHARE * 10).astype(np.uint8)
    one_light[0, 0, 0] = 40
    assert "too_dark" not in audited(arrays(tmp_path, one_light))
    black = audited(arrays(tmp_path, np.zeros((12, 30, 30), np.uint8)))
    assert "too_dark" not in black
    assert "blank" in black


@pytest.mark.parametrize("channels", [1, 3])
def test_12_bits_in_files_of_16_are_noticed(tmp_path: Path, channels: int) -> None:
    values = np.repeat(np.rint(SHARE * 4095).astype(np.uint16)[..., None], channels, -1)
    source = folder(tmp_path, [png16(v) for v in values])
    found = audited(source)["too_dark"]
    assert "data.range=[0,4095]" in found.advice
    assert found.sentence.startswith("12 16-bit pictures are all nearly black: the highest value is about 4")
    assert "too_dark" not in audited(source, DataSpec(range=(0.0, 4095.0)))
    # Those of 16 bits among others are looked at by themselves.
    for i in range(4):
        (source / "ab"[i % 2] / f"light{i}.png").write_bytes(png(image(5, i)))
    assert audited(source)["too_dark"].count == 12


def test_masks_in_files_of_8_bits_are_noticed_and_the_key_is_not_advised(tmp_path: Path) -> None:
    source = folder(tmp_path, [png(v) for v in (SHARE > 0.5).astype(np.uint8)])
    advice = audited(source)["too_dark"].advice
    assert "save the files with values up to 255" in advice
    with pytest.raises(RequestError, match=r"data\.range=\[0,1\] has no effect on .*8 bits"):
        load_source(source, DataSpec(range=(0.0, 1.0)))


def parts(tmp: Path) -> Path:
    tree = {
        f"{p}/{c}/{i}.png": png(image(ord(c), 10 * ord(p[1]) + i))
        for p in PARTS
        for c in "ab"
        for i in range(3)
    }
    return write_tree(tmp / "parts", tree)


PARTS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"test": 0.3}, "data.test=0.3 has no effect on .*: the source has its own 6 test images"),
        ({"validation": 0.3}, "data.validation=0.3 has no effect on .*has its own 6 validation images"),
        ({"validation": 0.3, "folds": 3}, "data.folds=3 already decides the validation images"),
        ({"range": (0.0, 4095.0)}, "data.range=.0,4095. has no effect"),
    ],
)
def test_a_key_that_does_nothing_here_is_refused(tmp_path: Path, keys: dict[str, Any], reason: str) -> None:
    source = parts(tmp_path)
    with pytest.raises(RequestError, match=reason) as caught:
        load_source(source, DataSpec(**keys))
    assert caught.value.exit_code == 2
    # What is read again by the rule of a run is read, whatever its specification has.
    rule = load_source(source).rule
    assert len(load_source(source, DataSpec(**keys), rule=rule)) == 18


def test_a_fourth_channel_is_named(tmp_path: Path) -> None:
    values = np.repeat(np.rint(SHARE * 255).astype(np.uint8)[..., None], 4, -1)
    said = " ".join(load_source(arrays(tmp_path, values)).conversions)
    assert "transparency (alpha)" in said
    assert "CMYK" in said
    files = folder(tmp_path, [png(v) for v in values])
    assert "12 pictures with transparency (alpha) were laid over white." in load_source(files).conversions
