"""Augmentation in front of a frozen start: a few varied versions of each training picture, computed once and kept.

A backbone would need minutes for the new version of every picture that augmentation makes in every epoch. So there are
only ``VIEWS`` versions of each, and the epochs take turns. What a version draws depends on the seed, its number and the
pixels of the picture alone: not on the split, so networks of folds share versions, and not on the order of pictures.
"""

from __future__ import annotations

import hashlib

import numpy as np

from conviction.config import AugmentationSpec, ModelSpec, Recipe
from conviction.training.augment import active_augmentations, augment, mixes_targets

VIEWS = 8
"""Versions of each training picture, at most: as many passes through the backbone as one epoch of as many pictures."""
# Layers that begin to learn, or that change in training.
_CHANGING = ("Conv2D", "Dense", "BatchNormalization", "Dropout")
# 48 bits: a word of the counter of Philox holds 64, and what NumPy makes a signed number of 63.
_NUMBER_BYTES = 6


def frozen_layers(spec: ModelSpec) -> int:
    """How many hidden layers make the same of the same picture in every epoch: those of a frozen start."""
    if spec.backbone is None or spec.backbone.trainable != "head":
        return 0
    kinds = [layer.type for layer in spec.layers]
    return next((i for i, kind in enumerate(kinds) if kind in _CHANGING), len(kinds))


def views_kept(recipe: Recipe) -> int:
    """How many versions of a training picture have features that are kept.

    1 without augmentation, ``VIEWS`` with it, but no more than epochs; 0 where every epoch has to compute them: without
    a frozen start, where pictures are mixed with each other, and where the features of a version are maps (as many
    numbers as the picture) and not one number for each map.
    """
    start = recipe.model.layers[: frozen_layers(recipe.model)]
    if not start or mixes_targets(recipe.augmentation):
        return 0
    if not active_augmentations(recipe.augmentation):
        return 1
    pooled = any(layer.type == "GlobalAveragePooling2D" for layer in start)
    return min(VIEWS, recipe.training.epochs) if pooled else 0


def vary_each(pixels: np.ndarray, spec: AugmentationSpec, *, seed: int, view: int) -> np.ndarray:
    """A version of each picture.

    Args:
        pixels: (n, h, w, c) uint8.
        spec: What to do, and how much; it mixes no pictures.
        seed: At least 0.
        view: The number of the version, from 0.

    Returns:
        (n, h, w, c) uint8; each row depends on its own picture alone.
    """
    out = np.empty_like(pixels)
    targets = np.zeros((1, 1), np.float32)
    for row, picture in enumerate(pixels):
        number = picture_number(picture)
        one, images = picture[np.newaxis], np.array([number])
        out[row] = augment(one, targets, spec, seed=seed, epoch=view, step=number, images=images)[0][0]
    return out


def picture_number(picture: np.ndarray) -> int:
    """A number below 2**48 for the content of a picture, (h, w, c) uint8."""
    digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=_NUMBER_BYTES).digest()
    return int.from_bytes(digest, "little")
