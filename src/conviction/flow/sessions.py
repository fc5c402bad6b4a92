"""What the audit compares pictures by: the features of a pretrained network, or else pixels."""

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
from conviction.model.backbones import KINDS, SIZE, weights_record

_BACKBONE = Backbone(name="efficientnet_lite0")


Progress = Callable[[int, int], None]
"""Receives how many of how many pictures have been through the network."""


def quietly(done: int, total: int) -> None:
    """The ``Progress`` of callers that show none."""


def likeness_for(
    source: str | Path,
    images: ImageSet,
    recipe: Recipe,
    data_dir: str | Path | None,
    progress: Progress = quietly,
) -> Callable[[], Likeness] | None:
    """What ``audit_images`` takes.

    Args:
        source: Where the images are.
        images: As they were loaded for the network.
        recipe: By which they were loaded, and of which training is to use the same threads.
        data_dir: As for ``fit``.
        progress: Receives how far the features are, where they are not in the cache.

    Returns:
        None, for pixels, unless ``data.group=auto`` asks to look closely or the network has a backbone, whose features
        are needed anyway: a run that asks for neither must not take minutes more.
    """
    closely = recipe.data.group == AUTO or recipe.model.backbone is not None
    return partial(_likeness, source, images, recipe, data_dir, progress) if closely else None


def _likeness(
    source: str | Path, images: ImageSet, recipe: Recipe, data_dir: str | Path | None, progress: Progress
) -> Likeness:
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
    wanted = (SIZE, SIZE, "crop", "rgb")
    rule = images.rule
    has_them = (rule.height, rule.width, rule.fit, rule.color_mode) == wanted
    larger = images if has_them else load_source(source, larger_data, data_dir)
    layers = ModelSpec(layers=(_BACKBONE, GlobalAveragePooling2D()))
    parted = part(build(layers, larger.rule.shape, len(larger.class_names), seed=0))
    assert parted is not None  # it begins with a frozen backbone
    matched = larger.rows_of(images.hex_hashes(), images.names)
    if any(row is None for row in matched):  # a picture that can be decoded at one size alone
        return by_pixels(images)
    rows = np.array(matched, np.int64)
    features = features_of(parted, larger, np.arange(len(larger)), progress)
    # GlobalAveragePooling2D is part of the frozen start, so these are vectors.
    return by_features(
        features[rows], images.labels, KINDS[_BACKBONE.name].title, lambda some: larger.pixels[rows[some]]
    )
