"""Why a trained network answers as it does: maps of evidence, filters, activations, numbers and gradients."""

from conviction.explanation.contributions import Contributions, contributions
from conviction.explanation.flows import Flow
from conviction.explanation.forward import LayerOutput, activations, filters
from conviction.explanation.gradients import GradCam, grad_cam, input_gradient
from conviction.explanation.inside import Passed, named_layers, outputs_within, passed_through
from conviction.explanation.numbers import (
    Activated,
    Combined,
    Convolution,
    Normalised,
    Padded,
    Pointwise,
    Pooled,
    Rescaled,
    Scaled,
    Softmax,
    Value,
    WeightedSum,
)
from conviction.explanation.overlay import overlay
from conviction.explanation.picture import Explanation, explain_picture, region_shares
from conviction.explanation.step import Descent, descend
from conviction.explanation.value import explain_value
from conviction.explanation.way_back import ValueGradient, WayBack, way_back
from conviction.explanation.weights import WeightGradient
from conviction.explanation.window import Window

__all__ = [
    "Activated",
    "Combined",
    "Contributions",
    "Convolution",
    "Descent",
    "Explanation",
    "Flow",
    "GradCam",
    "LayerOutput",
    "Normalised",
    "Padded",
    "Passed",
    "Pointwise",
    "Pooled",
    "Rescaled",
    "Scaled",
    "Softmax",
    "Value",
    "ValueGradient",
    "WayBack",
    "WeightGradient",
    "WeightedSum",
    "Window",
    "activations",
    "contributions",
    "descend",
    "explain_picture",
    "explain_value",
    "filters",
    "grad_cam",
    "input_gradient",
    "named_layers",
    "outputs_within",
    "overlay",
    "passed_through",
    "region_shares",
    "way_back",
]
