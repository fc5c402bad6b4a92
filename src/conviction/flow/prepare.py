"""Everything before training: load, audit, split, model, compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from conviction.backend import usable_cores
from conviction.config import ImageFacts, Recipe
from conviction.data import (
    Audit,
    DecodingRule,
    ImageSet,
    Split,
    audit_images,
    cut_folds,
    load_source,
    split_images,
)
from conviction.data.audit import KeptAudit
from conviction.data.image_set import Relabelled
from conviction.data.mirrors import Mirrors
from conviction.errors import RequestError, WeightsError
from conviction.evaluation import read_metadata
from conviction.flow.network import all_steps, search_rate, settle_mirrors
from conviction.flow.sessions import Progress, likeness_for, quietly
from conviction.flow.showing import Show
from conviction.model import LayerRow, check_memory, walk
from conviction.model.backbones import weights_record
from conviction.model.shapes import scaling_of
from conviction.reporting import Step, own_compile_step, steps
from conviction.training import RateSearch, check_batch_size, check_devices, choose_precision


class Loading(Protocol):
    """Receives what starts and takes a while, as ``Show.loading`` does."""

    def __call__(self, source: str, doing: str = "reading") -> None:
        """Something starts."""


def silently(source: str, doing: str = "reading") -> None:
    """The ``Loading`` of callers that show no progress."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is ready before training.

    Attributes:
        recipe: Settled, as it is kept.
        images: The data.
        audit: Its audit, after the split.
        split: Which image is in which part.
        rows: The layers.
        search: The search for a learning rate, if there was one.
        folds: By repetition, what ``evaluation.folds`` makes of the images outside the test set.
        mirrors: What decided whether training mirrors, if the images did.
    """

    recipe: Recipe
    images: ImageSet
    audit: Audit
    split: Split
    rows: list[LayerRow]
    search: RateSearch | None
    folds: Folds = ()
    mirrors: Mirrors | None = None

    @cached_property
    def steps(self) -> list[Step]:
        """The same in the words of the lab, one step at a time."""
        recipe, images, split = self.recipe, self.images, self.split
        classes, all_of_them = len(images.class_names), all_steps(recipe, split)
        return [
            steps.load_step(images),
            steps.reshape_step(images),
            steps.normalise_step(images, scaling_of(recipe.model)),
            steps.encode_step(images),
            steps.audit_step(self.audit.findings, self.audit.compared),
            steps.split_step(images, split, recipe.data),
            steps.model_step(self.rows, recipe.model),
            steps.compile_step(recipe.training, classes, all_of_them, self.search)
            if recipe.model.own is None
            else own_compile_step(recipe.model.own),
        ]


@dataclass(frozen=True)
class Divided:
    """Images that have been audited and divided into parts.

    Attributes:
        images: The data.
        audit: Its audit, after the split.
        split: Which image is in which part.
    """

    images: ImageSet
    audit: Audit
    split: Split


def divide(
    source: str | Path,
    asked: Recipe,
    data_dir: str | Path | None,
    *,
    rule: DecodingRule | None = None,
    kept: Callable[[ImageSet], KeptAudit] | None = None,
    changes: Relabelled | None = None,
    loading: Loading = silently,
    computing: Progress = quietly,
) -> Divided:
    """Reads the images, audits them and divides them.

    Args:
        source: As for ``fit``.
        asked: The specification before it is adapted to the images.
        data_dir: Where to look for named sets first.
        rule: The decoding rule of a run whose images are read again; None for a new run.
        kept: What a run whose images are read again keeps of its audit; None for a new run.
        changes: The labels that such a run has changed.
        loading: Receives what takes a while.
        computing: As ``Show.computing``, for features that the audit needs.

    Raises:
        RequestError: Something in the request or the data is wrong.
    """
    loading(str(source))
    images = load_source(source, asked.data, data_dir, rule=rule, changes=changes)
    loading("the audit of all images")
    if kept is None:
        audit = audit_images(images, asked.data, likeness_for(source, images, asked, data_dir, computing))
    else:
        audit = audit_images(images, asked.data, kept=kept(images))
    split = split_images(images, asked.data, asked.training.seed, audit.groups, audit.excluded)
    return Divided(images, audit.after_split(images, split), split)


def prepare_run(
    source: str | Path,
    asked: Recipe,
    data_dir: str | Path | None,
    adapt: Callable[[ImageFacts], Recipe],
    *,
    loading: Loading = silently,
    **how: Any,
) -> Prepared:
    """Finds everything that can be wrong with a request, before anything is shown or written.

    Args:
        source: As for ``divide``, and so are ``asked``, ``data_dir`` and ``how``.
        asked: See there.
        data_dir: See there.
        adapt: Makes the specification for the images.
        loading: Receives what takes a while.
        how: See there.

    Raises:
        RequestError: Something in the request or the data is wrong.
    """
    return prepare_divided(divide(source, asked, data_dir, loading=loading, **how), adapt, loading=loading)


def prepare_divided(
    divided: Divided, adapt: Callable[[ImageFacts], Recipe], *, loading: Loading = silently
) -> Prepared:
    """The same for images that have been divided.

    Raises:
        RequestError: The network or the training does not fit them.
    """
    images, audit, split = divided.images, divided.audit, divided.split
    recipe = adapt(ImageFacts.of(images.rule.shape, len(split.train)))
    folds = cut_for(recipe, images, audit, split)
    fewest = min(len(one.train) for one in (split, *chain(*folds)))
    if recipe.training.batch_size > fewest:
        recipe = adapt(ImageFacts.of(images.rule.shape, fewest))
    check_batch_size(recipe.training, len(split.train))
    check_folds(recipe, folds)
    recipe, mirrors = settle_mirrors(recipe, images, split)
    _check_views(recipe)
    if recipe.evaluation.metadata:
        read_metadata(recipe.evaluation.metadata, images)  # refused now, not after training
    classes = len(images.class_names)
    rows = walk(recipe.model, images.rule.shape, classes)
    recipe = _with_weights(recipe)
    recipe = _settle(recipe, images, rows)
    check_memory(rows, recipe.training)
    check_devices(recipe.training)
    search = None
    if recipe.training.learning_rate == "auto":
        loading("how the loss responds to the learning rate")
        search = search_rate(recipe, images, split, rows)
        settled = recipe.training.model_copy(update={"learning_rate": search.chosen})
        recipe = recipe.model_copy(update={"training": settled})
    return Prepared(recipe, images, audit, split, rows, search, folds, mirrors)


Folds = tuple[tuple[Split, ...], ...]


def cut_for(recipe: Recipe, images: ImageSet, audit: Audit, split: Split) -> Folds:
    """The folds of each repetition, which has a seed of its own.

    Args:
        recipe: Adapted to the images.
        images: The data.
        audit: Its audit, for the images that belong together.
        split: Of the run.

    Raises:
        SourceError: There are too few images for so many folds.
    """
    plan, seed = recipe.evaluation.fold_plan, recipe.training.seed
    if plan is None:
        return ()
    return tuple(
        tuple(cut_folds(images, split, audit.groups, plan.folds, seed + repetition))
        for repetition in range(plan.repetitions)
    )


def check_folds(recipe: Recipe, folds: Folds) -> None:
    """Refuses a batch that the networks of the folds cannot fill.

    Raises:
        RequestError: See above.
    """
    fewest = min((len(fold.train) for fold in chain(*folds)), default=recipe.training.batch_size)
    if recipe.training.batch_size > fewest:
        raise RequestError(
            f"training.batch_size: expected at most {fewest}, the number of images that a network learns from with "
            f"evaluation.folds={recipe.evaluation.folds}; got {recipe.training.batch_size}. "
            f"Try training.batch_size={fewest}."
        )


def _check_views(recipe: Recipe) -> None:
    """Refuses mirror images in evaluation where the network learns from none.

    Raises:
        RequestError: See above.
    """
    views, flip = recipe.evaluation.views, recipe.augmentation.flip
    if views > 1 and flip in ("none", "vertical"):
        raise RequestError(
            f"evaluation.views={views} averages over mirror images, and with augmentation.flip={flip} the network "
            "learns from none. Set augmentation.flip=horizontal if a mirror image has the same class, or leave "
            "evaluation.views out.",
            key="evaluation.views",
        )


def show_steps(ready: Prepared, show: Show) -> None:
    """Shows what was prepared, before training starts."""
    for step in ready.steps:
        show.step(step)


def _with_weights(recipe: Recipe) -> Recipe:
    """Says which file the weights of a backbone are from.

    Raises:
        WeightsError: It was not found, is not the published one, or not the one that the specification names.
    """
    first = recipe.model.backbone
    if first is None:
        return recipe
    record = weights_record(first)
    if first.weights is not None and first.weights.sha256 != record.sha256:
        raise WeightsError(
            f"model.layers.0.weights: expected the file with the SHA-256 {first.weights.sha256}, with which the run "
            f"was made; got {record.sha256}."
        )
    layers = (first.model_copy(update={"weights": record}), *recipe.model.layers[1:])
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"layers": layers})})


def _settle(recipe: Recipe, images: ImageSet, rows: Sequence[LayerRow]) -> Recipe:
    """Puts what the data and the machine decide into the specification that will be saved."""
    size = {"image_size": (images.rule.height, images.rule.width)}
    data = recipe.data.model_copy(update={**size, "color_mode": images.rule.color_mode})
    settled = {
        "threads": recipe.training.threads or usable_cores(),
        "precision": choose_precision(recipe.training, sum(r.multiply_adds for r in rows)),
    }
    return recipe.model_copy(update={"data": data, "training": recipe.training.model_copy(update=settled)})
