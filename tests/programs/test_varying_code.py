"""Every augmentation draws the bits that it always drew, and an exported program draws the same."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from conviction.config import AugmentationSpec
from conviction.programs.source_code import source_of
from conviction.programs.varying_code import varying_code
from conviction.training.augment import augment
from conviction.training.augmentations import AUGMENTATIONS, Augmentation
from conviction.training.augmentations.flip import FLIP

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (12, 14, 11, 3), dtype=np.uint8)
TARGETS = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
VALUES = {
    "flip": "both",
    "shift": 0.2,
    "rotate": 20.0,
    "zoom": 0.2,
    "brightness": 0.2,
    "contrast": 0.3,
    "cutout": 0.3,
    "mixup": 0.4,
}
# SHA-256 of pixels and targets, by the program as it was before each augmentation became an object.
HASHES = {
    "flip": "38a5adda56a7379fecf1057923295652b2740fb01c3aa202192072d874b48008",
    "shift": "bea4a66b34a56dc8443d71f597b741eb5fd9fb461e5ab63ff14767082a22efe2",
    "rotate": "d194c823978aa0769f44b59b6725e9ebb26c99cff9772981817c334f066d354b",
    "zoom": "3b5c3ab8dd418ca1c832048c16a94d4426558ce478208c1ad6c19c0b36097ec4",
    "brightness": "a945877dcd1ef19fcc7c865337af734ee4e1e14364993a383052501c2ddf3cb9",
    "contrast": "ba1f712c72f3cb805c1c73a19f4af8a654c3913fafee805a93619b78839cc949",
    "cutout": "d901bb61d1f0120381aaf966e16600c74ad62d0223172c72511cfdad9b214ad0",
    "mixup": "d8c35cf4e09f821da8823c4f028e30e2b966fe233127ca7bae6e1e72d43eb93b",
    "all": "f625e580967d9e5c69368c8d107caaa0592442cde18ee74d9d046a6a79cb04f6",
}


def exported(spec: AugmentationSpec) -> tuple[np.ndarray, np.ndarray]:
    """What a program draws that has nothing but NumPy."""
    names: dict[str, object] = {"np": np}
    exec("from __future__ import annotations\n" + varying_code(spec, 3), names)
    return names["vary"](PIXELS, TARGETS, 1, 4, np.arange(len(PIXELS)))  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("key", HASHES)
def test_the_bits_of_every_augmentation_stay(key: str) -> None:
    spec = AugmentationSpec(**(VALUES if key == "all" else {key: VALUES[key]}))  # type: ignore[arg-type]
    x, y = augment(PIXELS, TARGETS, spec, seed=3, epoch=1, step=4)
    assert (x.shape, x.dtype, y.dtype) == (PIXELS.shape, np.uint8, np.float32)
    content = x.tobytes() + y.tobytes() + str((x.shape, x.dtype, y.dtype)).encode()
    assert hashlib.sha256(content).hexdigest() == HASHES[key]


def test_a_program_draws_the_same_bits_whatever_is_on() -> None:
    for keys in itertools.chain.from_iterable(itertools.combinations(VALUES, r) for r in range(1, 9)):
        spec = AugmentationSpec(**{key: VALUES[key] for key in keys})  # type: ignore[arg-type]
        for got, want in zip(
            exported(spec), augment(PIXELS, TARGETS, spec, seed=3, epoch=1, step=4), strict=True
        ):
            assert got.dtype == want.dtype
            assert np.array_equal(got, want), keys


def test_a_program_mirrors_in_turns_as_the_run_does() -> None:
    spec = AugmentationSpec(flip="alternate", cutout=0.2)
    want = augment(PIXELS, TARGETS, spec, seed=3, epoch=1, step=4)[0]
    assert np.array_equal(exported(spec)[0], want)


def test_every_key_has_an_object_and_a_stream_of_its_own() -> None:
    keys = sorted(one.key for one in AUGMENTATIONS)
    assert keys == sorted(AugmentationSpec.model_fields) == sorted(VALUES)
    assert sorted(one.stream for one in AUGMENTATIONS) == list(range(len(AUGMENTATIONS)))


def test_an_augmentation_without_source_cannot_be_made() -> None:
    def inner(pixels: np.ndarray, flips: np.ndarray) -> np.ndarray:
        return pixels

    for effect in (lambda pixels, flips: pixels, inner, np.flip):
        with pytest.raises(TypeError, match="top level of a module"):
            Augmentation(
                key="x", stream=9, draw=FLIP.draw, effect=effect, takes=("x",), sentence=FLIP.sentence
            )
    with pytest.raises(TypeError, match="own draws"):
        Augmentation(
            key="x", stream=9, draw=FLIP.draw, effect=FLIP.effect, takes=("flip",), sentence=FLIP.sentence
        )


def test_one_name_for_two_things_is_refused() -> None:
    with pytest.raises(ValueError, match="one name, flip"):
        source_of([FLIP.effect, flip])


def flip(pixels: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Another function of the same name."""
    return pixels
