"""What sessions are found by: the features of a pretrained network where its weights are there, or else pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from conviction.backend import prepare, usable_cores
from conviction.config import ModelSpec, Recipe
from conviction.config.model import Backbone, GlobalAveragePooling2D
from conviction.data import ImageSet, load_source
from conviction.data.group import AUTO
from conviction.data.likeness import Likeness, by_features, by_pixels
from conviction.errors import WeightsError
from conviction.model import build, features_of, part
from conviction.model.backbones import SIZE, weights_record

_BACKBONE = Backbone(name="efficientnet_lite0")


def likeness_for(
    source: str | Path, images: ImageSet, recipe: Recipe, data_dir: str | Path | None
) -> Callable[[], Likeness] | None:
    """What ``audit_images`` takes; None, for pixels, unless ``data.group=auto`` asks to look closely.

    Args:
        source: Where the images are.
        images: As they were loaded for the network.
        recipe: By which they were loaded, and of which training is to use the same threads.
        data_dir: As for ``fit``.
    """
    return partial(_likeness, source, images, recipe, data_dir) if recipe.data.group == AUTO else None


def _likeness(source: str | Path, images: ImageSet, recipe: Recipe, data_dir: str | Path | None) -> Likeness:
    """
    The pictures are read as ``recipe=transfer`` reads them, which then has their features: which images belong together
    must not depend on ``data.image_size``.
    """
    try:
        weights_record(_BACKBONE)
    except WeightsError:
        return by_pixels(images)
    prepare(recipe.training.threads or usable_cores())
    larger_data = recipe.data.model_copy(
        update={"image_size": (SIZE, SIZE), "fit": "crop", "color_mode": "rgb"}
    )
    larger = load_source(source, larger_data, data_dir)
    layers = ModelSpec(layers=(_BACKBONE, GlobalAveragePooling2D()))
    parted = part(build(layers, larger.rule.shape, len(larger.class_names), seed=0))
    assert parted is not None  # it begins with a frozen backbone
    rows = larger.rows_of(images.hex_hashes(), images.names)
    if any(row is None for row in rows):  # a picture that can be decoded at one size alone
        return by_pixels(images)
    features = features_of(parted, larger, np.arange(len(larger)))
    # GlobalAveragePooling2D is part of the frozen start, so these are vectors.
    return by_features(features[np.array(rows, np.int64)], images.labels)
