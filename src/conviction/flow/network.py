"""The network of a specification, compiled for its data, and the search for a learning rate that suits it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from conviction.backend import prepare
from conviction.config import Recipe
from conviction.data import ImageSet, Split, encode_labels
from conviction.data.mirrors import Mirrors, compare_mirrors
from conviction.model import LayerRow, Parted, build, compile_model, features_of, part
from conviction.model.frozen import Version, features_of_versions
from conviction.model.whitening import whiten
from conviction.training import (
    Devices,
    RateSearch,
    StopRequest,
    Training,
    TrainingState,
    Watcher,
    find_rate,
    make_batches,
    steps_per_call,
    steps_per_epoch,
    train,
    weigh_classes,
)
from conviction.training.augment import active_augmentations, mixes_targets
from conviction.training.views import vary_each, views_kept

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
    model = compiled_for(
        recipe, images.rule.shape, classes, rows, train_images=train_images, precision=precision
    )
    whiten(model, recipe.model, images.pixels, split.train)
    return model


def compiled_for(
    recipe: Recipe,
    shape: tuple[int, int, int],
    classes: int,
    rows: Sequence[LayerRow],
    *,
    train_images: int,
    precision: str,
) -> keras.Sequential:
    """The same without the images, from their shape (height, width, channels) and the number of training images.

    A whitening has yet to be fitted to them.
    """
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


@dataclass(frozen=True)
class Learning:
    """What is trained, and on what.

    Attributes:
        model: All of a network, or what comes after its frozen start; compiled.
        inputs: (n, ...) for the whole set: pixels, or what the frozen start makes of them.
        views: (v, n, ...) what it makes of the varied versions of the training images; None where they are not varied,
            or not before training.
    """

    model: keras.Sequential
    inputs: np.ndarray
    views: np.ndarray | None = None

    def train(
        self,
        recipe: Recipe,
        images: ImageSet,
        split: Split,
        *,
        watcher: Watcher,
        stop: StopRequest,
        start: TrainingState | None = None,
        keep: Callable[[TrainingState], None] = lambda state: None,
    ) -> Training:
        """Trains the model by ``conviction.training.train``, which says what the arguments are."""
        return train(
            self.model,
            pixels=self.inputs,
            targets=encode_labels(images.labels, len(images.class_names)),
            train_indices=split.train,
            validation_indices=split.validation,
            spec=recipe.training,
            views=self.views,
            augmentation=recipe.augmentation,
            watcher=watcher,
            stop=stop,
            start=start,
            keep=keep,
        )

    def carry_over(self, network: keras.Sequential) -> None:
        """Gives the network, whose layers were trained, what the optimizer has become as well."""
        if network is not self.model:
            for to, of in zip(network.optimizer.variables, self.model.optimizer.variables, strict=True):
                to.assign(of)


def learning(
    network: keras.Sequential,
    recipe: Recipe,
    images: ImageSet,
    split: Split,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Learning:
    """What to train of a compiled network.

    Where its start is frozen, that is computed once for every image, and once for every varied version of a training
    image; see ``views_kept`` for what is computed in every epoch.

    Args:
        network: From ``compiled``.
        recipe: Of the network.
        images: The data.
        split: Which image is in which part.
        progress: As for ``features_of``.
    """
    parted = parted_for(network, recipe, len(images.class_names), len(split.train))
    if parted is None:
        return Learning(network, images.pixels)
    plain, views = np.concatenate([split.train, split.validation]), None
    if active_augmentations(recipe.augmentation):
        plain, versions = split.validation, [_version(recipe, view) for view in range(views_kept(recipe))]
        views = features_of_versions(parted, images, split.train, versions, progress)
    return Learning(parted.rest, features_of(parted, images, plain, progress), views)


def _version(recipe: Recipe, view: int) -> Version:
    spec, seed = recipe.augmentation, recipe.training.seed
    return Version(
        (spec.model_dump(), seed, view), lambda pixels: vary_each(pixels, spec, seed=seed, view=view)
    )


def parted_for(network: keras.Sequential, recipe: Recipe, classes: int, train_images: int) -> Parted | None:
    """A compiled network as its frozen start and the rest, compiled for training; None if all of it is trained.

    Args:
        network: From ``compiled`` or ``compiled_for``.
        recipe: Of the network.
        classes: At least 2.
        train_images: How many there are.
    """
    parted = part(network) if views_kept(recipe) else None
    if parted is not None:
        spec, rest = recipe.training, parted.rest
        with Devices(spec).scope():
            compile_model(
                rest,
                spec,
                classes,
                steps=spec.epochs * steps_per_epoch(spec, train_images),
                steps_per_call=steps_per_call(spec, rest.count_params()),
            )
            rest.optimizer.build(rest.trainable_variables)
    return parted


def settle_mirrors(recipe: Recipe, images: ImageSet, split: Split) -> tuple[Recipe, Mirrors | None]:
    """Puts what training images say of mirrors in the place of ``augmentation.flip=auto``."""
    if recipe.augmentation.flip != "auto":
        return recipe, None
    mirrors = compare_mirrors(images.pixels, images.labels, split.train, images.class_names)
    settled = recipe.augmentation.model_copy(update={"flip": "alternate" if mirrors.use else "none"})
    return recipe.model_copy(update={"augmentation": settled}), mirrors


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
    learns = learning(model, recipe, images, split)
    batches = make_batches(
        learns.inputs,
        targets,
        split.train,
        spec.batch_size,
        shuffle_seed=spec.seed,
        views=learns.views,
        augmentation=None if learns.views is not None else recipe.augmentation,
        class_weights=weigh_classes(spec, targets[split.train]),
    )

    def initial_weights(sweep: int) -> list[np.ndarray]:
        fresh = build(recipe.model, images.rule.shape, len(images.class_names), spec.seed + sweep)
        whiten(fresh, recipe.model, images.pixels, split.train)
        # What follows a frozen start has the last of the weights.
        return fresh.get_weights()[-len(learns.model.weights) :]

    return find_rate(learns.model, initial_weights, batches, spec)
