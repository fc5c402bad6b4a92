"""Where in the picture the evidence for a class lies: Grad-CAM and the gradient of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from conviction.errors import RequestError
from conviction.explanation.differentiate import differentiate, gradient_at, logit_of, logits_from
from conviction.explanation.forward import check_pixels
from conviction.explanation.inside import NamedLayer, find_layer, is_backbone, named_layers
from conviction.model.probabilities import predict_probabilities

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class GradCam:
    """A Grad-CAM map.

    Attributes:
        layer: Name of the layer whose maps were weighted.
        class_index: The class that was asked about.
        coarse: (rows, columns) of the layer, float32 in [0, 1]; all zero if nothing in the layer speaks for the class.
        fine: The same, enlarged bilinearly to (height, width) of the picture.
    """

    layer: str
    class_index: int
    coarse: np.ndarray
    fine: np.ndarray


def grad_cam(
    model: keras.Sequential, pixels: np.ndarray, class_index: int | None = None, layer: str | None = None
) -> GradCam:
    """Which positions of a layer's maps speak for a class.

    Each channel is weighted by the mean, over its positions, of the gradient of the class score; the weighted sum of
    the channels, where it is positive, is the map (Selvaraju et al., 2017, "Grad-CAM: Visual explanations from deep
    networks via gradient-based localization", equations 1 and 2). It is divided by its largest value.

    Args:
        model: Raw pixels in, probabilities out, as ``run.model`` is.
        pixels: One picture, (height, width, channels) uint8.
        class_index: In [0, classes); by default the class that the network predicts.
        layer: Name of a layer whose output has rows, columns and channels; by default the last convolution, or the
            backbone if none follows it.

    Raises:
        RequestError: The network has no convolution, the layer gives a vector or lies within a backbone, or an argument
            is out of range.
    """
    check_pixels(model, pixels)
    one = _maps(model, layer)
    chosen = _class(model, pixels, class_index)
    passed, gradient = gradient_at(model, pixels, one, logit_of(chosen))
    maps = passed.output
    # A backbone gives what its last layer gives.
    whole = model.layers[one.number].name
    name = whole if find_layer(model, whole).name == one.name else one.name
    weights = gradient.mean(axis=(0, 1), dtype=np.float64)  # (h', w', k) -> (k,)
    coarse = np.maximum(maps @ weights, 0.0)  # (h', w', k) -> (h', w')
    highest = coarse.max()
    coarse = (coarse / highest if highest > 0 else coarse).astype(np.float32)
    height, width = pixels.shape[:2]
    fine = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    return GradCam(name, chosen, coarse, fine)


def input_gradient(model: keras.Sequential, pixels: np.ndarray, class_index: int | None = None) -> np.ndarray:
    """How strongly the class score responds to a small change of each pixel.

    The largest absolute gradient over the colour channels (Simonyan, Vedaldi and Zisserman, 2014, "Deep inside
    convolutional networks").

    Args:
        model: As for ``grad_cam``.
        pixels: One picture, (height, width, channels) uint8.
        class_index: In [0, classes); by default the class that the network predicts.

    Returns:
        (height, width) float32, at least 0: change of the score per level of the pixel, of 255.

    Raises:
        RequestError: An argument is out of range.
    """
    check_pixels(model, pixels)
    chosen = _class(model, pixels, class_index)
    logits, score = logits_from(model, 0), logit_of(chosen)
    (gradient,) = differentiate(lambda values: score(logits(values)), [pixels[np.newaxis].astype(np.float32)])
    return np.abs(gradient[0]).max(axis=-1)  # (h, w, c) -> (h, w)


def learned_maps(model: keras.Sequential) -> list[str]:
    """The names of the layers that give maps that were learned: convolutions, and a backbone.

    Of a graph that a user has built, which gives no maps itself, those within it.
    """
    names = []
    for number, layer in enumerate(model.layers):
        if is_backbone(layer) and len(layer.output.shape) != 4:
            inner = [
                one for one in named_layers(model).values() if one.number == number and one.inner is not None
            ]
            names += [one.name for one in inner if one.kind == "Conv2D"]
        elif is_backbone(layer) or type(layer).__name__ == "Conv2D":
            names.append(layer.name)
    return names


def _maps(model: keras.Sequential, layer: str | None) -> NamedLayer:
    if layer is None:
        every = learned_maps(model)
        if not every:
            raise RequestError(
                "the network has no convolution, so it has no maps that Grad-CAM could weight. The gradient of the "
                "input (input_gradient) works for every network."
            )
        layer = every[-1]
    one = find_layer(model, layer)
    whole = model.layers[one.number].name
    gives_maps = len(model.layers[one.number].output.shape) == 4
    if one.name != find_layer(model, whole).name and gives_maps:
        raise RequestError(
            f"{layer}: Grad-CAM looks at the maps that leave a backbone, not at those within. Name {whole}, which has "
            "its last maps, or a layer after it."
        )
    shape = one.shape
    if len(shape) != 3:
        raise RequestError(
            f"{layer}: Grad-CAM needs a layer that gives maps (rows, columns, channels); this one gives a vector of "
            f"{shape[0]} values. Name a layer before Flatten or GlobalAveragePooling2D."
        )
    return one


def _class(model: keras.Sequential, pixels: np.ndarray, class_index: int | None) -> int:
    if class_index is None:
        return int(predict_probabilities(model, pixels[np.newaxis])[0].argmax())
    classes = max(2, model.output_shape[-1])
    if not 0 <= class_index < classes:
        raise RequestError(f"class_index: expected 0 to {classes - 1}; got {class_index}.")
    return class_index
