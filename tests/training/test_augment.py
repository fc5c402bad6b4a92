"""Augmentation: each operation against a slow one, what decides the draws, and that only training sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from conviction.backend import import_keras
from conviction.config import AugmentationSpec, TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.model import build, compile_model
from conviction.reporting.augmentation import augmentation_rows
from conviction.reporting.terminal import Silent
from conviction.training import StopRequest, make_batches, train
from conviction.training.augment import augment, draw
from conviction.training.augmentations.flip import alternating_flips
from conviction.training.augmentations.moving import affine

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (12, 14, 11, 3), dtype=np.uint8)
TARGETS = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
EVERY = AugmentationSpec(
    flip="both", shift=0.2, rotate=20.0, zoom=0.2, brightness=0.2, contrast=0.3, cutout=0.3, mixup=0.4
)


def one(spec: AugmentationSpec) -> tuple[np.ndarray, np.ndarray]:
    return augment(PIXELS, TARGETS, spec, seed=3, epoch=1, step=4)


def drawn(spec: AugmentationSpec):  # type: ignore[no-untyped-def]
    return draw(spec, (12, 14, 11), seed=3, epoch=1, step=4)


def test_nothing_is_on_by_default_and_costs_nothing() -> None:
    x, y = one(AugmentationSpec())
    assert x is PIXELS
    assert y is TARGETS


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "both"])
def test_flip(flip: str) -> None:
    spec = AugmentationSpec(flip=flip)
    flips = drawn(spec)["flip"]
    assert flips.any()
    assert not flips.all()
    for before, after, (down, right) in zip(PIXELS, one(spec)[0], flips, strict=True):
        want = before[::-1] if down else before
        assert np.array_equal(after, want[:, ::-1] if right else want)
    assert not flips[:, 0].any() or flip != "horizontal"
    assert not flips[:, 1].any() or flip != "vertical"


def test_each_image_is_mirrored_in_every_other_epoch_wherever_it_is_in_it() -> None:
    """As many as not, whatever the batch; another seed mirrors others first."""
    images = np.array([5, 0, 7, 1_000_000, 3])
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    spec = AugmentationSpec(flip="alternate")

    def varied(epoch: int, order: np.ndarray, seed: int = 0, step: int = 0) -> np.ndarray:
        targets = np.zeros((5, 1), np.float32)
        where = {"seed": seed, "epoch": epoch, "step": step, "images": images[order]}
        return augment(pixels[order], targets, spec, **where)[0]

    straight, mixed = np.arange(5), np.array([3, 1, 4, 0, 2])
    one, other = varied(0, straight), varied(1, straight)
    for a, b, original in zip(one, other, pixels, strict=True):
        sides = [np.array_equal(a, original), np.array_equal(b, original)]
        assert sorted(sides) == [False, True]
        mirror = b if sides[0] else a
        assert np.array_equal(mirror, original[:, ::-1])
    assert np.array_equal(varied(2, mixed, step=9), one[mixed])
    assert np.array_equal(varied(3, mixed), other[mixed])
    many = [alternating_flips(np.arange(10_000), seed, 0)[:, 1] for seed in (0, 1)]
    assert all(4_800 < flips.sum() < 5_200 for flips in many)
    assert 4_800 < (many[0] != many[1]).sum() < 5_200


def test_shift_is_a_crop_of_the_reflected_image() -> None:
    spec = AugmentationSpec(shift=0.25)
    moves = drawn(spec)["shift"]
    assert np.abs(moves).max(axis=0).tolist() <= [4, 3]
    for before, after, (down, right) in zip(PIXELS, one(spec)[0], moves, strict=True):
        padded = np.pad(before, ((4, 4), (3, 3), (0, 0)), mode="reflect")
        assert np.array_equal(after, padded[4 - down : 18 - down, 3 - right : 14 - right])


@pytest.mark.parametrize(
    "keys", [{"rotate": 30.0}, {"zoom": 0.3}, {"rotate": 180.0, "zoom": 0.5, "shift": 0.2}]
)
def test_rotation_and_zoom_are_scipys(keys: dict[str, float]) -> None:
    spec = AugmentationSpec(**keys)
    d = drawn(spec)
    matrices, offsets = affine(d["rotate"], d["zoom"], d["shift"], 14, 11)
    after = one(spec)[0]
    for i, before in enumerate(PIXELS):
        for c in range(3):
            want = ndimage.affine_transform(
                before[..., c].astype(float), matrices[i], offsets[i], order=1, mode="mirror"
            )
            assert np.abs(after[i, ..., c] - want).max() <= 1.0


def test_a_quarter_turn_turns_towards_the_bottom() -> None:
    matrices, offsets = affine(np.array([90.0]), np.ones(1), np.zeros((1, 2)), 5, 5)
    # The pixel right of the centre, (2, 3), comes to stand below it, (3, 2).
    assert np.allclose(matrices[0] @ [3, 2] + offsets[0], [2, 3])


def test_brightness_and_contrast() -> None:
    spec = AugmentationSpec(brightness=0.3, contrast=0.5)
    d = drawn(spec)
    for i, (before, after) in enumerate(zip(PIXELS, one(spec)[0], strict=True)):
        want = before.mean() + d["contrast"][i] * (before - before.mean()) + d["brightness"][i]
        assert np.abs(after - np.clip(want, 0, 255)).max() <= 0.51
    assert np.abs(d["brightness"]).max() <= 0.3 * 255
    assert 0.5 <= d["contrast"].min() <= d["contrast"].max() <= 1.5


def test_cutout_is_a_square_of_the_mean_colour() -> None:
    spec = AugmentationSpec(cutout=0.4)  # round(0.4 * 11) = 4
    squares = drawn(spec)["cutout"]
    assert (squares[:, 2] == 4).all()
    for before, after, (y, x) in zip(PIXELS, one(spec)[0], squares[:, :2], strict=True):
        want = before.copy()
        want[max(0, y - 2) : y + 2, max(0, x - 2) : x + 2] = np.rint(before.mean(axis=(0, 1)))
        assert np.array_equal(after, want)


def test_mixup_mixes_images_and_targets_alike() -> None:
    spec = AugmentationSpec(mixup=0.5)
    shares, partners = drawn(spec)["mixup"].T
    partners = partners.astype(int)
    assert sorted(partners) == list(range(12))
    x, y = one(spec)
    share = shares[:, None, None, None]
    want = share * PIXELS + (1 - share) * PIXELS[partners]
    assert np.abs(x - want).max() <= 0.51
    assert np.allclose(y, shares[:, None] * TARGETS + (1 - shares[:, None]) * TARGETS[partners], atol=1e-6)
    assert np.allclose(y.sum(axis=1), 1, atol=1e-6)


def test_seed_epoch_and_step_decide_and_nothing_else() -> None:
    np.random.seed(0)
    state = np.random.get_state()[1].tolist()
    base = augment(PIXELS, TARGETS, EVERY, seed=3, epoch=1, step=4)
    again = augment(PIXELS, TARGETS, EVERY, seed=3, epoch=1, step=4)
    assert all(np.array_equal(a, b) for a, b in zip(base, again, strict=True))
    for seed, epoch, step in ((4, 1, 4), (3, 2, 4), (3, 1, 5)):
        other = augment(PIXELS, TARGETS, EVERY, seed=seed, epoch=epoch, step=step)
        assert not np.array_equal(base[0], other[0])
    assert np.random.get_state()[1].tolist() == state


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(4, 20), st.integers(4, 20), st.sampled_from([1, 3])),
    keys=st.fixed_dictionaries(
        {
            "flip": st.sampled_from(["none", "horizontal", "vertical", "both", "alternate"]),
            "shift": st.floats(0, 0.5),
            "rotate": st.floats(0, 180),
            "zoom": st.floats(0, 0.9),
            "brightness": st.floats(0, 1),
            "contrast": st.floats(0, 1),
            "cutout": st.floats(0, 1),
            "mixup": st.floats(0, 10),
        }
    ),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 100_000),
    step=st.integers(0, 10**6),
)
def test_any_values_give_images_of_the_same_kind(shape, keys, seed: int, epoch: int, step: int) -> None:  # type: ignore[no-untyped-def]
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = pixels.copy()
    targets = encode_labels(np.arange(shape[0]) % 2, 2)
    x, y = augment(pixels, targets, AugmentationSpec(**keys), seed=seed, epoch=epoch, step=step)
    assert (x.shape, x.dtype, y.shape, y.dtype) == (pixels.shape, np.uint8, targets.shape, np.float32)
    assert y.min() >= 0
    assert y.max() <= 1
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_some_rows_are_varied_as_they_are_among_all(mixup: float) -> None:
    spec = EVERY.model_copy(update={"mixup": mixup})
    whole, targets = one(spec)
    for rows in (slice(0, 4), slice(4, 8), slice(5, 12)):
        x, y = augment(PIXELS, TARGETS, spec, seed=3, epoch=1, step=4, rows=rows)
        assert np.array_equal(x[rows], whole[rows])
        assert np.array_equal(y, targets)


def test_only_shuffled_batches_are_varied() -> None:
    index = np.arange(12)
    kept = make_batches(PIXELS, TARGETS, index, 5, augmentation=EVERY)
    assert np.array_equal(np.concatenate([kept[i][0] for i in range(3)]), PIXELS)
    varied = make_batches(PIXELS, TARGETS, index, 12, shuffle_seed=7, augmentation=EVERY)
    varied.start_epoch(2)
    plain = make_batches(PIXELS, TARGETS, index, 12, shuffle_seed=7)
    plain.start_epoch(2)
    want = augment(*plain[0], EVERY, seed=7, epoch=2, step=0)
    assert all(np.array_equal(a, b) for a, b in zip(varied[0], want, strict=True))


def trained(classes: int, augmentation: AugmentationSpec | None):  # type: ignore[no-untyped-def]
    labels = np.arange(60) % classes
    pixels = np.random.default_rng(1).integers(0, 60, (60, 12, 12, 1), dtype=np.uint8)
    for label, place in enumerate((np.s_[:6], np.s_[:, :6], np.s_[6:])):
        pixels[labels == label, *(place if isinstance(place, tuple) else (place,))] += 150
    spec = TrainingSpec(epochs=8, batch_size=10, learning_rate=0.01)
    model = build(load_recipe(["model.filters=[4]", "model.dense=[8]"]).model, (12, 12, 1), classes, 0)
    compile_model(
        model, spec, classes, steps=1, mixed_targets=augmentation is not None and augmentation.mixup > 0
    )
    keys = {} if augmentation is None else {"augmentation": augmentation}
    result = train(
        model,
        pixels=pixels,
        targets=encode_labels(labels, classes),
        train_indices=np.arange(45),
        validation_indices=np.arange(45, 60),
        spec=spec,
        watcher=Silent(),
        stop=StopRequest(),
        **keys,
    )
    return result.history, model.get_weights()


def equal_weights(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_training_with_augmentation_repeats_its_bits_and_differs_from_plain() -> None:
    spec = AugmentationSpec(shift=0.1, rotate=10.0, mixup=0.2)
    (first, one_weights), (second, two_weights) = trained(3, spec), trained(3, spec)
    assert first == second
    assert equal_weights(one_weights, two_weights)
    plain = trained(3, None)
    assert equal_weights(plain[1], trained(3, AugmentationSpec())[1])
    assert not equal_weights(plain[1], one_weights)


def test_accuracy_of_two_classes_under_mixup_counts_the_likelier_class() -> None:
    history, _ = trained(2, AugmentationSpec(mixup=0.2))
    assert history[-1].accuracy > 0.8
    assert history[-1].val_accuracy > 0.8


def test_a_model_trained_with_mixup_is_saved_whole_and_needs_keras_alone(tmp_path: Path) -> None:
    keras = import_keras()
    spec = TrainingSpec(batch_size=10)
    model = build(load_recipe(["model.filters=[4]", "model.dense=[8]"]).model, (12, 12, 1), 2, 0)
    compile_model(model, spec, 2, steps=1, mixed_targets=True)
    targets = np.full((10, 1), 0.7, np.float32)
    said = model.train_on_batch(np.zeros((10, 12, 12, 1), np.uint8), targets, return_dict=True)
    assert said["accuracy"] in (0.0, 1.0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    assert int(again.optimizer.iterations) == 1


def test_the_report_shows_each_operation_and_all_together() -> None:
    assert augmentation_rows(PIXELS, TARGETS, AugmentationSpec(), 0) == []
    rows = augmentation_rows(PIXELS, TARGETS, AugmentationSpec(flip="horizontal", shift=0.1), 0)
    assert [r.sentence.split(":")[0] for r in rows] == [
        "augmentation.flip=horizontal",
        "augmentation.shift=0.1",
        "All together",
    ]
    for row in rows:
        assert len(row.strips) == 4
        for original, strip in zip(PIXELS, row.strips, strict=False):
            assert strip.shape == (8, 14, 11, 3)
            assert np.array_equal(strip[0], original)
    # Alone means alone: a flip moves nothing.
    for image in rows[0].strips[0]:
        assert np.array_equal(image, PIXELS[0]) or np.array_equal(image, PIXELS[0][:, ::-1])
