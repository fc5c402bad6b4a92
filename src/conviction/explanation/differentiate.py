"""Gradients of a number that is computed from a network's logits, the same on every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation.inside import NamedLayer, Passed, is_backbone, passed_through

if TYPE_CHECKING:
    import keras

# From tensors (the logits, (1, classes) or (1, 1) of a sigmoid) to a tensor of no axes.
Score = Callable[[Any], Any]


def logit_of(class_index: int) -> Score:
    """The logit of a class, which is what the last layer has before softmax or sigmoid.

    A probability is not a good score: softmax saturates, so its gradient vanishes where the network is sure, and it
    also rises when other classes fall. For two classes there is one logit z, that of the second class; the first
    has -z.
    """

    def score(logits: Any) -> Any:
        if logits.shape[-1] == 1:
            return logits[0, 0] if class_index == 1 else -logits[0, 0]
        return logits[0, class_index]

    return score


def cross_entropy_of(class_index: int) -> Score:
    """The loss for one picture of this class, -log p(class), in nats."""

    def score(logits: Any) -> Any:
        ops = import_keras().ops
        if logits.shape[-1] == 1:
            # -log sigmoid(z) = log(1 + exp(-z)); the first class has -z.
            return ops.softplus(-logits[0, 0] if class_index == 1 else logits[0, 0])
        # The same of the other logits against this one, so that its gradient, p - 1, does not round to 0.
        own = np.arange(logits.shape[-1]) == class_index
        others = ops.logsumexp(ops.where(own, ops.cast(-1e30, logits.dtype), logits[0]))
        return ops.softplus(others - logits[0, class_index])

    return score


def cross_entropy(logits: np.ndarray, class_index: int) -> float:
    """The same as a number, calculated in float64: it stays exact where the network is almost certain.

    Args:
        logits: Of one picture, (classes,) or (1,).
        class_index: In [0, classes).
    """
    z = logits.astype(np.float64)
    if len(z) == 1:
        z = np.array([0.0, z[0]])  # the same probabilities by softmax
    return float(np.logaddexp.reduce(z - z[class_index]))


def differentiate(score: Callable[..., Any], at: Sequence[Any]) -> list[np.ndarray]:
    """The gradients of ``score(*tensors)``, a tensor of no axes, at arrays; float32, each shaped as its array.

    Keras has no gradient that is the same on every backend.

    Raises:
        RequestError: The backend is neither TensorFlow nor JAX.
    """
    backend = import_keras().backend.backend()
    if backend == "jax":
        import jax

        gradients = jax.grad(score, argnums=tuple(range(len(at))))(*(jax.numpy.asarray(a) for a in at))
        return [np.asarray(g, np.float32) for g in gradients]
    if backend == "tensorflow":
        import tensorflow as tf

        points = [tf.constant(a) for a in at]
        with tf.GradientTape() as tape:
            for point in points:
                tape.watch(point)
            value = score(*points)
        # Where the score does not depend on an array, TensorFlow would give None in place of 0.
        gradients = tape.gradient(value, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [np.asarray(g, np.float32) for g in gradients]
    raise RequestError(f"KERAS_BACKEND={backend}: gradients need tensorflow or jax.")


@dataclass(frozen=True)
class _End:
    """Where a network ends.

    Attributes:
        last: The layer that gives the probabilities, or their logits to one that turns them into probabilities.
        operation: In the graph that the network ends with, what ``last`` is, or is in; None if it ends with no graph.
        chain: The layers before ``last`` in that operation, where it is a ``Sequential``.
    """

    last: Any
    operation: Any = None
    chain: tuple[Any, ...] = ()

    def logits(self, values: Any) -> Any:
        """From what comes into the chain."""
        for layer in self.chain:
            values = layer(values, training=False)
        return logits_of(self.last, values)


def end_of(model: keras.Sequential) -> _End:
    """The last layer, which may be inside a graph, and there inside a chain."""
    last = model.layers[-1]
    if not is_backbone(last):
        return _End(last)
    operation = _made_by(last.outputs[0])
    parts = tuple(getattr(operation, "layers", ())) or (operation,)
    return _End(parts[-1], operation, parts[:-1])


def check_end(model: keras.Sequential) -> None:
    """Refuses a network whose answers are not one distribution over the classes.

    Raises:
        RequestError: It ends with several sigmoids, each an answer of its own.
    """
    last = end_of(model).last
    kind = getattr(getattr(last, "activation", None), "__name__", "")
    if kind == "sigmoid" and model.output_shape[-1] > 1:
        raise RequestError(
            f"{last.name}: the network ends with {model.output_shape[-1]} sigmoids, each an answer of its own. The way "
            "back is shown for networks that end with softmax, or with one sigmoid."
        )


def logits_from(model: keras.Sequential, first: int) -> Callable[[Any], Any]:
    """The network from the input of layer number ``first`` to its logits, in inference mode."""
    end = end_of(model)
    to_end = None if end.operation is None else _part([model.layers[-1].inputs[0]], end.operation.input)

    def logits(values: Any) -> Any:
        for layer in model.layers[first:-1]:
            values = layer(values, training=False)
        return end.logits(values if to_end is None else to_end([values]))

    return logits


def after(model: keras.Sequential, pixels: np.ndarray, one: NamedLayer) -> Callable[[Any], Any]:
    """The network from what a layer gives for a picture, with the batch axis, to its logits, in inference mode.

    A graph is cut at the layer: what else leads around it stays as it is.
    """
    graph, end = model.layers[one.number], end_of(model)
    ends = graph is model.layers[-1]
    if one.inner is None or (one.inner.output is graph.outputs[0] and not ends):
        return logits_from(model, one.number + 1)
    following = one.inner.following
    if ends and _made_by(one.inner.end) is end.operation:
        # In the chain that the graph ends with.
        return _End(end.last, chain=following[:-1]).logits
    before: Any = pixels[np.newaxis]
    for layer in model.layers[: one.number]:
        before = layer(before, training=False)
    rest = _part([one.inner.end, graph.inputs[0]], end.operation.input if ends else graph.outputs[0])
    onward = end.logits if ends else logits_from(model, one.number + 1)

    def logits(values: Any) -> Any:
        for layer in following:
            values = layer(values, training=False)
        return onward(rest([values, before]))

    return logits


def _part(inputs: Sequence[Any], target: Any) -> Callable[[list[Any]], Any]:
    """The part of a graph from some of its tensors to another one, in inference mode."""
    if inputs[0] is target:  # for Keras, a model's output has to be made by one of its layers
        return lambda values: values[0]
    model = import_keras().Model(list(inputs), target)
    return lambda values: model(values, training=False)


def gradient_at(
    model: keras.Sequential, pixels: np.ndarray, one: NamedLayer, score: Score
) -> tuple[Passed, np.ndarray]:
    """What passed through a layer for a picture, and the gradient of the score with respect to what it gave.

    Args:
        model: Raw pixels in, probabilities out.
        pixels: One picture, (height, width, channels) uint8, of the network's size.
        one: A layer that has another one after it.
        score: Of the logits.

    Returns:
        The second one float32, in the shape of ``Passed.output``.
    """
    passed = passed_through(model, pixels, one)
    logits = after(model, pixels, one)
    (gradient,) = differentiate(lambda values: score(logits(values)), [passed.output[np.newaxis]])
    return passed, gradient[0]


def _made_by(tensor: Any) -> Any:
    """The operation of a graph that gives a tensor."""
    return tensor._keras_history.operation


def logits_of(last: Any, values: Any) -> Any:
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
