"""The network of a run that has not ended, as it was at its last checkpoint; for a helper process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conviction.data import ImageSet
from conviction.errors import RunError
from conviction.model import build
from conviction.runs import RunFolder
from conviction.runs.checkpoints import read_checkpoint

if TYPE_CHECKING:
    import keras


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
