"""Why a trained network answers as it does: maps of evidence, filters, activations, the numbers of one value."""

from conviction.explanation.forward import LayerOutput, activations, filters
from conviction.explanation.gradients import GradCam, grad_cam, input_gradient
from conviction.explanation.numbers import (
    Activated,
    Convolution,
    Normalised,
    Pointwise,
    Pooled,
    Rescaled,
    Softmax,
    Value,
    WeightedSum,
)
from conviction.explanation.picture import Explanation, explain_picture, region_shares
from conviction.explanation.value import explain_value
from conviction.explanation.window import Window

__all__ = [
    "Activated",
    "Convolution",
    "Explanation",
    "GradCam",
    "LayerOutput",
    "Normalised",
    "Pointwise",
    "Pooled",
    "Rescaled",
    "Softmax",
    "Value",
    "WeightedSum",
    "Window",
    "activations",
    "explain_picture",
    "explain_value",
    "filters",
    "grad_cam",
    "input_gradient",
    "region_shares",
]
