"""A network that a user has built: trained here with its own loss and optimizer, or only judged, as any other."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from conviction.backend import import_keras
from conviction.config import ImageFacts, Recipe, load_recipe
from conviction.config.model import ModelSpec, OwnNetwork
from conviction.config.recipe import OWN_RECIPE, Overrides, user_settings
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.flow.data_split import DataSplit
from conviction.flow.learned import Learned
from conviction.flow.prepare import Prepared, divide, prepare_divided, show_steps
from conviction.flow.run import start_run
from conviction.flow.showing import Show, Showing, shown
from conviction.model.network_file import checked_network
from conviction.model.own import (
    check_model,
    deployable,
    describe,
    gives_probabilities,
    input_shape_of,
    registered_classes,
    saved_without_compilation,
)
from conviction.model.own_classes import own_classes
from conviction.model.probabilities import predict_probabilities
from conviction.process import restores_process
from conviction.runs import RunFolder, folder
from conviction.training import EpochRow, EpochTiming, Training
from conviction.training.own import ACCURACIES, OwnData, targets_for, train_own
from conviction.training.train import VALIDATION_BATCH

Builder: TypeAlias = Callable[[tuple[int, int, int], int], Any]
# What a network that was given decides itself, or what its training here has not.
_SECTIONS = ("model.", "augmentation.")
_KEYS = ("evaluation.folds", "evaluation.calibrate", "evaluation.views")
_TRAINING = ("training.epochs", "training.batch_size", "training.seed", "training.threads")
UNIT = (0.0, 1.0)


@dataclass(frozen=True)
class Own:
    """A user's network, checked for images.

    Attributes:
        model: As it was given or built.
        spec: What the specification says of it.
    """

    model: Any
    spec: OwnNetwork


@dataclass(frozen=True)
class GivenModel:
    """What a user has given to ``fit``: a model or what builds one, what it takes for black and white, callbacks."""

    model: Any
    input_range: tuple[float, float]
    callbacks: tuple[Any, ...]


def fit_own(
    source: str | Path,
    asked: GivenModel,
    overrides: Overrides,
    config: str | Path | None,
    *,
    out: Path | None,
    data_dir: str | Path | None,
    show: Show,
) -> RunFolder:
    """Trains a user's network and judges it; ``fit`` says what the arguments are and what is raised."""
    started = time.time()
    settings = _settings(overrides, config, asked.model)
    recipe = load_recipe(settings)
    try:
        divided = divide(source, recipe, data_dir, loading=show.loading, computing=show.computing)
        own = prepare_own(asked.model, divided.images, asked.input_range)
        if not own.model.compiled:
            _compile(own, divided.images, recipe)
            own = prepare_own(own.model, divided.images, asked.input_range)
        ready = prepare_divided(
            divided, lambda facts: with_own(settings, facts, own.spec), loading=show.loading
        )
        show_steps(ready, show)
        with contextlib.ExitStack() as saving:
            learner = _Trains(own, asked.callbacks, saving)
            return start_run(source, ready, out, show=show, started=started, learner=learner)
    finally:
        show.close()


@restores_process
def assess(
    model: Any,
    split: DataSplit,
    *,
    history: Any = None,
    input_range: tuple[float, float] = UNIT,
    out: str | Path | None = None,
    show: Showing = "live",
) -> RunFolder:
    """Judges a network that has been trained elsewhere, as ``fit`` judges its own: it opens the sealed test set once.

    Args:
        model: A trained ``keras.Model``.
        split: The images, from ``conviction.split``; it must have learned from their training part alone.
        history: What ``model.fit`` has returned, or its ``history``, for the curves and the verdict.
        input_range: What black and white are for the model.
        out: The run folder, new or empty; default ``runs/<source>-own-<n>``.
        show: As for ``fit``.

    Returns:
        The finished run.

    Raises:
        RequestError: The network does not fit the images, or could not be read back from a file.
        StorageError: No space is left.
    """
    started = time.time()
    path = Path(out) if out is not None else None
    folder.check_out(path if path is not None else Path("runs", "new"))
    watching = shown(show)
    rows = _rows(history)
    try:
        own = prepare_own(model, split.divided.images, input_range)
        # However it was compiled, it is not trained here.
        spec = own.spec.model_copy(update={"optimizer": "", "loss": ""})
        epochs = {"training.epochs": max(1, len(rows))}
        ready = prepare_divided(
            split.divided, lambda facts: with_own({**split.settings, **epochs}, facts, spec)
        )
        show_steps(ready, watching)
        learner = _Judges(Own(own.model, spec), rows)
        with saved_without_compilation(own.model):
            return start_run(split.source, ready, path, show=watching, started=started, learner=learner)
    finally:
        watching.close()


def prepare_own(model: Any, images: ImageSet, input_range: tuple[float, float]) -> Own:
    """Builds what is a function, checks it, and makes sure that what will be saved can be read again.

    Raises:
        RequestError: It does not fit the images, or could not be read back from a file.
    """
    keras = import_keras()
    low, high = input_range
    if not low < high:
        raise RequestError(f"input_range: expected (black, white) with black < white; got {input_range}.")
    shape, classes = images.rule.shape, len(images.class_names)
    if callable(model) and not isinstance(model, keras.Model):
        model = model(shape, classes)
    check_model(model, shape, classes)
    needs = registered_classes(model)
    whole = deployable(model, shape, input_range)
    spec = describe(model, whole, input_range, needs)
    _check_readable(model, whole, images, spec)
    return Own(model, spec)


def with_own(settings: Mapping[str, Any], facts: ImageFacts, own: OwnNetwork) -> Recipe:
    """The specification with the network in place of the recipe's."""
    recipe = load_recipe(settings, None, facts)
    return recipe.model_copy(update={"recipe": OWN_RECIPE, "model": ModelSpec(own=own)})


def fitting_data(settings: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """With the size and the colours that a model takes, where the user has not said them."""
    takes = None if callable(model) and not hasattr(model, "built") else input_shape_of(model)
    if takes is None:
        return dict(settings)
    height, width, channels = takes
    wanted: dict[str, Any] = {}
    if height is not None and width is not None:
        wanted["data.image_size"] = [height, width]
    if channels in (1, 3):
        wanted["data.color_mode"] = "grayscale" if channels == 1 else "rgb"
    return {**wanted, **settings}


def _settings(overrides: Overrides, config: str | Path | None, model: Any) -> dict[str, Any]:
    settings = user_settings(overrides, config)
    settings.setdefault("recipe", "lab")
    for key in settings:
        theirs = key.startswith(_SECTIONS) or key in _KEYS
        if theirs or (
            key.startswith("training.") and key not in _TRAINING and getattr(model, "compiled", True)
        ):
            raise RequestError(
                f"{key}: has no effect on a network that is given as model, which brings its own layers, loss and "
                f"optimizer. What can be set are data.*, {', '.join(_TRAINING)} and evaluation.test and metadata.",
                key=key,
            )
    return fitting_data(settings, model)


def _compile(own: Own, images: ImageSet, recipe: Recipe) -> None:
    """As the lab compiles, for what the network gives."""
    from conviction.model.compile import make_optimizer

    keras = import_keras()
    width = own.spec.layers[-1].output[-1]
    kind = keras.losses.BinaryCrossentropy if width == 1 else keras.losses.CategoricalCrossentropy
    from_logits = not gives_probabilities(own.model, images.rule.shape)
    own.model.compile(
        optimizer=make_optimizer(recipe.training), loss=kind(from_logits=from_logits), metrics=["accuracy"]
    )


def _check_readable(model: Any, whole: Any, images: ImageSet, spec: OwnNetwork) -> None:
    """Saves it as the run will, reads it again, and compares.

    Raises:
        RequestError: That fails, or gives another network.
    """
    keras = import_keras()
    names, own = images.class_names, ModelSpec(own=spec)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *images.rule.shape), np.uint8)
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / folder.MODEL
        try:
            with saved_without_compilation(model):
                folder.write_model(file, whole, names, images.rule)
            checked_network(file.read_bytes(), folder.MODEL_CARD, own_classes(own, file))
            again = keras.models.load_model(file, safe_mode=True, compile=False)
            same = np.allclose(
                predict_probabilities(again, pixels), predict_probabilities(whole, pixels), atol=1e-4
            )
        except Exception as failure:  # whatever Keras and the user's code raise
            raise RequestError(
                f"model: the network can be saved, and not be read again ({_cause(failure)}). A class with code of "
                "its own "
                ""
                "needs @keras.saving.register_keras_serializable(), a get_config() that returns its arguments, and "
                "**kwargs "
                "for those of Keras."
            ) from None
    if not same:
        raise RequestError(
            "model: the network that is read again from a file gives other answers. A layer with code of its own needs "
            "a get_config() that returns all its arguments, and weights that add_weight has made."
        )


def _cause(failure: BaseException) -> str:
    """The first error of those that led to one another, on one line; Keras wraps it several times."""
    while failure.__context__ is not None:
        failure = failure.__context__
    line = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {line[0]}" if line else type(failure).__name__


@dataclass(frozen=True)
class _Trains:
    """Learns by the user's loss, optimizer and callbacks."""

    own: Own
    callbacks: tuple[Any, ...]
    saving: contextlib.ExitStack  # until the network has been saved

    def __call__(self, ready: Prepared, *, watcher: Any, stop: Any, **_: Any) -> Learned:
        recipe, images, split = ready.recipe, ready.images, ready.split
        model, spec = self.own.model, recipe.training
        width = self.own.spec.layers[-1].output[-1]
        targets = targets_for(model, images.labels, len(images.class_names), width)
        scale = self.own.spec.input_range
        training = train_own(
            model,
            OwnData(images.pixels, targets, split.train, spec.batch_size, scale, spec.seed),
            OwnData(images.pixels, targets, split.validation, VALIDATION_BATCH, scale),
            epochs=spec.epochs,
            callbacks=self.callbacks,
            watcher=watcher,
            stop=stop,
        )
        stop.patient = True
        self.saving.enter_context(saved_without_compilation(model))
        whole = deployable(model, images.rule.shape, self.own.spec.input_range)
        return Learned(whole, training, 1.0, training.seconds)


@dataclass(frozen=True)
class _Judges:
    """Has learned elsewhere."""

    own: Own
    rows: list[EpochRow]

    def __call__(self, ready: Prepared, *, watcher: Any, stop: Any, **_: Any) -> Learned:
        whole = deployable(self.own.model, ready.images.rule.shape, self.own.spec.input_range)
        rows = self.rows or [_row_now(whole, ready)]
        training = Training(history=rows, timing=[EpochTiming(row.epoch, 0.0, 0.0, 0.0) for row in rows])
        for row, timing in zip(training.history, training.timing, strict=True):
            watcher.epoch_done(row, timing)
        stop.patient = True
        return Learned(whole, training, 1.0, 0.0)


def _rows(history: Any) -> list[EpochRow]:
    """The rows of what ``model.fit`` returns."""
    values = getattr(history, "history", history)
    if values is None:
        return []
    accuracy = next((name for name in ACCURACIES if isinstance(values, Mapping) and name in values), None)
    names = ("loss", accuracy, "val_loss", f"val_{accuracy}")
    if accuracy is None or any(name not in values for name in names):
        raise RequestError(
            "history: expected what model.fit returns, with loss, accuracy, val_loss and val_accuracy by epoch: give "
            "fit "
            "validation_data=split.batches('validation') and compile with metrics=['accuracy']."
        )
    columns = [[float(v) for v in values[str(name)]] for name in names]
    rates = [float(v) for v in values.get("learning_rate", [0.0] * len(columns[0]))]
    return [EpochRow(i, *row) for i, row in enumerate(zip(*columns, rates, strict=True), 1)]


def _row_now(whole: Any, ready: Prepared) -> EpochRow:
    """Loss and accuracy of the network before anything else is done, for a run without a history."""
    values = []
    for part in ("train", "validation"):
        index = ready.split.of(part)
        p = predict_probabilities(whole, ready.images.pixels, index)
        labels = ready.images.labels[index]
        likely = np.clip(p[np.arange(len(index)), labels], 1e-7, 1.0)
        values += [float(-np.log(likely).mean()), float((p.argmax(axis=1) == labels).mean())]
    loss, accuracy, val_loss, val_accuracy = values
    return EpochRow(1, loss, accuracy, val_loss, val_accuracy, 0.0)
