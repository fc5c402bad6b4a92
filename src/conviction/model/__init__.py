"""Specification to ``keras.Sequential``: the shape walk that precedes it, building, compiling."""

from conviction.model.build import build
from conviction.model.compile import carry_over, compile_model, loss_name, warmup_steps
from conviction.model.frozen import Parted, features_of, part, predict_images
from conviction.model.memory import check_memory
from conviction.model.probabilities import divide_logits, predict_probabilities
from conviction.model.shapes import LayerRow, walk

__all__ = [
    "LayerRow",
    "Parted",
    "build",
    "carry_over",
    "check_memory",
    "compile_model",
    "divide_logits",
    "features_of",
    "loss_name",
    "part",
    "predict_images",
    "predict_probabilities",
    "walk",
    "warmup_steps",
]
