"""The one specification of a run: frozen models, and YAML and KEY=VALUE to it and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.late import late

if TYPE_CHECKING:
    from conviction.config.model import ModelSpec, Shorthand, expand
    from conviction.config.recipe import DataSpec, EvaluationSpec, Recipe, keys, load_recipe, read_recipe
    from conviction.config.recipes import RECIPES, Facts
    from conviction.config.training import AugmentationSpec, TrainingSpec

__all__ = [
    "RECIPES",
    "AugmentationSpec",
    "DataSpec",
    "EvaluationSpec",
    "Facts",
    "ModelSpec",
    "Recipe",
    "Shorthand",
    "TrainingSpec",
    "expand",
    "keys",
    "load_recipe",
    "read_recipe",
]

# A server that only predicts does not wait for what trains.
__getattr__ = late(
    __name__,
    {
        "AugmentationSpec": "conviction.config.training",
        "DataSpec": "conviction.config.recipe",
        "EvaluationSpec": "conviction.config.recipe",
        "Facts": "conviction.config.recipes",
        "ModelSpec": "conviction.config.model",
        "RECIPES": "conviction.config.recipes",
        "Recipe": "conviction.config.recipe",
        "Shorthand": "conviction.config.model",
        "TrainingSpec": "conviction.config.training",
        "expand": "conviction.config.model",
        "keys": "conviction.config.recipe",
        "load_recipe": "conviction.config.recipe",
        "read_recipe": "conviction.config.recipe",
    },
)
