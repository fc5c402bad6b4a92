"""The network of a specification, compiled for its data, and the search for a learning rate that suits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from conviction.backend import prepare
from conviction.config import Recipe
from conviction.data import ImageSet, Split, encode_labels
from conviction.model import LayerRow, build, compile_model
from conviction.training import (
    Devices,
    RateSearch,
    find_rate,
    make_batches,
    steps_per_call,
    steps_per_epoch,
    weigh_classes,
)
from conviction.training.augment import mixes_targets

if TYPE_CHECKING:
    import keras


def all_steps(recipe: Recipe, split: Split) -> int:
    """The number of steps in the whole training."""
    return recipe.training.epochs * steps_per_epoch(recipe.training, len(split.train))


def compiled(
    recipe: Recipe, images: ImageSet, split: Split, rows: Sequence[LayerRow], precision: str
) -> keras.Sequential:
    """The network with its initial weights, compiled for the number of steps that training will take."""
    classes = len(images.class_names)
    train_images = len(split.train)
    return compiled_for(
        recipe, images.rule.shape, classes, rows, train_images=train_images, precision=precision
    )


def compiled_for(
    recipe: Recipe,
    shape: tuple[int, int, int],
    classes: int,
    rows: Sequence[LayerRow],
    *,
    train_images: int,
    precision: str,
) -> keras.Sequential:
    """The same without the images, from their shape (height, width, channels) and the number of training images."""
    spec = recipe.training
    with Devices(spec).scope():
        model = build(recipe.model, shape, classes, spec.seed, precision)
        compile_model(
            model,
            spec,
            classes,
            steps=spec.epochs * steps_per_epoch(spec, train_images),
            steps_per_call=steps_per_call(spec, sum(r.multiply_adds for r in rows)),
            mixed_targets=mixes_targets(recipe.augmentation),
        )
        model.optimizer.build(model.trainable_variables)
    return model


def search_rate(recipe: Recipe, images: ImageSet, split: Split, rows: Sequence[LayerRow]) -> RateSearch:
    """A range test of the learning rate on training images.

    Raises:
        RequestError: See ``find_rate``.
    """
    spec = recipe.training
    assert spec.threads is not None  # settled before
    prepare(spec.threads)
    # The rate must be settable at every step, and the weights are tested themselves, not their average.
    trial = spec.model_copy(update={"schedule": "constant", "learning_rate": 0.001, "ema": 0.0})
    model = compiled(recipe.model_copy(update={"training": trial}), images, split, rows, spec.precision)
    targets = encode_labels(images.labels, len(images.class_names))
    batches = make_batches(
        images.pixels,
        targets,
        split.train,
        spec.batch_size,
        shuffle_seed=spec.seed,
        augmentation=recipe.augmentation,
        class_weights=weigh_classes(spec, targets[split.train]),
    )

    def initial_weights(sweep: int) -> list[np.ndarray]:
        fresh = build(recipe.model, images.rule.shape, len(images.class_names), spec.seed + sweep)
        return fresh.get_weights()

    return find_rate(model, initial_weights, batches, spec)
