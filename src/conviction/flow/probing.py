"""What learns besides a backbone learns first, on its frozen features: a random output layer would spoil them.

Fine-tuning from a linear probe is as good on images like those it learns from, and better on others (Kumar et al.,
2022, arXiv:2202.10054).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from conviction.config import ModelSpec, Recipe, TrainingSpec
from conviction.config.model import Backbone
from conviction.data import ImageSet, Split, encode_labels
from conviction.flow.network import compiled, learning
from conviction.model import walk
from conviction.report import Silent
from conviction.training import StopRequest, train

if TYPE_CHECKING:
    import keras

EPOCHS, LEARNING_RATE, BATCH = 20, 0.001, 32


def needs_probe(recipe: Recipe) -> bool:
    """Whether some of a backbone learns."""
    first = recipe.model.layers[0]
    return isinstance(first, Backbone) and first.trainable != "head"


def probe(
    network: keras.Sequential,
    recipe: Recipe,
    images: ImageSet,
    split: Split,
    *,
    stop: StopRequest,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Trains what follows the backbone on its frozen features, and puts that into the network.

    Args:
        network: Compiled, with its initial weights.
        recipe: Of the network.
        images: The data.
        split: Which image is in which part.
        stop: As for ``train``; it then ends early.
        progress: As for ``features_of``.
    """
    layers = (recipe.model.layers[0].model_copy(update={"trainable": "head"}), *recipe.model.layers[1:])
    training = TrainingSpec(
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        batch_size=min(BATCH, len(split.train)),
        optimizer="adamw",
        schedule="cosine",
        seed=recipe.training.seed,
        threads=recipe.training.threads,
        precision="float32",
    )
    frozen = Recipe(data=recipe.data, model=ModelSpec(layers=layers), training=training)
    rows = walk(frozen.model, images.rule.shape, len(images.class_names))
    start = compiled(frozen, images, split, rows, "float32")
    learns = learning(start, frozen, images, split, progress)
    train(
        learns.model,
        pixels=learns.inputs,
        targets=encode_labels(images.labels, len(images.class_names)),
        train_indices=split.train,
        validation_indices=split.validation,
        spec=training,
        watcher=Silent(),
        stop=stop,
    )
    for layer, learned in zip(network.layers[2:], start.layers[2:], strict=True):
        layer.set_weights(learned.get_weights())
