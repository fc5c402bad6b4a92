"""The one specification of a run: frozen models, and YAML and KEY=VALUE to it and back."""

from conviction.config.model import ModelSpec, Shorthand, expand
from conviction.config.recipe import (
    RECIPES,
    AugmentationSpec,
    DataSpec,
    EvaluationSpec,
    Recipe,
    TrainingSpec,
    keys,
    load_recipe,
)

__all__ = [
    "RECIPES",
    "AugmentationSpec",
    "DataSpec",
    "EvaluationSpec",
    "ModelSpec",
    "Recipe",
    "Shorthand",
    "TrainingSpec",
    "expand",
    "keys",
    "load_recipe",
]
