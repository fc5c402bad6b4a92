"""Cross-validation: networks besides the one that is kept, each tested on images that it has not seen.

The test set stays out of it. What a finished fold has answered is in the run folder before the next one starts, so a
run that was stopped goes on with the fold that was interrupted.
"""

from __future__ import annotations

import gc
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from conviction.data import Split
from conviction.errors import RunError, RunFileError, TrainingError
from conviction.evaluation import RecipeEstimate, checked, estimate_recipe
from conviction.flow.learned import learn
from conviction.flow.network import search_rate, settle_mirrors
from conviction.flow.prepare import Prepared
from conviction.flow.showing import Show
from conviction.model import predict_images
from conviction.runs import folder
from conviction.runs.folds import OutOfFold, contents, read_folds, write_folds
from conviction.training import EpochRow, EpochTiming, Progress, StopRequest


def run_folds(path: Path, ready: Prepared, show: Show, stop: StopRequest) -> int:
    """Trains and tests the networks of all folds that are still missing.

    Args:
        path: The run folder.
        ready: With folds.
        show: Receives how many are done.
        stop: Ends it early; the fold that is being worked on is then not kept.

    Returns:
        How many folds are done.

    Raises:
        TrainingError: The loss of a network is no longer a number.
        EvaluationError: Neither are its answers.
    """
    answers = begun_folds(path, ready)
    done, total = answers.done, answers.learned.size
    index = _outside_test(ready.split)
    for repetition, splits in enumerate(ready.folds):
        for fold, split in enumerate(splits):
            if (repetition, fold) in done:
                continue
            show.folds_done(len(done), total)
            watcher = _FoldWatcher(len(done), total, ready.recipe.training.epochs, show)
            try:
                probabilities = _answers(_of_fold(ready, repetition, split), watcher, stop)
            except TrainingError as failure:
                raise TrainingError(
                    f"Fold {fold + 1} of repetition {repetition + 1} (evaluation.folds): {failure} The network of the "
                    "run itself is kept."
                ) from None
            if stop:
                return len(done)
            answers.probabilities[repetition, np.searchsorted(index, split.test)] = probabilities
            write_folds(path, answers)
            done.append((repetition, fold))
            gc.collect()  # a network refers to itself, and there may be a hundred
    show.folds_done(total, total)
    return total


def begun_folds(path: Path, ready: Prepared) -> OutOfFold:
    """What the run folder has of these folds; nothing answered where it has none of them.

    Raises:
        RunFileError: The file may be whole, but cannot be read.
    """
    fresh = _unanswered(ready)
    if not (path / folder.FOLDS).exists():
        return fresh
    try:
        kept = read_folds(path)
    except RunFileError as failure:
        if failure.reason != "damaged":
            raise
        return fresh
    # Training more epochs, for instance, makes other networks of the same folds.
    same = kept.key == fresh.key and kept.probabilities.shape == fresh.probabilities.shape
    return kept if same and np.array_equal(kept.fold, fresh.fold) else fresh


def read_estimate(path: Path, ready: Prepared) -> RecipeEstimate | None:
    """The estimate from the answers in a run folder; None for a run without folds.

    Raises:
        RunError: The answers are missing, cannot be read, are not complete, or belong to other images.
    """
    if ready.recipe.evaluation.folds is None:
        return None
    answers = read_folds(path)
    if not answers.is_of(ready.images, _outside_test(ready.split)):
        raise RunError(f"{path / folder.FOLDS}: its answers belong to other images than those of the run.")
    if len(answers.done) < answers.learned.size:
        raise RunError(
            f"{path / folder.FOLDS}: only {len(answers.done)} of {answers.learned.size} folds are done. "
            "Start a new run."
        )
    return estimate_recipe(answers.probabilities, answers.labels, answers.fold, answers.learned)


def _unanswered(ready: Prepared) -> OutOfFold:
    index = _outside_test(ready.split)
    images, classes = ready.images, len(ready.images.class_names)
    fold = np.zeros((len(ready.folds), len(index)), np.int64)
    for repetition, splits in enumerate(ready.folds):
        for number, split in enumerate(splits):
            fold[repetition, np.searchsorted(index, split.test)] = number
    return OutOfFold(
        key=_key(ready),
        probabilities=np.full((*fold.shape, classes), np.nan, np.float32),
        labels=images.labels[index],
        hashes=contents(images, index),
        fold=fold,
        learned=np.array([[len(split.train) for split in splits] for splits in ready.folds]),
    )


def _key(ready: Prepared) -> str:
    """Of everything that decides the answers, machine and versions excepted."""
    recipe = ready.recipe
    digest = hashlib.blake2b(digest_size=16)
    for section in (recipe.data, recipe.model, recipe.augmentation, recipe.training):
        digest.update(section.model_dump_json().encode())
    digest.update(f"{recipe.evaluation.calibrate} {ready.search is not None}".encode())
    if ready.mirrors is not None:
        digest.update(b"mirrors")
    if recipe.evaluation.views > 1:
        digest.update(f"views {recipe.evaluation.views}".encode())
    for splits in ready.folds:
        for split in splits:
            for part in (split.train, split.validation, split.test):
                digest.update(ready.images.hashes[part].tobytes() + b"|")
    return digest.hexdigest()


def _outside_test(split: Split) -> np.ndarray:
    """All images that the folds divide, in ascending order."""
    return np.sort(np.concatenate([split.train, split.validation]))


def _of_fold(ready: Prepared, repetition: int, split: Split) -> Prepared:
    """The same with the images of a fold and the seed of a repetition."""
    training = ready.recipe.training
    seed = (training.seed + repetition) % 2**31
    recipe = ready.recipe.model_copy(update={"training": training.model_copy(update={"seed": seed})})
    # What the run found on all its training images, this network must find without the images of its fold.
    if ready.mirrors is not None:
        recipe = recipe.model_copy(
            update={"augmentation": recipe.augmentation.model_copy(update={"flip": "auto"})}
        )
        recipe, _ = settle_mirrors(recipe, ready.images, split)
    if ready.search is not None:
        rate = search_rate(recipe, ready.images, split, ready.rows).chosen
        settled = recipe.training.model_copy(update={"learning_rate": rate})
        recipe = recipe.model_copy(update={"training": settled})
    return replace(ready, recipe=recipe, split=split, folds=())


def _answers(ready: Prepared, watcher: _FoldWatcher, stop: StopRequest) -> np.ndarray:
    """(n, classes): what a network that learns from the rest answers for the images of a fold."""
    learned = learn(ready, watcher=watcher, stop=stop)
    return checked(
        predict_images(learned.model, ready.images, ready.split.test, ready.recipe.evaluation.views)
    )


class _FoldWatcher:
    """Shows how far the network of a fold is as a part of all of them."""

    def __init__(self, done: int, total: int, epochs: int, show: Show) -> None:
        self._done, self._total, self._epochs, self._show = done, total, epochs, show

    def progress(self, state: Progress) -> None:
        """Within an epoch."""
        self._at(state.epoch - 1 + state.images / state.total)

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        """After an epoch."""
        self._at(row.epoch)

    def computing(self, done: int, total: int) -> None:
        """Nothing: the network that is kept has left the features of these images in the cache."""

    def noticed(self, sentence: str) -> None:
        """Nothing: that is said of the network that is kept."""

    def _at(self, epochs: float) -> None:
        self._show.folds_done(self._done + min(1.0, epochs / self._epochs), self._total)
