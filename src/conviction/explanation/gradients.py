"""Where in the picture the evidence for a class lies: Grad-CAM and the gradient of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.forward import check_pixels, outputs
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
    number = one.number
    chosen = _class(model, pixels, class_index)
    if one.inner is not None and one.name != find_layer(model, model.layers[number].name).name:
        name, maps, gradient = one.name, *_inside(model, pixels, chosen, one)
    else:
        name = model.layers[number].name
        maps = outputs(model, pixels, number + 1)[-1].output
        gradient = _gradient(model, chosen, maps, number + 1)
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
    gradient = _gradient(model, chosen, pixels.astype(np.float32), 0)
    return np.abs(gradient).max(axis=-1)  # (h, w, c) -> (h, w)


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


def _inside(
    model: keras.Sequential, pixels: np.ndarray, class_index: int, one: NamedLayer
) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a layer within a graph, and the gradient of the class score there; (h', w', k) both.

    The graph is cut at these maps: what else leads around them stays as it is.
    """
    keras = import_keras()
    graph = model.layers[one.number]
    before = keras.ops.convert_to_tensor(outputs(model, pixels, one.number)[-1].output[np.newaxis])
    assert one.inner is not None
    cut = one.layer.output if one.inner.output is None else one.inner.output
    source, is_last = graph.inputs[0], graph is model.layers[-1]
    maps = np.asarray(keras.ops.convert_to_numpy(keras.Model(source, cut)(before, training=False)))[0]
    # To the logits, where the graph gives probabilities.
    last = _last_of(graph)
    rest = keras.Model([source, cut], last.input if is_last else graph.outputs[0])

    def score(values: Any) -> Any:
        after = rest([before, values], training=False)
        if is_last:
            return _of_logits(_logits(last, after), class_index)
        return _score(model, class_index, after, one.number + 1)

    return maps, np.asarray(_differentiate(score, maps[np.newaxis])[0], np.float32)


def _class(model: keras.Sequential, pixels: np.ndarray, class_index: int | None) -> int:
    if class_index is None:
        return int(predict_probabilities(model, pixels[np.newaxis])[0].argmax())
    classes = max(2, model.output_shape[-1])
    if not 0 <= class_index < classes:
        raise RequestError(f"class_index: expected 0 to {classes - 1}; got {class_index}.")
    return class_index


def _gradient(model: keras.Sequential, class_index: int, at: np.ndarray, first: int) -> np.ndarray:
    """The gradient of the class score at the input of layer number ``first``; shape and float32 as ``at``."""

    def score(values: Any) -> Any:
        return _score(model, class_index, values, first)

    return np.asarray(_differentiate(score, at[np.newaxis])[0], np.float32)


def _score(model: keras.Sequential, class_index: int, values: Any, first: int) -> Any:
    """The class score: the logit, which is what the last layer has before softmax or sigmoid.

    A probability is not a good score: softmax saturates, so its gradient vanishes where the network is sure, and it
    also rises when other classes fall. For two classes there is one logit z, that of the second class; the first
    has -z.
    """
    for layer in model.layers[first:-1]:
        values = layer(values, training=False)
    last = model.layers[-1]
    if is_backbone(last):
        graph, last = last, _last_of(last)
        values = import_keras().Model(graph.inputs[0], last.input)(values, training=False)
    return _of_logits(_logits(last, values), class_index)


def _last_of(graph: keras.Model) -> Any:
    """The layer that gives what a graph gives."""
    return graph.outputs[0]._keras_history.operation


def _logits(last: Any, values: Any) -> Any:
    """What the last layer has before its softmax or sigmoid, from its input.

    A model with code of its own shows only probabilities: then their logarithms, which are logits but for a constant.
    """
    ops = import_keras().ops
    if type(last).__name__ in ("Activation", "Softmax"):
        return values
    if type(last).__name__ != "Dense":
        p = ops.clip(last(values, training=False), 1e-7, 1 - 1e-7)
        return ops.log(p) - ops.log(1 - p) if p.shape[-1] == 1 else ops.log(p)
    logits = ops.matmul(values, last.kernel)
    return logits + last.bias if last.use_bias else logits


def _of_logits(logits: Any, class_index: int) -> Any:
    if logits.shape[-1] == 1:
        return logits[0, 0] if class_index == 1 else -logits[0, 0]
    return logits[0, class_index]


def _differentiate(score: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Keras has no gradient that is the same on every backend."""
    backend = import_keras().backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(score)(jax.numpy.asarray(at)))
    if backend == "tensorflow":
        import tensorflow as tf

        point = tf.constant(at)
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = score(point)
        return tape.gradient(value, point).numpy()
    raise RequestError(f"KERAS_BACKEND={backend}: gradients need tensorflow or jax.")
