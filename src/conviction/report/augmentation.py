"""What augmentation does to a few training images, as plain data for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conviction.config import AugmentationSpec
from conviction.training.augment import active_operations, augment, cutout_side, shift_reach

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
    active = active_operations(spec)
    chosen = [(_sentence(key, spec, pixels.shape), spec.model_copy(update=_all_but(key))) for key in active]
    if len(active) > 1:
        chosen.append(("All together", spec))
    return [AugmentationRow(sentence, _strips(pixels, targets, one, seed)) for sentence, one in chosen]


def _all_but(key: str) -> dict[str, object]:
    return {name: field.default for name, field in AugmentationSpec.model_fields.items() if name != key}


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


def _sentence(key: str, spec: AugmentationSpec, shape: tuple[int, ...]) -> str:
    height, width = shape[1:3]
    down, right = shift_reach(spec, height, width)
    side = cutout_side(spec, height, width)
    effects = {
        "flip": f"mirrored at random ({spec.flip})",
        "shift": f"moved by up to {down} pixels up or down and {right} to the left or right",
        "rotate": f"turned by up to {spec.rotate:g} degrees either way",
        "zoom": f"made up to {1 + spec.zoom:g} times larger or {1 - spec.zoom:g} times as large",
        "brightness": f"up to {255 * spec.brightness:.0f} gray levels brighter or darker",
        "contrast": f"contrast from {1 - spec.contrast:g} to {1 + spec.contrast:g} times",
        "cutout": f"a square of {side}x{side} pixels is filled with the mean colour",
        "mixup": "two images and their labels are mixed",
    }
    return f"augmentation.{key}={getattr(spec, key)}: {effects[key]}"
