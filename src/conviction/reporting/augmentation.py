"""What augmentation does to a few training images, as plain data for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conviction.config import AugmentationSpec
from conviction.training.augment import active_augmentations, augment
from conviction.training.augmentations import Augmentation

IMAGES_SHOWN = 4
VARIANTS_SHOWN = 7


@dataclass(frozen=True)
class AugmentationRow:
    """One operation alone, or all together: a sentence, and for each image (k, h, w, c) uint8, the original first."""

    sentence: str
    strips: tuple[np.ndarray, ...]


def augmentation_rows(
    pixels: np.ndarray, targets: np.ndarray, spec: AugmentationSpec, seed: int
) -> list[AugmentationRow]:
    """A row for each active operation, and one for all together if there are several.

    Args:
        pixels: (n, h, w, c) uint8 training images; the first few are shown, the others may be mixed in.
        targets: (n, k) float32.
        spec: What training does.
        seed: That of the run; the variants are drawn as in the first epochs.
    """
    active = active_augmentations(spec)
    chosen = [(_sentence(one, spec, pixels.shape), _only(one, spec)) for one in active]
    if len(active) > 1:
        chosen.append(("All together", spec))
    return [AugmentationRow(sentence, _strips(pixels, targets, one, seed)) for sentence, one in chosen]


def _only(one: Augmentation, spec: AugmentationSpec) -> AugmentationSpec:
    return AugmentationSpec(**{one.key: getattr(spec, one.key)})


def _sentence(one: Augmentation, spec: AugmentationSpec, shape: tuple[int, ...]) -> str:
    value = getattr(spec, one.key)
    return f"augmentation.{one.key}={value}: {one.sentence(value, *shape[1:3])}"


def _strips(
    pixels: np.ndarray, targets: np.ndarray, spec: AugmentationSpec, seed: int
) -> tuple[np.ndarray, ...]:
    variants = [
        pixels,
        *(
            augment(pixels, targets, spec, seed=seed, epoch=epoch, step=0)[0]
            for epoch in range(VARIANTS_SHOWN)
        ),
    ]
    stacked = np.stack(variants, axis=1)  # k arrays of (n, h, w, c) -> (n, k, h, w, c)
    return tuple(stacked[:IMAGES_SHOWN])
