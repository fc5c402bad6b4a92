"""A network that a user has built: what it takes and gives, in words, and as a network from pixels to probabilities."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.config.model import OwnLayer, OwnNetwork
from conviction.errors import RequestError

if TYPE_CHECKING:
    import keras

# Pictures on which a network shows whether it gives probabilities.
TRIED = 16
_GIVES = ("softmax", "sigmoid")


def input_shape_of(model: keras.Model) -> tuple[int | None, ...] | None:
    """(height, width, channels) that a network takes; None for one that has not been built and takes any."""
    shape = getattr(model, "input_shape", None) if getattr(model, "built", False) else None
    return None if not isinstance(shape, tuple) or len(shape) != 4 else tuple(shape[1:])


def check_model(model: Any, shape: tuple[int, int, int], classes: int) -> None:
    """Refuses what cannot be a network for these images.

    Args:
        model: What a user has given.
        shape: (height, width, channels) of the images.
        classes: How many there are.

    Raises:
        RequestError: It is no Keras model; it takes other images; or it does not give a number for each class.
    """
    keras = import_keras()
    if not isinstance(model, keras.Model):
        raise RequestError(
            f"model: expected a keras.Model, or a function of (shape, classes) that builds one; got "
            f"{type(model).__name__}."
        )
    takes = input_shape_of(model)
    if takes is not None and any(
        own is not None and own != theirs for own, theirs in zip(takes, shape, strict=True)
    ):
        raise RequestError(
            f"model: it takes pictures of {_by(takes)} (height x width x channels), and the images are {_by(shape)}. "
            "Set "
            "data.image_size and data.color_mode, or build it for the images."
        )
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(model(_noise(shape), training=False)))
    except Exception as failure:
        raise RequestError(
            f"model: it does not take images of {_by(shape)} ({type(failure).__name__}: "
            f"{str(failure).splitlines()[0]})."
        ) from None
    expected = [(TRIED, classes), *([(TRIED, 1)] if classes == 2 else [])]
    if outputs.shape not in expected:
        raise RequestError(
            f"model: expected {classes} numbers for each picture, one for each "
            f"class{' (or one for two)' * (classes == 2)}; "
            f"got an output of shape {('n', *outputs.shape[1:])}."
        )


def deployable(
    model: keras.Model, shape: tuple[int, int, int], input_range: tuple[float, float]
) -> keras.Sequential:
    """The network from pixels, uint8, to probabilities: with the scaling that it expects, and without its logits.

    The layers are those of the model, so it has learned what the model has. Its own layers stand in it where they are
    a chain; a graph, or a model with code of its own, is one layer.

    Args:
        model: Checked by ``check_model``.
        shape: (height, width, channels).
        input_range: What black and white are for the model.
    """
    keras = import_keras()
    chain = chain_of(model)
    used = {layer.name for layer in chain or [model]}
    low, high = input_range
    whole = keras.Sequential(name=_free("own", used))
    whole.add(keras.Input(shape, dtype="uint8", name=_free("pixels", used)))
    whole.add(keras.layers.Rescaling((high - low) / 255, low, name=_free("normalise", used), dtype="float32"))
    for layer in chain if chain is not None else [_uncompiled(model)]:
        whole.add(layer)
    if not gives_probabilities(model, shape):
        kind = "sigmoid" if model(_noise(shape), training=False).shape[-1] == 1 else "softmax"
        whole.add(keras.layers.Activation(kind, name=_free("probabilities", used), dtype="float32"))
    return whole


def gives_probabilities(model: keras.Model, shape: tuple[int, int, int]) -> bool:
    """Whether its outputs are probabilities, and not logits."""
    chain = chain_of(model)
    last = chain[-1] if chain else None
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if activation:
        return activation in _GIVES
    outputs = np.asarray(
        import_keras().ops.convert_to_numpy(model(_noise(shape), training=False)), np.float64
    )
    inside = bool((outputs >= 0).all() and (outputs <= 1).all())
    return inside and (outputs.shape[1] == 1 or bool(np.allclose(outputs.sum(axis=1), 1, atol=1e-3)))


def chain_of(model: keras.Model) -> list[keras.Layer] | None:
    """The layers of a network in which each takes what the one before gives; None for a graph or a model with code."""
    keras = import_keras()
    if isinstance(model, keras.Sequential):
        return list(model.layers)
    if type(model).__name__ != "Functional" or len(model.inputs) != 1 or len(model.outputs) != 1:
        return None
    tensor = model.outputs[0]
    chain: list[Any] = []
    while True:
        layer, node, _ = tensor._keras_history
        if type(layer).__name__ == "InputLayer":
            return chain[::-1]
        inputs = layer._inbound_nodes[node].input_tensors
        if len(inputs) != 1 or not isinstance(layer, keras.Layer) or len(layer._inbound_nodes) != 1:
            return None
        chain.append(layer)
        tensor = inputs[0]


def describe(
    model: keras.Model, whole: keras.Sequential, input_range: tuple[float, float], needs: tuple[str, ...]
) -> OwnNetwork:
    """What a specification says of it.

    Args:
        model: As the user has given it.
        whole: From ``deployable``.
        input_range: What black and white are for the model.
        needs: From ``registered_classes``.
    """
    layers = []
    for layer in whole.layers:
        output = tuple(int(n) for n in layer.output.shape[1:])
        taken = tuple(int(n) for n in layer.input.shape[1:])
        trainable = sum(math.prod(w.shape) for w in layer.trainable_weights)
        layers.append(
            OwnLayer(
                name=layer.name,
                kind=type(layer).__name__,
                setting=_setting(layer),
                output=output,
                params=layer.count_params(),
                trainable=trainable,
                multiply_adds=_multiply_adds(layer, taken, output),
            )
        )
    optimizer, loss = "", ""
    if model.compiled:
        rate = model.optimizer.learning_rate
        value = float(import_keras().ops.convert_to_numpy(rate))
        optimizer = f"{type(model.optimizer).__name__} at {value:g}"
        loss = _loss_name(model.loss)
    return OwnNetwork(
        layers=tuple(layers), input_range=input_range, optimizer=optimizer, loss=loss, needs=needs
    )


def registered_classes(model: keras.Model) -> tuple[str, ...]:
    """The classes in it that are not Keras's, by the names under which they are registered.

    Raises:
        RequestError: One is not registered, so nothing could read it back from a file; or it holds bare code.
    """
    keras = import_keras()
    known = keras.saving.get_custom_objects()
    names: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of losses with code, which are not saved
        content = keras.saving.serialize_keras_object(model)
    for part in _parts(content):
        kind, module, registered = (part.get(k) for k in ("class_name", "module", "registered_name"))
        if kind in ("Lambda", "__lambda__"):
            raise RequestError(
                "model: a Lambda layer holds code that no file can bring back safely. Write it as a layer of its own, "
                "with @keras.saving.register_keras_serializable() above the class."
            )
        if registered in known:
            names[str(registered)] = None
        elif module is not None and str(module).partition(".")[0] not in ("keras", "builtins"):
            raise RequestError(
                f"model: its class {kind} is not registered, so the network could be saved and not be read again. Put "
                "@keras.saving.register_keras_serializable() above the class."
            )
    return tuple(names)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            waiting += [v for k, v in part.items() if k != "compile_config"]
        elif isinstance(part, list | tuple):
            waiting += part


@contextlib.contextmanager
def saved_without_compilation(model: keras.Model) -> Iterator[None]:
    """Inside it, a model with code of its own is saved without its optimizer, loss and metrics.

    These are the user's, and need not be read back.
    """
    was = model.compiled
    model.compiled = False
    try:
        yield
    finally:
        model.compiled = was


def _uncompiled(model: keras.Model) -> keras.Model:
    """The same graph without optimizer, loss and metrics; a model with code of its own as it is."""
    if type(model).__name__ == "Functional":
        return import_keras().Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def _noise(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((TRIED, *shape), np.float32)


def _free(name: str, used: set[str]) -> str:
    while name in used:
        name += "_"
    return name


def _by(shape: tuple[int | None, ...]) -> str:
    return "x".join("any" if n is None else str(n) for n in shape)


def _loss_name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", None) or type(loss).__name__)


def _setting(layer: Any) -> str:
    """The settings of the most common layers in words, as ``walk`` says them."""
    kind, config = type(layer).__name__, layer.get_config()
    words = []
    if "filters" in config:
        words.append(f"{config['filters']} filters {_sides(config['kernel_size'])}")
    elif "units" in config:
        words.append(f"{config['units']} unit{'' if config['units'] == 1 else 's'}")
    elif "pool_size" in config:
        words.append(_sides(config["pool_size"]))
    elif kind == "Rescaling":
        words.append(f"x * {config['scale']:.4g} + {config['offset']:g}")
    elif "rate" in config:
        words.append(f"rate {config['rate']:g}")
    activation = config.get("activation")
    if isinstance(activation, str) and activation != "linear":
        words.append(activation)
    return ", ".join(words)


def _sides(size: Any) -> str:
    return "x".join(map(str, size)) if isinstance(size, list | tuple) else f"{size}x{size}"


def _multiply_adds(layer: Any, taken: tuple[int, ...], output: tuple[int, ...]) -> int:
    """Of convolutions and dense layers, also inside a layer that is a graph."""
    if getattr(layer, "layers", None) and type(layer).__name__ in ("Functional", "Sequential"):
        inner = [one for one in layer.layers if type(one).__name__ != "InputLayer"]
        return sum(
            _multiply_adds(o, tuple(o.input.shape[1:]), tuple(o.output.shape[1:]))
            for o in inner
            if not isinstance(o.input, list)
        )
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    positions = math.prod(output[:-1])  # of a dense layer on a vector, 1
    return positions * math.prod(kernel.shape)
