"""Everything that explains the answer to one picture, in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.card import card
from conviction.errors import RequestError, did_you_mean
from conviction.explanation.forward import LayerOutput, activations, convolutions, filters
from conviction.explanation.gradients import GradCam, grad_cam, input_gradient, learned_maps
from conviction.explanation.inside import listed
from conviction.explanation.numbers import Value
from conviction.explanation.overlay import enlarged, overlay
from conviction.explanation.value import explain_value
from conviction.model.probabilities import predict_probabilities
from conviction.process import restores_process

if TYPE_CHECKING:
    import keras

REGIONS = ("upper left", "upper right", "lower left", "lower right", "centre")


@dataclass(frozen=True, repr=False)
class Explanation:
    """One picture, the answer to it, and what explains that.

    Attributes:
        pixels: (height, width, channels) uint8, as the network sees it.
        class_names: One per probability.
        probabilities: (classes,) float32.
        class_index: The class that is explained.
        grad_cams: At the last convolution (or the backbone, if none follows it) and, if that is a different one, at the
            last layer that gives maps, which is what the vector layers see. The two can differ. Empty if the network
            has no convolution.
        gradient: Of the input, (height, width) float32; see ``input_gradient``.
        layers: What every layer gave.
        kernels: Of the first convolution, (rows, columns, input channels, filters) float32; None if there is none.
        value: The numbers of the requested value, if there was one.
        averaged: (classes,) float32, the answer over all ``evaluation.views``; None where they are 1.
    """

    pixels: np.ndarray
    class_names: list[str]
    probabilities: np.ndarray
    class_index: int
    grad_cams: tuple[GradCam, ...]
    gradient: np.ndarray
    layers: list[LayerOutput]
    kernels: np.ndarray | None
    value: Value | None
    averaged: np.ndarray | None = None

    @property
    def likeliest(self) -> list[tuple[str, float]]:
        """(class, probability), the highest first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]

    def __repr__(self) -> str:
        label, probability = self.likeliest[0]
        layers = ", ".join(cam.layer for cam in self.grad_cams) or "no layer"
        asked = self.class_names[self.class_index]
        return f"Explanation({label!r} with {probability:.1%}; Grad-CAM for {asked!r} of {layers})"

    def _repr_html_(self) -> str:
        likeliest = [f"{name} ({probability:.1%})" for name, probability in self.likeliest[:3]]
        asked = self.class_names[self.class_index]
        maps = {f"for {asked}, at {cam.layer}": overlay(self.pixels, cam.fine) for cam in self.grad_cams}
        notes = [
            "The more orange, the more evidence the layer holds there. It does not show what the evidence is."
        ]
        return card(
            "Explanation",
            {"answer": likeliest[0], "then": ", ".join(likeliest[1:])},
            notes
            if maps
            else ["The network has no convolution, so it has no maps that Grad-CAM could weight."],
            pictures={"the picture": enlarged(self.pixels), **maps},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; of the layers' outputs their shape and range only."""
        label, probability = self.likeliest[0]
        return {
            "label": label,
            "probability": probability,
            "probabilities": dict(zip(self.class_names, self.probabilities.tolist(), strict=True)),
            "averaged": None
            if self.averaged is None
            else dict(zip(self.class_names, self.averaged.tolist(), strict=True)),
            "class": self.class_names[self.class_index],
            "grad_cam": [
                {"layer": cam.layer, "map": cam.coarse.tolist(), "shares": region_shares(cam.fine)}
                for cam in self.grad_cams
            ],
            "input_gradient": {"map": self.gradient.tolist(), "shares": region_shares(self.gradient)},
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "shape": list(layer.output.shape),
                    "least": float(layer.output.min()),
                    "mean": float(layer.output.mean()),
                    "greatest": float(layer.output.max()),
                }
                for layer in self.layers
            ],
            "value": self.value and self.value.to_json(),
        }


@restores_process
def explain_picture(
    model: keras.Sequential,
    pixels: np.ndarray,
    class_names: Sequence[str],
    *,
    class_name: str | None = None,
    layer: str | None = None,
    position: Sequence[int] | None = None,
) -> Explanation:
    """Explains the answer to one picture.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: (height, width, channels) uint8.
        class_names: In the order of the probabilities, as ``run.class_names``.
        class_name: The class to explain; by default the most likely.
        layer: With ``position``: the value whose numbers are requested; see ``explain_value``.
        position: (row, column, channel) or (unit,), from 0.

    Raises:
        RequestError: There is no such class, layer or position, or the picture does not fit the network.
    """
    if class_name is not None and class_name not in class_names:
        raise RequestError(
            f"{class_name}: the network has no such class.{did_you_mean(class_name, class_names)} "
            f"Its classes: {', '.join(class_names)}."
        )
    if layer is None and position is not None:
        raise RequestError(f"a position needs the name of a layer. The network's layers: {listed(model)}.")
    # First, because it checks the request.
    value = None if layer is None else explain_value(model, pixels, layer, position or ())
    layers = activations(model, pixels)
    probabilities = predict_probabilities(model, pixels[np.newaxis])[0]
    index = int(probabilities.argmax()) if class_name is None else list(class_names).index(class_name)
    shown = learned_maps(model)[-1:]
    if shown and shown[0] in {one.name for one in layers}:
        shown.append([one.name for one in layers if one.output.ndim == 3][-1])
    return Explanation(
        pixels=pixels,
        class_names=list(class_names),
        probabilities=probabilities,
        class_index=index,
        grad_cams=tuple(grad_cam(model, pixels, index, name) for name in dict.fromkeys(shown)),
        gradient=input_gradient(model, pixels, index),
        layers=layers,
        kernels=filters(model) if convolutions(model) else None,
        value=value,
    )


def region_shares(heat: np.ndarray) -> dict[str, float]:
    """How the sum of a map is spread over the quarters of the picture and its centre.

    The centre is the middle half of the rows and columns. Each region is a quarter of the area, so an even map has 0.25
    in each; the four quarters add up to 1, and the centre overlaps them.

    Args:
        heat: (rows, columns), at least 0.

    Returns:
        A share for each of ``REGIONS``; all 0 if the map is.
    """
    total = float(heat.sum(dtype=np.float64)) or 1.0
    (top, middle, bottom), (left, centre, right) = (_halves(n) for n in heat.shape)
    regions = ((top, left), (top, right), (bottom, left), (bottom, right), (middle, centre))
    return {
        name: float(rows @ heat.astype(np.float64) @ columns) / total
        for name, (rows, columns) in zip(REGIONS, regions, strict=True)
    }


def _halves(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much of each of n pixels lies in the first half, the middle half and the second half of them."""
    start = np.arange(n)

    def covered(low: float, high: float) -> np.ndarray:
        return np.clip(np.minimum(start + 1, high) - np.maximum(start, low), 0.0, 1.0)

    return covered(0, n / 2), covered(n / 4, 3 * n / 4), covered(n / 2, n)
