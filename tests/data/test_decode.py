"""Pictures of every format and mode become the pixels that an independent reading gives."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conviction.data.decode import DecodingRule, UnreadableImageError, decode, decode_array, probe
from tests.data.builders import image, png

RGB = DecodingRule(color_mode="rgb", height=30, width=30)
GRAY = DecodingRule(color_mode="grayscale", height=30, width=30)
PIXELS = image(0, 0)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601."""
    return rgb.astype(float) @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_arrive_as_they_are(kind: str) -> None:
    content = encoded(Image.fromarray(PIXELS), kind)
    assert np.array_equal(decode(content, RGB), PIXELS)
    assert probe(content).has_color


def test_webp_arrives_as_it_is_when_lossless() -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(PIXELS), "WEBP", lossless=True), RGB), PIXELS)


def test_jpeg_arrives_nearly_as_it_is() -> None:
    smooth = np.add.outer(np.arange(30) * 3, np.arange(30) * 3).astype(np.uint8)
    smooth = np.stack([smooth, smooth // 2, 255 - smooth], axis=-1)
    got = decode(encoded(Image.fromarray(smooth), "JPEG", quality=95, subsampling=0), RGB)
    assert np.abs(got.astype(int) - smooth).max() <= 6


def test_colour_becomes_gray_by_luma() -> None:
    got = decode(png(PIXELS), GRAY)[..., 0].astype(float)
    assert np.abs(got - luma(PIXELS)).max() <= 1.0


def test_gray_becomes_colour_with_equal_channels() -> None:
    gray = PIXELS[..., 0]
    got = decode(png(gray), RGB)
    assert np.array_equal(got, np.repeat(gray[..., None], 3, axis=2))
    assert not probe(png(gray)).has_color


def test_one_bit_is_black_and_white() -> None:
    bits = PIXELS[..., 0] > 127
    content = encoded(Image.fromarray(bits), "PNG")
    assert np.array_equal(decode(content, GRAY)[..., 0], bits * 255)


def test_transparency_is_laid_over_white() -> None:
    alpha = PIXELS[..., :1]
    content = encoded(Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)), "PNG")
    a = alpha / 255.0
    assert np.abs(decode(content, RGB) - (PIXELS * a + 255 * (1 - a))).max() <= 1.0


def test_gray_with_transparency_is_laid_over_white() -> None:
    gray, alpha = PIXELS[..., 0], PIXELS[..., 1]
    content = encoded(Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)]), "PNG")
    a = alpha / 255.0
    assert np.abs(decode(content, GRAY)[..., 0] - (gray * a + 255 * (1 - a))).max() <= 1.0
    assert not probe(content).has_color


@pytest.mark.parametrize("colors", ["gray", "red"])
def test_palettes_are_looked_up(colors: str) -> None:
    index = (PIXELS[..., 0] // 64).astype(np.uint8)
    table = np.array([[0, 0, 0], [80, 80, 80], [160, 160, 160], [255, 255, 255]], np.uint8)
    if colors == "red":
        table[2] = (200, 10, 10)
    picture = Image.fromarray(index).convert("P")
    picture.putdata(index.ravel().tolist())
    picture.putpalette(table.ravel().tolist())
    content = encoded(picture, "PNG")
    assert np.array_equal(decode(content, RGB), table[index])
    assert probe(content).has_color == (colors == "red")


def test_a_transparent_palette_entry_is_white() -> None:
    index = (PIXELS[..., 0] // 128).astype(np.uint8)
    picture = Image.new("P", (30, 30))
    picture.putdata(index.ravel().tolist())
    picture.putpalette([0, 0, 0, 200, 0, 0])
    content = encoded(picture, "PNG", transparency=0)
    want = np.where(index[..., None] == 0, 255, np.array([200, 0, 0]))
    assert np.array_equal(decode(content, RGB), want)


def test_cmyk_is_read() -> None:
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    got = decode(encoded(cmyk, "TIFF"), RGB)
    assert np.abs(got.astype(int) - PIXELS).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_is_scaled_by_its_full_range(kind: str) -> None:
    deep = np.linspace(0, 65535, 900).astype(np.uint16).reshape(30, 30)
    content = encoded(Image.fromarray(deep), kind)
    got = decode(content, GRAY)[..., 0]
    assert np.abs(got - deep / 65535 * 255).max() <= 0.5 + 1e-9
    assert not probe(content).has_color


def test_16_bit_is_scaled_by_the_range_that_is_given() -> None:
    deep = np.linspace(0, 4095, 900).astype(np.uint16).reshape(30, 30)
    rule = GRAY.model_copy(update={"file_range": (0.0, 4095.0)})
    assert (
        np.abs(decode(encoded(Image.fromarray(deep), "PNG"), rule)[..., 0] - deep / 4095 * 255).max() <= 0.51
    )


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("L", (30, 30), value) for value in (10, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(decode(content, GRAY)).tolist() == [10]


# EXIF orientation -> what brings the stored picture upright, in NumPy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (20, 34, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(stored), "PNG", exif=exif)
    want = UPRIGHT[orientation](stored)
    height, width = want.shape[:2]
    assert (probe(content).height, probe(content).width) == (height, width)
    got = decode(content, DecodingRule(color_mode="rgb", height=height, width=width))
    assert np.array_equal(got, want)


def test_resizing_averages_and_is_the_same_for_files_and_arrays() -> None:
    rule = DecodingRule(color_mode="rgb", height=10, width=15)
    small = decode(png(PIXELS), rule)
    assert small.shape == (10, 15, 3)
    assert np.array_equal(small, decode_array(PIXELS, rule))
    assert abs(small.mean() - PIXELS.mean()) < 3
    flat = np.full((50, 40, 3), 77, np.uint8)
    assert np.unique(decode(png(flat), rule)).tolist() == [77]


def bomb() -> bytes:
    """A PNG of 70 bytes that declares 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


WHOLE = {
    kind: encoded(Image.fromarray(PIXELS), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
}
BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"this is no picture", "not a JPEG, PNG"),
    "html": (b"<html>404</html>", "not a JPEG, PNG"),
    "bomb": (bomb(), "pixels"),
    "float": (encoded(Image.fromarray(PIXELS[..., 0].astype(np.float32)), "TIFF"), "floating-point"),
    "32-bit": (encoded(Image.fromarray(PIXELS[..., 0].astype(np.int32) * 70_000), "TIFF"), "32-bit"),
    **{
        f"half a {kind}": (content[: len(content) // 2], "cannot be decoded|header is broken|not a JPEG")
        for kind, content in WHOLE.items()
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_is_said_to_be_none(name: str) -> None:
    content, reason = BROKEN[name]
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        decode(content, RGB)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.floats(0, 1),
)
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(
    kind: str, changes: list[tuple[float, int]], length: float
) -> None:
    content = bytearray(WHOLE[kind])
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    damaged = bytes(content[: max(1, int(length * len(content)))]) if length < 0.5 else bytes(content)
    for read in (probe, lambda c: decode(c, RGB), lambda c: decode(c, GRAY)):
        with contextlib.suppress(UnreadableImageError):
            read(damaged)


def test_the_rule_reads_back() -> None:
    rule = DecodingRule(color_mode="rgb", height=3, width=4, array_range=(0.0, 1.0))
    assert DecodingRule.model_validate(rule.model_dump(mode="json")) == rule
    with pytest.raises(ValueError, match="version"):
        DecodingRule.model_validate({**rule.model_dump(), "version": 4})
