"""Fine-tuning begins with a probe: what follows a backbone learns on its frozen features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from conviction.config import Recipe
from conviction.config.probing import probe_recipe
from conviction.data import ImageSet, Split
from conviction.flow.network import compiled, learning
from conviction.model import walk
from conviction.reporting import Silent
from conviction.training import StopRequest

if TYPE_CHECKING:
    import keras


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
    frozen = probe_recipe(recipe, len(split.train))
    rows = walk(frozen.model, images.rule.shape, len(images.class_names))
    start = compiled(frozen, images, split, rows, "float32")
    learns = learning(start, frozen, images, split, progress)
    learns.train(frozen, images, split, watcher=Silent(), stop=stop)
    for layer, learned in zip(network.layers[2:], start.layers[2:], strict=True):
        layer.set_weights(learned.get_weights())
