"""Near-duplicates: planted copies of each kind are found, other pictures are not."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from conviction.data.duplicates import NearPairs, find_near_duplicates

SIDE = 96
ORIGINALS = 1500
COPIES = 60

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def picture(rng: np.random.Generator) -> Image.Image:
    """Coloured shapes on 1/f noise, which has the spectrum of a photograph."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    frequency[0, 0] = 1
    noise = np.fft.rfft2(rng.standard_normal((3, SIDE, SIDE))) / frequency
    planes = np.fft.irfft2(noise, s=(SIDE, SIDE)).transpose(1, 2, 0)
    planes = 2 * planes.mean(-1, keepdims=True) + 0.6 * planes
    pixels = planes / planes.std() * 45 + 128
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for _ in range(3):
        middle, radius = rng.random(2), 0.08 + 0.25 * rng.random(2)
        inside = ((x - middle[0]) / radius[0]) ** 2 + ((y - middle[1]) / radius[1]) ** 2 < 1
        pixels[inside] = 0.4 * pixels[inside] + 0.6 * 255 * rng.random(3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encoded_again(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=int(rng.integers(30, 91)))
    return Image.open(io.BytesIO(out.getvalue())).convert(image.mode)


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = round(image.width * rng.uniform(0.5, 1.5))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def brightened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(float(rng.choice([0.75, 1.25])))


def mirrored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cropped_at_sides(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """5% off each of some sides, at least one."""
    off = rng.random(4) < 0.5
    off[rng.integers(4)] = True
    left, top, right, bottom = (round(0.05 * image.width) * off).tolist()
    return image.crop((left, top, image.width - right, image.height - bottom))


def cropped_in_total(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """5% of the width and of the height."""
    off = round(0.05 * image.width)
    left, top = rng.integers(0, off + 1, 2).tolist()
    return image.crop((left, top, left + image.width - off, top + image.height - off))


# The smallest share of the copies that must be found.
KINDS: dict[Change, float] = {
    encoded_again: 0.95,
    resized: 0.95,
    brightened: 0.9,
    mirrored: 0.9,
    cropped_at_sides: 0.8,
    cropped_in_total: 0.8,
}


def thumb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))


@cache
def planted(mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thumbnails of originals and then of copies; each one's original; each copy's place in ``KINDS``."""
    rng = np.random.default_rng(7)
    originals = [picture(rng).convert(mode) for _ in range(ORIGINALS)]
    thumbs, roots, kinds = [thumb(image) for image in originals], list(range(ORIGINALS)), []
    for kind, change in enumerate(KINDS):
        for root in rng.choice(ORIGINALS, COPIES, replace=False).tolist():
            thumbs.append(thumb(change(originals[root], rng)))
            roots.append(root)
            kinds.append(kind)
    return np.stack(thumbs).reshape(len(thumbs), 32, 32, -1), np.array(roots), np.array(kinds)


def as_set(pairs: NearPairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def noise_pictures(n: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    thumbs = [thumb(picture(rng))[..., :channels] for _ in range(n)]
    return np.array(thumbs, np.uint8).reshape(n, 32, 32, channels)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_copies_are_found_and_little_else(mode: str) -> None:
    thumbs, roots, kinds = planted(mode)
    pairs = find_near_duplicates(thumbs)
    found = as_set(pairs)
    for kind, (change, least) in enumerate(KINDS.items()):
        copies = ORIGINALS + np.flatnonzero(kinds == kind)
        recall = np.mean([(int(roots[copy]), int(copy)) in found for copy in copies])
        assert recall >= least, change.__name__
    assert np.mean(roots[pairs.first] == roots[pairs.second]) >= 0.95


def test_pairs_are_sorted_and_typed_and_tell_mirror_images() -> None:
    thumbs, _, kinds = planted("RGB")
    pairs = find_near_duplicates(thumbs)
    assert [a.dtype for a in (pairs.first, pairs.second)] == [np.int64] * 2
    assert (pairs.similarity.dtype, pairs.mirrored.dtype) == (np.float32, bool)
    assert (pairs.first < pairs.second).all()
    listed = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert listed == sorted(set(listed))
    assert ((pairs.similarity > 0.9) & (pairs.similarity <= 1)).all()
    of_original = (pairs.first < ORIGINALS) & (pairs.second >= ORIGINALS)
    is_mirror = kinds[pairs.second[of_original] - ORIGINALS] == list(KINDS).index(mirrored)
    assert np.array_equal(pairs.mirrored[of_original], is_mirror)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    thumbs, _, _ = planted("RGB")
    thumbs = thumbs[ORIGINALS - 500 :]
    order = np.random.default_rng(3).permutation(len(thumbs))
    pairs, shuffled = find_near_duplicates(thumbs), find_near_duplicates(thumbs[order])
    back = {(*sorted((int(order[a]), int(order[b]))),) for a, b in as_set(shuffled)}
    assert len(back) > 100
    assert back == as_set(pairs)


def test_the_same_pictures_give_the_same_bits() -> None:
    thumbs = planted("L")[0][ORIGINALS - 200 :]
    one, two = find_near_duplicates(thumbs), find_near_duplicates(thumbs)
    assert np.array_equal(one.first, two.first)
    assert np.array_equal(one.similarity, two.similarity)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_few_pictures(n: int, channels: int) -> None:
    pairs = find_near_duplicates(noise_pictures(n, channels))
    assert len(pairs.first) == len(pairs.second) == len(pairs.similarity) == len(pairs.mirrored) == 0
    assert pairs.first.dtype == np.int64


@pytest.mark.parametrize("channels", [1, 3])
def test_two_pictures_that_are_copies(channels: int) -> None:
    one = noise_pictures(1, channels)
    assert as_set(find_near_duplicates(np.concatenate([one, one]))) == {(0, 1)}
    flipped = find_near_duplicates(np.concatenate([one, one[:, :, ::-1]]))
    assert as_set(flipped) == {(0, 1)}
    assert flipped.mirrored.all()


def test_thousands_of_exact_copies_are_linked_to_the_first() -> None:
    thumbs = np.concatenate([noise_pictures(20), np.repeat(noise_pictures(1, seed=1), 5000, axis=0)])
    thumbs = np.concatenate([thumbs, noise_pictures(20)[:3]])
    pairs = find_near_duplicates(thumbs)
    assert as_set(pairs) == {(20, i) for i in range(21, 5020)} | {(i, 5020 + i) for i in range(3)}
    assert (pairs.similarity == 1).all()
    assert not pairs.mirrored.any()


def test_constant_pictures_are_no_duplicates() -> None:
    rng = np.random.default_rng(0)
    constant = np.broadcast_to(rng.integers(0, 256, (3000, 1, 1, 1)), (3000, 32, 32, 3)).astype(np.uint8)
    nearly = (128 + rng.integers(-1, 2, (3000, 32, 32, 3))).astype(np.uint8)
    pairs = find_near_duplicates(np.concatenate([constant, nearly, noise_pictures(5)]))
    assert len(pairs.first) == 0


def test_the_same_shapes_in_other_colours_are_another_picture() -> None:
    """The difference from gray is turned round, so that the luminance stays as it is."""
    rng = np.random.default_rng(2)
    weights = np.array([0.299, 0.587, 0.114])
    thumbs = []
    for _ in range(100):
        gray = 0.4 * thumb(picture(rng))[..., :1].astype(float) + 75
        colour = thumb(picture(rng)).astype(float)
        tint = colour - (colour @ weights)[..., None]
        tint *= 30 / tint.std()
        thumbs += [gray + tint, gray - tint, gray + 0.9 * tint]
    pairs = find_near_duplicates(np.clip(thumbs, 0, 255).astype(np.uint8))
    found = as_set(pairs)
    assert sum((i, i + 2) in found for i in range(0, 300, 3)) >= 95
    assert len(found) == sum((i, i + 2) in found for i in range(0, 300, 3))


def test_a_memory_map_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    thumbs = planted("RGB")[0][ORIGINALS - 100 :]
    np.save(tmp_path / "thumbs.npy", thumbs)
    mapped = np.load(tmp_path / "thumbs.npy", mmap_mode="r")
    assert as_set(find_near_duplicates(mapped)) == as_set(find_near_duplicates(thumbs))
    assert np.array_equal(np.load(tmp_path / "thumbs.npy"), thumbs)


@pytest.mark.parametrize("shape", [(4, 32, 32), (4, 28, 28, 1), (4, 32, 32, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected thumbnails of shape"):
        find_near_duplicates(np.zeros(shape, np.uint8))


@pytest.mark.data
@pytest.mark.full
def test_cifar10_has_copies_of_training_images_in_its_test_set() -> None:
    """Barz and Denzler ("Do We Train on Test Data?", 2020) found 3.3% of the test images by hand."""
    archive = Path(os.environ.get("CONVICTION_DATA_DIR", "/nonexistent")) / "cifar10-jpeg75.zip"
    if not archive.exists():
        pytest.skip("no cifar10-jpeg75.zip here: set CONVICTION_DATA_DIR to the folder that has it")
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".jpg"))
        thumbs = np.stack([np.asarray(Image.open(io.BytesIO(opened.read(name)))) for name in names])
    in_test = np.array([name.startswith("test/") for name in names])
    pairs = find_near_duplicates(thumbs)
    across = in_test[pairs.first] != in_test[pairs.second]
    ends = np.concatenate([pairs.first[across], pairs.second[across]])
    share = len(np.unique(ends[in_test[ends]])) / in_test.sum()
    assert 0.025 < share < 0.04
    classes = np.array([name.split("/")[1] for name in names])
    assert np.mean(classes[pairs.first] == classes[pairs.second]) > 0.95
