"""A network that has learned: built, trained and calibrated, for a run and for each of its folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from conviction.backend import prepare
from conviction.config.probing import needs_probe
from conviction.evaluation import fit_temperature
from conviction.flow.network import compiled, learning
from conviction.flow.prepare import Prepared
from conviction.flow.probing import probe
from conviction.flow.trainer import Trainer
from conviction.model import carry_over, divide_logits, predict_images
from conviction.model.compile import make_portable
from conviction.model.whitening import is_whitened
from conviction.training import StopRequest, Training, TrainingState, Watcher
from conviction.training.state import read_variables

if TYPE_CHECKING:
    import keras


class LearningWatcher(Watcher, Protocol):
    """A watcher of training who also hears what happens around it, as a ``Show`` does."""

    def computing(self, done: int, total: int) -> None:
        """As for ``Show``."""

    def noticed(self, sentence: str) -> None:
        """As for ``Show``."""


@dataclass(frozen=True)
class Learned:
    """A trained network.

    Attributes:
        model: In float32, calibrated if the recipe says so.
        training: How it went.
        temperature: What the logits have been divided by; 1 if by nothing.
        seconds: What building and training took.
    """

    model: keras.Sequential
    training: Training
    temperature: float
    seconds: float


class TrainNetwork(Protocol):
    """Gives the network that has learned from what was prepared, as ``learn`` does."""

    def __call__(
        self,
        ready: Prepared,
        *,
        watcher: LearningWatcher,
        stop: StopRequest,
        start: TrainingState | None = None,
        keep: Callable[[TrainingState], None] = ...,
        trainer: Trainer | None = None,
    ) -> Learned:
        """See ``learn``."""


def learn(
    ready: Prepared,
    *,
    watcher: LearningWatcher,
    stop: StopRequest,
    start: TrainingState | None = None,
    keep: Callable[[TrainingState], None] = lambda state: None,
    trainer: Trainer | None = None,
) -> Learned:
    """Builds and trains the network of what was prepared.

    Args:
        ready: From ``prepare_run``.
        watcher: Receives the progress.
        stop: As for ``train``; patient afterwards, so that what was learned can be kept.
        start: As for ``train``.
        keep: As for ``train``.
        trainer: What trains; None for this process.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    recipe, images = ready.recipe, ready.images
    assert recipe.training.threads is not None  # settled before
    prepare(recipe.training.threads)
    began = perf_counter()
    model = compiled(recipe, images, ready.split, ready.rows, recipe.training.precision)
    built = perf_counter() - began
    if start is None and needs_probe(recipe):
        probe(model, recipe, images, ready.split, stop=stop, progress=watcher.computing)
    if start is None and trainer and (needs_probe(recipe) or is_whitened(recipe.model)):
        # The trainer builds a new network, so it is given the weights that were fitted here.
        start = TrainingState(0, 0, read_variables(model))
    learns = learning(model, recipe, images, ready.split, watcher.computing)
    if trainer:
        training = trainer.train(
            ready, learns, watcher=watcher, stop=stop, start=start, keep=keep, noticed=watcher.noticed
        )
    else:
        training = learns.train(
            recipe, images, ready.split, watcher=watcher, stop=stop, start=start, keep=keep
        )
    learns.carry_over(model)
    stop.patient = True
    if recipe.training.precision != "float32":
        trained, model = model, compiled(recipe, images, ready.split, ready.rows, "float32")
        carry_over(trained, model)
    make_portable(model, recipe.training, len(images.class_names))
    temperature = _calibrate(model, ready) if recipe.evaluation.calibrate else 1.0
    return Learned(model, training, temperature, built + training.seconds)


def _calibrate(model: keras.Sequential, ready: Prepared) -> float:
    """Temperature scaling on the validation images, written into the last layer; returns the temperature."""
    validation = ready.split.validation
    probabilities = predict_images(model, ready.images, validation)
    temperature = fit_temperature(probabilities, ready.images.labels[validation])
    divide_logits(model, temperature)
    return temperature
