"""One training of an experiment: it depends on specification, data, seed and budget, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from conviction.backend import import_keras, prepare
from conviction.config import DataSpec, Recipe
from conviction.config.probing import needs_probe
from conviction.data import Split, split_images
from conviction.flow.network import compiled, learning, search_rate, settle_mirrors
from conviction.flow.probing import probe
from conviction.model import predict_images, walk
from conviction.pool.shared import Shared, open_shared
from conviction.pool.worker import Report
from conviction.process import restores_process
from conviction.training import EpochRow, EpochTiming, Progress, StopRequest

FUNCTION = "conviction.experiments.trial:run_trial"
# How many answers are timed for the median, after a first one that compiles.
ANSWERS = 50


@restores_process
def run_trial(payload: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Trains one network and scores it on validation images, without looking at any test image.

    Args:
        payload: ``recipe`` (JSON of a settled ``Recipe``), ``data`` (a folder of ``share``, or what ``put`` returned),
            ``split_seed``, ``images`` (how many training images to use, or None for all), ``rank`` (whether to keep
            half of the validation images for the ranking alone), ``latency`` (whether to measure how long one answer
            takes).
        report: Receives each epoch; training ends when it returns False.

    Returns:
        ``history`` and ``timing`` (rows as mappings), ``kept_epoch``, ``params``, ``multiply_adds``, ``train_images``,
        ``validation_images``, ``pruned``; with ``rank`` also ``rank_accuracy``, ``rank_loss`` and ``rank_images``; with
        ``latency`` also ``latency``, see ``answer_milliseconds``.

    Raises:
        ConvictionError: The network does not fit, or training diverged.
    """
    recipe = Recipe.model_validate_json(payload["recipe"])
    shared = open_shared(payload["data"])
    images = shared.images
    split = trial_split(payload["data"], recipe.data, payload["split_seed"], payload["images"])
    ranked = None
    if payload["rank"]:
        # The canonical order is by content, so every second image is as good as a random draw.
        split, ranked = replace(split, validation=split.validation[::2]), split.validation[1::2]
    rows = walk(recipe.model, images.rule.shape, len(images.class_names))
    assert recipe.training.threads is not None
    prepare(recipe.training.threads)
    recipe, _ = settle_mirrors(recipe, images, split)
    if recipe.training.learning_rate == "auto":
        chosen = search_rate(recipe, images, split, rows).chosen
        settled = recipe.training.model_copy(update={"learning_rate": chosen})
        recipe = recipe.model_copy(update={"training": settled})
    stop = _Stop()
    try:
        model = compiled(recipe, images, split, rows, recipe.training.precision)
        if needs_probe(recipe):
            probe(model, recipe, images, split, stop=stop)
        learns = learning(model, recipe, images, split)
        training = learns.train(recipe, images, split, watcher=_EpochReporter(report, stop), stop=stop)
        pruned = len(training.history) < recipe.training.epochs and bool(stop)
        scores = {} if ranked is None or pruned else _rank(model, shared, ranked)
        if payload["latency"]:
            scores["latency"] = answer_milliseconds(model, images.pixels[:1])
    finally:
        import_keras().backend.clear_session()
    return {
        "history": [asdict(row) for row in training.history],
        "timing": [asdict(row) for row in training.timing],
        "seconds": training.seconds,
        "kept_epoch": training.kept_epoch,
        "learning_rate": recipe.training.learning_rate,
        "params": sum(r.params for r in rows),
        "multiply_adds": sum(r.multiply_adds for r in rows),
        "train_images": len(split.train),
        "validation_images": len(split.validation),
        "pruned": pruned,
        **scores,
    }


@lru_cache(maxsize=8)
def trial_split(data: Any, spec: DataSpec, seed: int, images: int | None) -> Split:
    """The split of a seed, with only ``images`` of its training images.

    The training images are ordered by content; the seed decides which ones are taken, and they keep their order. A
    worker runs many trials of a seed in a row, and splitting many images takes a second.
    """
    shared = open_shared(data)
    split = split_images(shared.images, spec, seed, shared.groups, shared.excluded)
    if images is None or images >= len(split.train):
        return split
    chance = np.random.Generator(np.random.Philox(key=[seed, images]))
    chosen = np.sort(chance.permutation(len(split.train))[:images])
    return replace(split, train=split.train[chosen])


def answer_milliseconds(model: Any, image: np.ndarray) -> float:
    """The median time of an answer for one image by Keras, in the threads of the trial.

    Args:
        model: A compiled network.
        image: (1, h, w, c) uint8.
    """
    model.predict_on_batch(image)
    took = []
    for _ in range(ANSWERS):
        began = perf_counter()
        model.predict_on_batch(image)
        took.append((perf_counter() - began) * 1000)
    return median(took)


def _rank(model: Any, shared: Shared, indices: np.ndarray) -> dict[str, Any]:
    p = predict_images(model, shared.images, indices)
    truth = shared.images.labels[indices]
    likelihood = np.clip(p[np.arange(len(truth)), truth], 1e-7, 1.0)
    return {
        "rank_accuracy": float((p.argmax(axis=1) == truth).mean()),
        "rank_loss": float(-np.log(likelihood).mean()),
        "rank_images": len(indices),
    }


class _Stop(StopRequest):
    """Set once the study has seen enough of this trial."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked


class _EpochReporter:
    """Passes each epoch to ``report``, and stops training when that returns False."""

    def __init__(self, report: Report, stop: _Stop) -> None:
        self._report, self._stop = report, stop

    def progress(self, state: Progress) -> None:
        """Does nothing: the table changes once per epoch."""

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        if not self._report(asdict(row)):
            self._stop.asked = True
