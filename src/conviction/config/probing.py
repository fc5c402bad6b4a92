"""How the layers after a backbone learn first, on its frozen features: a random output layer would spoil them.

Fine-tuning from a linear probe is as good on images like those it learns from, and better on others (Kumar et al.,
2022, arXiv:2202.10054).
"""

from __future__ import annotations

from conviction.config.model import ModelSpec
from conviction.config.recipe import Recipe
from conviction.config.training import TrainingSpec

EPOCHS, LEARNING_RATE, BATCH = 20, 0.001, 32


def needs_probe(recipe: Recipe) -> bool:
    """Whether some of a backbone learns."""
    backbone = recipe.model.backbone
    return backbone is not None and backbone.trainable != "head"


def probe_recipe(recipe: Recipe, train_images: int) -> Recipe:
    """The training that comes first, of the same network with its backbone frozen.

    Args:
        recipe: In which some of a backbone learns.
        train_images: How many there are; a batch has no more.
    """
    assert recipe.model.backbone is not None
    frozen = recipe.model.backbone.model_copy(update={"trainable": "head"})
    training = TrainingSpec(
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        batch_size=min(BATCH, train_images),
        optimizer="adamw",
        schedule="cosine",
        seed=recipe.training.seed,
        threads=recipe.training.threads,
        precision="float32",
    )
    layers = ModelSpec(layers=(frozen, *recipe.model.layers[1:]))
    return Recipe(data=recipe.data, model=layers, training=training)
