"""Files of 16 bits a channel, against NumPy; and one picture as file, Pillow picture and array."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conviction.config import DataSpec
from conviction.data import DecodingRule, load_source
from conviction.data.decode import UnreadableImageError, decode, decode_array, probe
from conviction.data.prediction_images import pixels_to_predict
from conviction.errors import RequestError
from conviction.programs.reading_code import needs, reading_section
from tests.data.builders import png, png16, tiff16, write_tree

SIDE = 30
RNG = np.random.default_rng(0)
RULE = {
    1: DecodingRule(color_mode="grayscale", height=SIDE, width=SIDE),
    3: DecodingRule(color_mode="rgb", height=SIDE, width=SIDE),
}


def deep(channels: int, top: int = 65535) -> np.ndarray:
    return RNG.integers(0, top + 1, (SIDE, SIDE, channels)).astype(np.uint16)


def eight(values: np.ndarray, top: float = 65535.0) -> np.ndarray:
    return np.rint(np.clip(values / top, 0, 1) * 255)


@pytest.mark.parametrize("top", [65535, 4095])
@pytest.mark.parametrize("make", [png16, lambda x: tiff16(x, "<"), lambda x: tiff16(x, ">")])
def test_colours_of_16_bits_keep_all_of_them(make: Any, top: int) -> None:
    values = deep(3, top)
    rule = RULE[3].model_copy(update={"file_range": None if top == 65535 else (0.0, float(top))})
    assert np.array_equal(decode(make(values), rule), eight(values, top))
    assert probe(make(values)).mode == "RGB;16"


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        (png16, "RGBA;16"),
        (lambda x: tiff16(x, "<", extra=2), "RGBA;16"),
        (lambda x: png16(x[..., 2:]), "LA;16"),
    ],
)
def test_transparency_has_the_full_range_whatever_the_colours_have(make: Any, mode: str) -> None:
    values = deep(4, 4095)
    values[..., 3] = RNG.integers(0, 65536, (SIDE, SIDE))
    if mode == "LA;16":
        values[..., :2] = values[..., 2:3]
    rule = RULE[3].model_copy(update={"file_range": (0.0, 4095.0)})
    alpha = values[..., 3:] / 65535.0
    want = values[..., :3] / 4095.0 * 255 * alpha + 255 * (1 - alpha)
    assert np.abs(decode(make(values), rule) - want).max() <= 1.5
    assert probe(make(values)).mode == mode
    assert probe(make(values)).has_color == (mode != "LA;16")


def test_a_fourth_channel_without_a_name_is_left_out_and_ink_is_ink() -> None:
    values = deep(4)
    unnamed, ink = tiff16(values, ">", extra=0), tiff16(values, "<", photometric=5)
    assert np.array_equal(decode(unnamed, RULE[3]), eight(values[..., :3]))
    assert (probe(unnamed).mode, probe(ink).mode) == ("RGBX;16", "CMYK;16")
    cmyk = Image.frombytes("CMYK", (SIDE, SIDE), eight(values).astype(np.uint8).tobytes())
    assert np.array_equal(decode(ink, RULE[3]), np.asarray(cmyk.convert("RGB")))


def test_one_transparent_colour_of_16_bits_is_white() -> None:
    values = np.where(deep(1) > 30000, 40000, 257).astype(np.uint16) * np.ones(3, np.uint16)
    content = png16(values)
    chunk = b"tRNS" + np.array([257, 257, 257], ">u2").tobytes()
    import struct
    import zlib

    at = content.index(b"IDAT") - 4
    piece = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    got = decode(content[:at] + piece + content[at:], RULE[3])
    assert np.array_equal(got, np.where(values == 257, 255, eight(values)))


def test_a_range_that_cannot_be_applied_makes_a_picture_unreadable_and_not_wrong() -> None:
    content = tiff16(deep(4), "<", extra=1)  # colours that are multiplied by their transparency
    decode(content, RULE[3])
    with pytest.raises(UnreadableImageError, match="save it as PNG"):
        decode(content, RULE[3].model_copy(update={"file_range": (0.0, 4095.0)}))


def test_earlier_versions_of_the_rule_keep_their_meaning() -> None:
    gray, colour = deep(1, 4095), deep(3)
    for version in (1, 2):
        old = RULE[1].model_copy(update={"version": version, "array_range": (0.0, 4095.0)})
        assert np.array_equal(decode(png16(gray), old), eight(gray, 4095.0))
        old = RULE[3].model_copy(update={"version": version})
        assert np.array_equal(decode(png16(colour), old), colour >> 8)
        assert pixels_to_predict([np.full((SIDE, SIDE), 1.0)], _old(version))[0].max() == 255


def _old(version: int) -> DecodingRule:
    return RULE[1].model_copy(update={"version": version, "array_range": (0.0, 1.0)})


pictures = st.tuples(st.integers(0, 2**32), st.sampled_from([1, 3]), st.integers(8, 40), st.integers(8, 40))
# What a network may have learned from: files, or arrays of any type on the scale of the type.
learned = st.sampled_from(
    [
        {},
        {"array_type": "uint8", "array_range": (0.0, 255.0)},
        {"array_type": "uint16", "array_range": (0.0, 65535.0)},
        {"array_type": "integer", "array_range": (0.0, 255.0)},
        {"array_type": "float", "array_range": (0.0, 1.0)},
        {"array_type": "bool", "array_range": (0.0, 1.0)},
    ]
)


@settings(max_examples=60)
@given(pictures, learned)
def test_a_picture_means_the_same_however_it_comes(
    drawn: tuple[int, int, int, int], scale: dict[str, Any]
) -> None:
    seed, channels, height, width = drawn
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    rule = RULE[channels].model_copy(update=scale)
    want = decode_array(pixels, rule)
    sixteen = pixels.astype(np.uint16) * 257
    plain = pixels[..., 0] if channels == 1 else pixels
    files = [png(plain), png16(sixteen)]
    assert all(np.array_equal(decode(f, rule), want) for f in files)
    with Image.open(io.BytesIO(files[1])) as unread, Image.open(io.BytesIO(files[0])) as read:
        read.load()
        handed = [read, unread, Image.fromarray(plain), pixels, plain, sixteen]
        if rule.array_type != "float":
            handed.append(pixels.astype(np.int64))
        handed.append(pixels / 255.0)
        for one in handed:
            assert np.array_equal(pixels_to_predict([one], rule)[0], want), (
                type(one),
                getattr(one, "dtype", ""),
            )


@settings(max_examples=40)
@given(st.integers(0, 2**32), learned)
def test_bool_is_black_and_white_for_every_network(seed: int, scale: dict[str, Any]) -> None:
    bits = np.random.default_rng(seed).random((SIDE, SIDE)) > 0.5
    rule = RULE[1].model_copy(update=scale)
    want = (bits * 255).astype(np.uint8)[..., None]
    assert np.array_equal(pixels_to_predict(bits[None], rule)[0], want)
    assert np.array_equal(pixels_to_predict(Image.fromarray(bits), rule)[0], want)
    old = rule.model_copy(update={"version": 2, "array_type": None})
    assert np.array_equal(pixels_to_predict(bits[None], old)[0], want)


def turned(picture: Image.Image) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    return Image.open(file)


def test_what_pillow_has_opened_is_read_as_its_file() -> None:
    colours = Image.fromarray(RNG.integers(0, 256, (20, 34, 3), np.uint8))
    transparent = colours.convert("RGBA")
    transparent.putalpha(colours.getchannel(0))
    made = {
        "palette": (colours.quantize(16), "PNG"),
        "1-bit": (colours.convert("1"), "PNG"),
        "CMYK": (colours.convert("CMYK"), "TIFF"),
        "gray and alpha": (transparent.convert("LA"), "PNG"),
        "RGBA": (transparent, "PNG"),
        "I;16": (Image.fromarray(deep(1)[..., 0]), "PNG"),
        "turned": (turned(colours), "PNG"),
        "a large JPEG": (colours.resize((600, 500)), "JPEG"),
    }
    for name, (picture, kind) in made.items():
        file = io.BytesIO()
        picture.save(file, kind, **({"exif": picture.getexif()} if name == "turned" else {}))
        for rule in RULE.values():
            want = decode(file.getvalue(), rule)
            with Image.open(file) as opened:
                assert np.array_equal(pixels_to_predict([opened], rule)[0], want), name
                assert np.array_equal(pixels_to_predict(opened, rule)[0], want), name  # as it was
            if kind != "JPEG":
                assert np.array_equal(pixels_to_predict([picture], rule)[0], want), name


def test_what_pillow_cannot_turn_into_colours_is_named() -> None:
    with pytest.raises(RequestError, match=r"image 1 cannot be read: .*floating-point"):
        pixels_to_predict([Image.new("L", (9, 9)), Image.new("F", (9, 9))], RULE[1])


def source(tmp: Path, files: list[bytes], name: str = "all") -> Path:
    return write_tree(tmp / name, {f"{'ab'[i % 2]}/{i:02}.png": f for i, f in enumerate(files)})


def test_arrays_and_files_are_one_source(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (8, SIDE, SIDE, 3)).astype(np.uint8)
    folders = [
        source(tmp_path, [png(p) for p in pixels], "eight"),
        source(tmp_path, [png16(p.astype(np.uint16) * 257) for p in pixels], "sixteen"),
    ]
    read = [load_source(f) for f in folders]
    for i, values in enumerate((pixels, pixels.astype(np.uint16) * 257, pixels / 255.0)):
        np.savez(tmp_path / f"{i}.npz", x=values, y=np.arange(8) % 2)
        read.append(load_source(tmp_path / f"{i}.npz"))
    want = sorted(p.tobytes() for p in pixels)
    assert all(sorted(p.tobytes() for p in images.pixels) == want for images in read)
    # A network that learned from any of them is asked about any of them.
    for learned_from in read:
        for folder in folders:
            again = load_source(folder, rule=learned_from.rule)
            assert again.rule == learned_from.rule
            assert sorted(p.tobytes() for p in again.pixels) == want


def test_a_given_range_holds_for_files_and_arrays_alike(tmp_path: Path) -> None:
    values = np.stack([deep(3, 4095) for _ in range(6)])
    np.savez(tmp_path / "x.npz", x=values, y=np.arange(6) % 2)
    spec = DataSpec(range=(0.0, 4095.0))
    arrays = load_source(tmp_path / "x.npz", spec)
    files = load_source(source(tmp_path, [png16(v) for v in values]), spec)
    want = eight(values, 4095.0)
    for images in (arrays, files):
        assert images.rule.file_range == (0.0, 4095.0)
        assert np.array_equal(pixels_to_predict(values, images.rule), want)
        assert np.array_equal(decode(png16(values[0]), images.rule), want[0])
    assert any("6 16-bit pictures: values 0 to 4095" in s for s in files.conversions)


def test_the_program_reads_16_bits_as_the_run_does(tmp_path: Path) -> None:
    values = [deep(c, 4095) for c in (1, 2, 3, 4)] * 2
    values += [deep(3, 4095).astype(np.uint16)]
    root = source(tmp_path, [png16(v) for v in values])
    (root / "a" / "t.tif").write_bytes(tiff16(deep(4, 4095), ">", photometric=5))
    for spec in (DataSpec(), DataSpec(range=(0.0, 4095.0))):
        images = load_source(root, spec)
        run: Any = SimpleNamespace(rule=images.rule)
        names = {name: int(label) for name, label in zip(images.names, images.labels, strict=True)}
        split = {"classes": images.class_names, "train": names, "validation": names, "test": names}
        (tmp_path / "split.json").write_text(json.dumps(split))
        head = ["from __future__ import annotations", "import json, os, sys", "import numpy as np"]
        code = "\n".join([*head, *needs(run, images), reading_section(run, images).code])
        space: dict[str, Any] = {"HERE": str(tmp_path), "DATA": str(root)}
        exec(code, space)
        assert np.array_equal(space["x"]["train"], images.pixels)
