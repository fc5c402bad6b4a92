"""Pictures of another shape: stretched, their middle, or whole with black beside, by an independent calculation."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conviction.config import DataSpec
from conviction.config.data import Fit
from conviction.data import audit_images, cache, decode, decoded, load_source
from conviction.data.decode import decode_array
from conviction.data.prediction_images import pixels_to_predict
from conviction.data.rule import DecodingRule
from conviction.evaluation.slices import properties
from tests.data.builders import png, write_tree

FITS: tuple[Fit, ...] = get_args(Fit)
# (height, width): odd, wide, tall, smaller and larger than the target, a pixel off, and a pixel wide.
SIZES = [(7, 5), (20, 14), (21, 14), (19, 14), (20, 13), (20, 15), (61, 33), (33, 61), (64, 9), (9, 64)]
SIZES += [(40, 28), (1, 1), (1, 90), (90, 1), (2, 90)]
TARGETS = [(20, 14), (16, 16), (9, 31)]


def rule(height: int, width: int, fit: Fit, mode: str = "rgb") -> DecodingRule:
    return DecodingRule.model_validate(
        {"color_mode": mode, "height": height, "width": width, "fit": fit},
    )


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([height, width, seed]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def weights(size: int, start: Fraction, length: Fraction, n: int) -> np.ndarray:
    """(n, size): how each of n pixels averages a line, by a triangle as wide as the pixels are apart, or 1."""
    step = length / n
    middles = np.array([float(start + (i + Fraction(1, 2)) * step) for i in range(n)])
    distance = np.abs(np.arange(size) + 0.5 - middles[:, None]) / max(float(step), 1.0)
    triangle = np.maximum(1.0 - distance, 0.0)
    return triangle / triangle.sum(axis=1, keepdims=True)


def scaled(
    pixels: np.ndarray, top: Fraction, left: Fraction, box: tuple[Fraction, Fraction], to: tuple[int, int]
):
    """The part of (height, width) ``box`` from (top, left) on, at another size, in floating point."""
    rows = weights(pixels.shape[0], top, box[0], to[0])
    columns = weights(pixels.shape[1], left, box[1], to[1])
    return np.einsum("ih,hwc,jw->ijc", rows, pixels.astype(float), columns)


def nearest_whole(value: Fraction) -> int:
    return max(1, round(value))


def expected(pixels: np.ndarray, height: int, width: int, fit: Fit) -> np.ndarray:
    h, w = Fraction(pixels.shape[0]), Fraction(pixels.shape[1])
    none = Fraction(0)
    if fit == "stretch":
        return scaled(pixels, none, none, (h, w), (height, width))
    if fit == "crop":
        factor = max(height / h, width / w)  # until it covers
        box = (height / factor, width / factor)
        return scaled(pixels, (h - box[0]) / 2, (w - box[1]) / 2, box, (height, width))
    factor = min(height / h, width / w)  # until it fits
    size = (nearest_whole(h * factor), nearest_whole(w * factor))
    out = np.zeros((height, width, 3))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    out[top : top + size[0], left : left + size[1]] = scaled(pixels, none, none, (h, w), size)
    return out


@pytest.mark.parametrize("fit", FITS)
def test_pixels_are_those_of_an_independent_calculation(fit: Fit) -> None:
    for height, width in TARGETS:
        for size in SIZES:
            pixels = noise(*size)
            got = decode.decode(png(pixels), rule(height, width, fit))
            want = expected(pixels, height, width, fit)
            # Pillow rounds after each of the two directions, and keeps boxes in single precision.
            assert np.abs(got - want).max() < 1.1, (size, height, width)
            assert np.array_equal(got, decode_array(pixels, rule(height, width, fit)))


SIDES = st.integers(1, 130)


@settings(deadline=None)
@given(height=SIDES, width=SIDES, h=st.integers(1, 40), w=st.integers(1, 40))
def test_padding_is_stretching_in_proportion_with_black_beside(
    height: int, width: int, h: int, w: int
) -> None:
    pixels = noise(height, width) | 1  # nothing in it is black
    got = decode_array(pixels, rule(h, w, "pad"))
    assert got.shape == (h, w, 3)
    lit = got.any(axis=2)
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    inner = got[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # All of the picture, for stretching leaves nothing out.
    assert np.array_equal(inner, decode_array(pixels, rule(*inner.shape[:2], "stretch")))
    assert lit.sum() == inner.shape[0] * inner.shape[1]
    assert inner.shape[0] == h or inner.shape[1] == w
    factor = min(h / height, w / width)
    for side, whole in zip(inner.shape, (height, width), strict=False):
        assert abs(side - max(1, whole * factor)) <= 0.5 + 1e-9
    for first, length, whole in ((rows[0], len(rows), h), (columns[0], len(columns), w)):
        assert 0 <= whole - length - 2 * first <= 1  # in the middle


@settings(deadline=None)
@given(height=SIDES, width=SIDES, h=st.integers(1, 40), w=st.integers(1, 40))
def test_the_middle_of_a_symmetric_picture_is_symmetric(height: int, width: int, h: int, w: int) -> None:
    quarter = noise((height + 1) // 2, (width + 1) // 2)
    half = np.concatenate([quarter, quarter[: height // 2][::-1]])
    pixels = np.concatenate([half, half[:, : width // 2][:, ::-1]], axis=1)
    assert pixels.shape == (height, width, 3)
    got = decode_array(pixels, rule(h, w, "crop")).astype(int)
    assert got.shape == (h, w, 3)
    assert np.abs(got - got[::-1]).max() <= 1
    assert np.abs(got - got[:, ::-1]).max() <= 1


@settings(deadline=None)
@given(h=st.integers(1, 24), w=st.integers(1, 24), share=st.integers(1, 6), times=st.integers(1, 6))
def test_a_picture_of_the_right_shape_is_the_same_with_all(h: int, w: int, share: int, times: int) -> None:
    pixels = noise(h * times, w * times)
    one, *others = (decode_array(pixels, rule(h * share, w * share, fit)) for fit in FITS)
    assert all(np.array_equal(one, other) for other in others)
    assert rule(h * share, w * share, "crop").keeps_shape(w * times, h * times)


def test_shapes_that_differ_by_rounding_alone_are_no_others() -> None:
    made = rule(43, 64, "crop")
    assert made.keeps_shape(500, 333)
    assert made.keeps_shape(64, 43)
    assert not made.keeps_shape(64, 46)
    assert not made.keeps_shape(66, 43)
    assert not rule(30, 30, "pad").keeps_shape(1, 90)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def scene(height: int, width: int) -> np.ndarray:
    coarse = Image.fromarray(noise(6, 9))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("fit", FITS)
def test_a_large_jpeg_keeps_enough_pixels_by_either_decoder(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for height, width, scale in ((1024, 600, 4), (600, 1400, 4), (300, 900, 2), (200, 900, 1)):
        content = jpeg(scene(height, width))
        made = rule(30, 64, fit)
        assert made.scale(width, height) == scale
        got = decode.decode(content, made)
        with monkeypatch.context() as patched:
            patched.setattr(decode, "_plain_jpeg", lambda _: None)
            assert np.array_equal(decode.decode(content, made), got)
        whole = decode.decode(content, made.model_copy(update={"version": 1}))
        assert np.abs(got.astype(int) - whole).mean() < 2


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize(("orientation", "turns"), [(6, -1), (8, 1), (3, 2)])
def test_the_middle_is_that_of_the_upright_picture(fit: Fit, orientation: int, turns: int) -> None:
    stored = noise(24, 50)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(stored).save(out, "PNG", exif=exif)
    upright = np.ascontiguousarray(np.rot90(stored, turns))
    made = rule(20, 16, fit)
    assert np.array_equal(decode.decode(out.getvalue(), made), decode_array(upright, made))


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """24 pictures of 20x50 in two classes, of which one shows nothing."""
    tree = {f"{'ab'[i % 2]}/{i:02}.png": png(noise(20, 50, i)) for i in range(23)}
    return write_tree(tmp_path / "wide", {**tree, "b/blank.png": png(np.full((20, 50, 3), 90, np.uint8))})


@pytest.mark.parametrize("fit", FITS)
def test_a_source_of_files_and_one_of_arrays_are_decoded_alike(fit: Fit, wide: Path, tmp_path: Path) -> None:
    spec = DataSpec(image_size=(16, 16), fit=fit)
    files = load_source(wide, spec)
    assert files.rule == rule(16, 16, fit)
    stored = [decode.decode((wide / name).read_bytes(), rule(20, 50, fit)) for name in files.names]
    np.savez(tmp_path / "wide.npz", x=np.stack(stored), y=files.labels)
    arrays = load_source(tmp_path / "wide.npz", spec)
    assert arrays.rule.fit == fit
    assert np.array_equal(arrays.pixels, files.pixels)
    assert np.array_equal(pixels_to_predict(stored, arrays.rule), files.pixels)
    assert np.array_equal(pixels_to_predict([Image.fromarray(s) for s in stored], files.rule), files.pixels)
    # Copies are looked for in whole pictures.
    assert np.array_equal(files.thumbs[0], decode_array(stored[0], rule(32, 32, "stretch")))
    # By the rule of a run, whatever the specification says now.
    again = load_source(wide, DataSpec(), rule=files.rule)
    assert np.array_equal(again.pixels, files.pixels)


WORDS: dict[Fit, tuple[str, str]] = {
    "stretch": ("24 pictures are stretched by more than 1.25 to fit 16x16.", "another shape were stretched"),
    "crop": ("24 pictures lose more than 20% of their area to fit 16x16.", "the middle was kept"),
    "pad": ("24 pictures leave more than 20% of 16x16 black.", "kept whole, with black beside them"),
}


@pytest.mark.parametrize("fit", FITS)
def test_the_audit_says_what_becomes_of_another_shape_and_what_else_there_is(fit: Fit, wide: Path) -> None:
    spec = DataSpec(image_size=(16, 16), fit=fit)
    images = load_source(wide, spec)
    found = {f.kind: f for f in audit_images(images, spec).findings}
    sentence, conversion = WORDS[fit]
    assert found["aspect_ratios"].sentence == sentence
    for other in set(FITS) - {fit}:
        assert f"data.fit={other} " in found["aspect_ratios"].advise("terminal")
    assert f"{conversion} (data.fit={fit})." in " ".join(images.conversions)
    # The black beside a picture does not make one that shows nothing show something, nor any picture darker.
    assert found["blank"].count == 1
    (at,) = found["blank"].groups[0]
    bright = properties(images, np.arange(len(images)), {})["brightness"]
    assert bright[at] == 90
    assert 110 < np.delete(bright, at).mean() < 145


def test_of_one_picture_the_audit_speaks_in_the_singular(tmp_path: Path) -> None:
    tree = {f"{'ab'[i % 2]}/{i}.png": png(noise(30, 30, i)) for i in range(5)}
    source = write_tree(tmp_path / "d", {**tree, "b/wide.png": png(noise(30, 60))})
    for fit, words in (
        ("crop", "1 picture loses more than 20% of its area"),
        ("pad", "1 picture leaves more"),
    ):
        spec = DataSpec(fit=fit)
        found = {f.kind: f for f in audit_images(load_source(source, spec), spec).findings}
        assert found["aspect_ratios"].sentence.startswith(words)


def test_each_fit_has_an_entry_in_the_cache_and_stretching_that_of_old_rules(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "the cache"))
    for fit in FITS:
        load_source(wide, DataSpec(image_size=(16, 16), fit=fit))
    assert len(cache.entries()) == 3
    survey = decoded.Survey(np.array([b"0" * 16], "V16"), [None], {})
    old = (
        '{"version":3,"color_mode":"rgb","height":16,"width":16,"filter":"bilinear","array_range":null,'
        '"array_type":null,"file_range":null}'
    )
    key = cache.key_of((b"0" * 16).hex(), old)
    assert decoded._entry_key(survey, DecodingRule.model_validate_json(old)) == key
    assert decoded._entry_key(survey, rule(16, 16, "stretch")) == key
    assert len({decoded._entry_key(survey, rule(16, 16, fit)) for fit in FITS}) == 3


def test_a_rule_without_the_field_stretches() -> None:
    saved = rule(16, 16, "crop").model_dump(mode="json")
    assert DecodingRule.model_validate(saved).fit == "crop"
    del saved["fit"]
    assert DecodingRule.model_validate(saved) == rule(16, 16, "stretch")
    for version in (1, 2):
        assert DecodingRule.model_validate({**saved, "version": version}).fit == "stretch"
