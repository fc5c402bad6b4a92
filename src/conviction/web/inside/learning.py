"""A network that has not learned yet, or is still learning; for a helper process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conviction.config.model import ModelSpec
from conviction.data import ImageSet
from conviction.errors import RunError
from conviction.model import build
from conviction.model.whitening import whiten
from conviction.runs import RunFolder
from conviction.runs.checkpoints import read_checkpoint

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Untrained:
    """A network with the weights that training would start from.

    Attributes:
        spec: Its layers.
        shape: (height, width, channels) of a picture.
        classes: How many.
        seed: Of the training.
    """

    spec: ModelSpec
    shape: tuple[int, int, int]
    classes: int
    seed: int

    def build(self, sample: np.ndarray) -> keras.Sequential:
        """Builds it.

        Args:
            sample: Pictures to fit a whitening layer to, (n, height, width, channels) uint8; none if there is no such
                layer. Training fits it to the training images.

        Raises:
            RequestError: The layers do not fit.
            WeightsError: The weights of a backbone were not found.
        """
        model = build(self.spec, self.shape, self.classes, self.seed)
        whiten(model, self.spec, sample, np.arange(len(sample)))
        return model


def build_again(run: RunFolder, images: ImageSet) -> keras.Sequential:
    """The network of a run, with its initial weights."""
    return build(run.config.model, images.rule.shape, len(images.class_names), run.config.training.seed)


def take_checkpoint(path: Path, model: keras.Sequential) -> int:
    """Gives a model the weights of the last checkpoint; returns the epoch that they are from.

    Raises:
        RunError: There is none yet.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise RunError(f"{path.name}: there is no checkpoint yet; the first one comes after the first epoch.")
    state = checkpoint[0]
    for variable, value in zip(model.variables, state.variables["model"], strict=True):
        variable.assign(value)
    return state.epoch
