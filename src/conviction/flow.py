"""The whole lab in order: load, reshape, normalise, encode, split, model, compile, train, evaluate, keep."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from conviction.backend import import_keras, prepare, usable_cores
from conviction.config import Facts, Recipe, load_recipe
from conviction.data import Audit, ImageSet, Split, audit_images, encode_labels, load_source, split_images
from conviction.errors import Interrupted
from conviction.evaluation import Evaluation, evaluate, record_opening
from conviction.model import LayerRow, build, carry_over, check_memory, compile_model, walk
from conviction.report import steps
from conviction.report.page import render_page
from conviction.report.steps import Step
from conviction.report.terminal import Terminal
from conviction.runs import Run, folder
from conviction.runs.environment import describe_environment, peak_memory_bytes
from conviction.training import (
    EpochRow,
    EpochTiming,
    Training,
    Watcher,
    check_batch_size,
    choose_precision,
    steps_per_call,
    steps_per_epoch,
    stop_on_signals,
    train,
)

if TYPE_CHECKING:
    import keras

Overrides = Sequence[str] | Mapping[str, Any]


class Show(Watcher, Protocol):
    """Whoever shows a run to a person: ``Terminal`` or ``Silent``."""

    def loading(self, source: str) -> None:
        """The source is being read, which can take a while."""

    def step(self, step: Step) -> None:
        """A step of the lab is done, or in the case of training begins."""

    def training_starts(self, epochs: int) -> None:
        """Training begins."""

    def close(self) -> None:
        """The run has ended, well or not."""


@dataclass(frozen=True)
class _Prepared:
    """Everything before training, and the steps that told of it."""

    recipe: Recipe
    images: ImageSet
    audit: Audit
    split: Split
    rows: list[LayerRow]
    told: list[Step]


def fit(
    source: str | Path,
    overrides: Overrides = (),
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: Show | None = None,
) -> Run:
    """Trains and tests a network on labelled images, and keeps everything in a run folder.

    Args:
        source: A named set (``digits``, ``fashion_mnist``, ``mnist``, ``cifar10``, ``cifar100``) or a path: an
            image folder, a ``.zip`` or ``.tar`` of one, an ``.npz``, a folder of IDX files.
        overrides: Keys of the specification, ``{"training.epochs": 3}`` or ``["training.epochs=3"]``.
        recipe: Short for the override ``recipe``.
        config: A YAML file with sections as in ``config.yaml``; overrides win over it.
        out: The run folder, new or empty; default ``runs/<source>-<recipe>-<n>``.
        data_dir: Where named sets are looked for first.
        show: Who is told of progress; default the terminal (stderr).

    Returns:
        The finished run.

    Raises:
        RequestError: Something in the request or the data is wrong; nothing has been written.
        TrainingError: Training diverged; the run folder keeps the history so far.
        Interrupted: SIGINT or SIGTERM came while it trained; the model so far has been kept.
        StorageError: No space is left, or the device fails.
    """
    started = time.time()
    given = _given(overrides, recipe)
    spec = load_recipe(given, config)
    place = Path(out) if out is not None else None
    folder.check_out(place if place is not None else Path("runs", "new"))
    show = show or Terminal(sys.stderr)
    try:
        ready = _prepare(source, spec, data_dir, show, lambda facts: load_recipe(given, config, facts))
        return _run(source, ready, place, show, started)
    finally:
        show.close()


def summary(
    source: str | Path,
    overrides: Overrides = (),
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> list[LayerRow]:
    """The network that ``fit`` would train on this source, layer by layer, without training it.

    Returns:
        One row per layer: output shape, parameters, multiply-adds, receptive field.
    """
    given = _given(overrides, recipe)
    spec = load_recipe(given, config)
    images = load_source(source, spec.data, data_dir)
    spec = load_recipe(given, config, Facts(images.rule.height, images.rule.width, len(images)))
    return walk(spec.model, images.rule.shape, len(images.class_names))


def _given(overrides: Overrides, recipe: str | None) -> Overrides:
    if recipe is None:
        return overrides
    if isinstance(overrides, Mapping):
        return {**overrides, "recipe": recipe}
    return [*overrides, f"recipe={recipe}"]


def _prepare(
    source: str | Path,
    asked: Recipe,
    data_dir: str | Path | None,
    show: Show,
    adapt: Callable[[Facts], Recipe],
) -> _Prepared:
    """Everything that can be wrong with a request is found here, before anything is told or written."""
    show.loading(str(source))
    images = load_source(source, asked.data, data_dir)
    show.loading("the audit of all images")
    audit = audit_images(images, asked.data)
    split = split_images(images, asked.data, asked.training.seed, audit.groups, audit.excluded)
    recipe = adapt(Facts(images.rule.height, images.rule.width, len(split.train)))
    check_batch_size(recipe.training, len(split.train))
    classes = len(images.class_names)
    rows = walk(recipe.model, images.rule.shape, classes)
    recipe = _resolve(recipe, images, rows)
    check_memory(rows, recipe.training)
    told = [
        steps.load_step(images),
        steps.reshape_step(images),
        steps.normalise_step(images),
        steps.encode_step(images),
        steps.audit_step(audit.findings),
        steps.split_step(images, split, recipe.data),
        steps.model_step(rows),
        steps.compile_step(recipe.training, classes, _all_steps(recipe, split)),
    ]
    for step in told:
        show.step(step)
    return _Prepared(recipe, images, audit, split, rows, told)


def _resolve(recipe: Recipe, images: ImageSet, rows: Sequence[LayerRow]) -> Recipe:
    """Writes what the data and the machine decided into the specification that is saved."""
    size = {"image_size": (images.rule.height, images.rule.width)}
    data = recipe.data.model_copy(update={**size, "color_mode": images.rule.color_mode})
    settled = {
        "threads": recipe.training.threads or usable_cores(),
        "precision": choose_precision(recipe.training, sum(r.multiply_adds for r in rows)),
    }
    return recipe.model_copy(update={"data": data, "training": recipe.training.model_copy(update=settled)})


def _run(source: str | Path, ready: _Prepared, out: Path | None, show: Show, started: float) -> Run:
    recipe, images, split = ready.recipe, ready.images, ready.split
    stem = f"{Path(str(source)).name.split('.')[0]}-{recipe.recipe}"
    path = folder.create(out, Path("runs"), stem)
    folder.write_text(path / folder.CONFIG, recipe.to_yaml())
    folder.write_json(path / folder.DATA, _data_json(source, ready))
    told = [*ready.told, steps.train_step(recipe, len(split.train))]
    show.step(told[-1])
    training, stopped_by = _train(path, ready, show)
    evaluation = None
    if stopped_by is None:
        evaluation = _evaluate(path, ready, training)
        told.append(steps.evaluate_step(evaluation, _doubts(ready)))
        show.step(told[-1])
    stopped = _stopped_sentence(stopped_by, training, recipe)
    page = render_page(
        name=path.name,
        recipe=recipe,
        images=images,
        findings=ready.audit.findings,
        split=split,
        steps=told,
        history=training.history,
        evaluation=evaluation,
        stopped=stopped,
    )
    folder.write_text(path / folder.REPORT, page)
    folder.write_json(path / folder.ENVIRONMENT, _environment(started, recipe, training))
    if stopped_by is not None:
        raise Interrupted(f"{stopped} The model so far is in {path}; the test set stays sealed.", stopped_by)
    if evaluation is not None:
        # Last, because this file says that the run is done.
        folder.write_json(path / folder.EVALUATION, evaluation.to_json())
    show.step(steps.folder_step(path, sorted(p.name for p in path.iterdir())))
    return Run(path)


def _train(path: Path, ready: _Prepared, show: Show) -> tuple[Training, int | None]:
    """Trains and saves the model; the second value is the signal that stopped it, if one did."""
    recipe, images = ready.recipe, ready.images
    classes = len(images.class_names)
    # From here on a signal is a request: what has been learned is kept.
    with stop_on_signals() as stop:
        assert recipe.training.threads is not None  # _resolve has settled it
        prepare(recipe.training.threads)
        model = _network(ready, recipe.training.precision)
        show.training_starts(recipe.training.epochs)
        training = train(
            model,
            pixels=images.pixels,
            targets=encode_labels(images.labels, classes),
            train_indices=ready.split.train,
            validation_indices=ready.split.validation,
            spec=recipe.training,
            augmentation=recipe.augmentation,
            watcher=_Keeper(path, show),
            stop=stop,
        )
        if recipe.training.precision != "float32":
            learned, model = model, _network(ready, "float32")
            carry_over(learned, model)
        folder.write_model(path / folder.MODEL, model, images.class_names, images.rule)
    return training, stop.signal_number


def _all_steps(recipe: Recipe, split: Split) -> int:
    return recipe.training.epochs * steps_per_epoch(recipe.training, len(split.train))


def _network(ready: _Prepared, precision: str) -> keras.Sequential:
    """The network of the specification, compiled for so many steps as will be made."""
    recipe, spec = ready.recipe, ready.recipe.training
    classes = len(ready.images.class_names)
    model = build(recipe.model, ready.images.rule.shape, classes, spec.seed, precision)
    compile_model(
        model,
        spec,
        classes,
        steps=_all_steps(recipe, ready.split),
        steps_per_call=steps_per_call(spec, sum(r.multiply_adds for r in ready.rows)),
        mixed_targets=recipe.augmentation.mixup > 0,
    )
    return model


class _Keeper:
    """Writes history and timing after every epoch, then tells whoever watches."""

    def __init__(self, path: Path, show: Show) -> None:
        self._path = path
        self._show = show
        self._history: list[EpochRow] = []
        self._timing: list[EpochTiming] = []
        self.progress = show.progress

    def epoch_done(self, row: EpochRow, timing: EpochTiming) -> None:
        self._history.append(row)
        self._timing.append(timing)
        columns = [f.name for f in fields(EpochRow)]
        folder.write_rows(self._path / folder.HISTORY, self._history, columns)
        columns = [f.name for f in fields(EpochTiming)]
        folder.write_rows(self._path / folder.TIMING, self._timing, columns)
        self._show.epoch_done(row, timing)


def _evaluate(path: Path, ready: _Prepared, training: Training) -> Evaluation:
    """Scores the very file that was saved, not the model in memory."""
    saved = Run(path).model

    def open_test() -> int:
        return record_opening(ready.split.test_hash, path, "fit")

    opening = open_test if ready.recipe.evaluation.test else None
    return evaluate(saved, ready.images, ready.split, training.history, opening)


def _doubts(ready: _Prepared) -> list[str]:
    """What the audit found that makes the accuracy doubtful; leaks that were left out do not."""
    return [
        finding.sentence
        for finding in ready.audit.findings
        if finding.severity == "serious" and not (finding.kind == "leak" and "leak" in ready.split.left_out)
    ]


def _stopped_sentence(stopped_by: int | None, training: Training, recipe: Recipe) -> str:
    if stopped_by is None:
        return ""
    name = signal.Signals(stopped_by).name
    return f"{name} stopped training after {len(training.history)} of {recipe.training.epochs} epochs."


def _data_json(source: str | Path, ready: _Prepared) -> dict[str, Any]:
    images, split = ready.images, ready.split
    parts = ("train", "validation", "test")
    return {
        "source": str(source),
        "name": images.name,
        "location": images.location,
        "stored": images.stored,
        "conversions": images.conversions,
        "decoding": images.rule.model_dump(),
        "class_names": images.class_names,
        "counts": {part: images.counts(split.of(part)) for part in parts},
        "audit": {
            "unreadable": {u.name: u.reason for u in images.unreadable},
            "findings": [f.to_json(images) for f in ready.audit.findings],
        },
        "split": {
            "test_origin": split.test_origin,
            "validation_origin": split.validation_origin,
            "test_hash": split.test_hash,
            "left_out": {why: [images.names[i] for i in which] for why, which in split.left_out.items()},
            **{
                part: {images.names[i]: images.hashes[i].tobytes().hex() for i in split.of(part)}
                for part in parts
            },
        },
    }


def _environment(started: float, recipe: Recipe, training: Training) -> dict[str, Any]:
    import_keras()
    return {
        **describe_environment(),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": {"training": training.seconds, "total": time.time() - started},
        "peak_memory_bytes": peak_memory_bytes(),
        "precision": recipe.training.precision,
        "seed": recipe.training.seed,
        "threads": recipe.training.threads,
    }
