"""Training images varied differently in every epoch: random draws first, then arithmetic on uint8 batches.

What an augmentation draws depends on its own value, the seed, the epoch and the step alone, so an interrupted epoch
can be continued, and one key's value does not disturb another's draws.
"""

from __future__ import annotations

import numpy as np

from conviction.config import AugmentationSpec
from conviction.training.augmentations import AUGMENTATIONS, Augmentation
from conviction.training.augmentations.flip import alternating_flips


def active_augmentations(spec: AugmentationSpec) -> list[Augmentation]:
    """The augmentations that are on, in the order of ``AUGMENTATIONS``."""
    return [one for one in AUGMENTATIONS if getattr(spec, one.key) not in ("none", 0)]


def applied_augmentations(spec: AugmentationSpec) -> list[Augmentation]:
    """Of the augmentations that are on, one for each effect, without effects that another one includes."""
    active = active_augmentations(spec)
    for_effect = {one.effect: one for one in active}
    return [one for one in for_effect.values() if not any(set(one.takes) < set(a.takes) for a in active)]


def mixes_targets(spec: AugmentationSpec) -> bool:
    """Whether targets become other than one-hot."""
    return any(one.mixes for one in active_augmentations(spec))


def augment(
    pixels: np.ndarray,
    targets: np.ndarray,
    spec: AugmentationSpec,
    *,
    seed: int,
    epoch: int,
    step: int,
    images: np.ndarray | None = None,
    rows: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Varies one batch; the arguments are never written to.

    Args:
        pixels: (n, h, w, c) uint8, n at least 1.
        targets: (n, k) float32.
        spec: What to do, and how much.
        seed: At least 0, as are the next two.
        epoch: From 0.
        step: The number of the batch within the epoch, from 0.
        images: (n,) which of the training images they are, for what each image decides; None for the first n.
        rows: Which images are wanted; the others may stay as they are.

    Returns:
        (n, h, w, c) uint8 and (n, k) float32: the very arguments where nothing is on. Only what mixes images
        changes targets; their rows still add up to what they did.
    """
    applied = applied_augmentations(spec)
    if not applied:
        return pixels, targets
    draws = draw(spec, pixels.shape[:3], seed=seed, epoch=epoch, step=step, images=images)
    if mixes_targets(spec):
        rows = slice(None)  # any image may be mixed into those that are wanted
    varied = pixels[rows]
    for one in applied:
        taken = [draws[key][rows] for key in one.takes]
        if one.mixes:
            varied, targets = one.effect(varied, targets, *taken)
        else:
            varied = one.effect(varied, *taken)
    if len(varied) == len(pixels):
        return varied, targets
    out = pixels.copy()
    out[rows] = varied
    return out, targets


def draw(
    spec: AugmentationSpec,
    shape: tuple[int, ...],
    *,
    seed: int,
    epoch: int,
    step: int,
    images: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """By key, the draws that the applied effects take, for a batch of ``shape`` (n, h, w); see ``augment``."""
    needed = {key for one in applied_augmentations(spec) for key in one.takes}
    draws = {}
    for one in AUGMENTATIONS:
        if one.key == "flip" and spec.flip == "alternate":
            draws["flip"] = alternating_flips(np.arange(shape[0]) if images is None else images, seed, epoch)
        elif one.key in needed:
            # The order of the epoch has the same key; its counter starts at 0 and never reaches the last word.
            stream = np.random.Philox(key=[seed, epoch], counter=[0, step, one.stream, 1])
            draws[one.key] = one.draw(np.random.Generator(stream), getattr(spec, one.key), *shape)
    return draws
