"""The one specification of a run: frozen models, and YAML and KEY=VALUE to it and back."""

from conviction.config.model import ModelSpec, Shorthand, expand
from conviction.config.recipe import DataSpec, EvaluationSpec, Recipe, keys, load_recipe
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
]
