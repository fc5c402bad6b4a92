"""Every layer of a network by a name that users can give: those inside a backbone are called ``backbone/layer``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.backend import import_keras
from conviction.errors import RequestError, did_you_mean
from conviction.model.backbones.layers import InnerLayer, inner_layers

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class NamedLayer:
    """A layer, and where it is.

    Attributes:
        name: ``conv_1``, or ``efficientnet_lite0/block3_expand`` inside a backbone.
        layer: The Keras layer, or an operation inside a backbone.
        number: Of the layer that it is or is inside of, in ``model.layers``.
        parents: The names of the layers whose outputs it takes; "" for the picture.
        inner: Where it is inside a backbone; None for other layers.
    """

    name: str
    layer: Any
    number: int
    parents: tuple[str, ...]
    inner: InnerLayer | None = None

    @property
    def kind(self) -> str:
        """Its type."""
        return type(self.layer).__name__

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its output, without the batch axis."""
        return tuple(self.layer.output.shape[1:])


@dataclass(frozen=True)
class Passed:
    """What came into a layer for one picture and what it gave, float32 without the batch axis; pixels are uint8."""

    inputs: tuple[np.ndarray, ...]
    output: np.ndarray


def is_backbone(layer: Any) -> bool:
    """Whether a layer is a network of its own, whose layers can be looked at: one with code of its own hides them."""
    keras = import_keras()
    return isinstance(layer, keras.Model) and type(layer).__name__ in ("Functional", "Sequential")


def named_layers(model: keras.Sequential) -> dict[str, NamedLayer]:
    """Every layer by its name, in their order.

    The name of a backbone itself stands for its last layer, whose output is the backbone's.
    """
    layers: dict[str, NamedLayer] = {}
    before = ""
    for number, layer in enumerate(model.layers):
        if not is_backbone(layer):
            layers[layer.name] = NamedLayer(layer.name, layer, number, (before,))
            before = layer.name
            continue
        for inner in inner_layers(layer).values():
            parents = tuple(f"{layer.name}/{parent}" if parent else before for parent in inner.parents)
            name = f"{layer.name}/{inner.name}"
            last = NamedLayer(name, inner.layer, number, parents, inner)
            layers[name] = last
        layers[layer.name] = last
        before = last.name
    return layers


def find_layer(model: keras.Sequential, name: str) -> NamedLayer:
    """A layer by its name.

    Raises:
        RequestError: There is none of this name; the message names the nearest, and those that exist.
    """
    layers = named_layers(model)
    if name in layers:
        return layers[name]
    # Inside a backbone, the name without that of the backbone is an easy mistake.
    within = next((known for known in layers if known.endswith(f"/{name}")), "")
    hint = f" Did you mean '{within}'?" if within else did_you_mean(name, layers)
    raise RequestError(f"{name}: the network has no such layer.{hint} Its layers: {listed(model)}.")


def listed(model: keras.Sequential) -> str:
    """The names of the layers, without those inside a backbone, of which there are too many for a sentence."""
    inside: dict[int, list[str]] = {}
    for one in named_layers(model).values():
        if one.inner is not None:
            inside.setdefault(one.number, []).append(one.name)
    words = []
    for number, layer in enumerate(model.layers):
        names = list(dict.fromkeys(inside.get(number, ())))
        words.append(
            f"{layer.name} (and {len(names)} inside it, such as {names[0]})" if names else layer.name
        )
    return ", ".join(words)


def passed_through(model: keras.Sequential, pixels: np.ndarray, one: NamedLayer) -> Passed:
    """What came into a layer for one picture, and what it gave, in inference mode.

    Args:
        model: Raw pixels in, probabilities out.
        pixels: One picture, (height, width, channels) uint8, of the network's size.
        one: From ``named_layers``.
    """
    value: Any = pixels[np.newaxis]  # (h, w, c) -> (1, h, w, c)
    for layer in model.layers[: one.number]:
        value = layer(value, training=False)
    if one.inner is None:
        before = pixels if one.number == 0 else plain(value)
        return Passed((before,), plain(one.layer(value, training=False)))
    inputs, output = _inside(model.layers[one.number], value, one.inner)
    return Passed(tuple(plain(each) for each in inputs), plain(output))


def outputs_within(model: keras.Sequential, pixels: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """What layers of one backbone gave for one picture, in one pass where that is possible; as ``Passed.output``.

    Raises:
        RequestError: There is no such layer, or it is in no backbone.
    """
    layers = [find_layer(model, name) for name in names]
    outside = next((one for one in layers if one.inner is None), None)
    if outside is not None:
        raise RequestError(f"{outside.name}: expected a layer within a backbone.")
    wanted = {one.name: one.inner.output for one in layers if one.inner and one.inner.output is not None}
    outputs: dict[str, np.ndarray] = {}
    if wanted:
        number = layers[0].number
        value: Any = pixels[np.newaxis]
        for layer in model.layers[:number]:
            value = layer(value, training=False)
        probe = import_keras().Model(model.layers[number].input, wanted)
        outputs = {name: plain(output) for name, output in probe(value, training=False).items()}
    # A layer of a chain has no output of its own.
    return [
        outputs[one.name] if one.name in outputs else passed_through(model, pixels, one).output
        for one in layers
    ]


def _inside(backbone: keras.Model, value: Any, inner: InnerLayer) -> tuple[list[Any], Any]:
    """The inputs and the output of a layer of a backbone, with the batch axis."""
    wanted = [*inner.tensors, *(() if inner.output is None else (inner.output,))]
    # By names, because a list of one would come back as the tensor alone.
    probe = import_keras().Model(backbone.input, {str(i): tensor for i, tensor in enumerate(wanted)})
    results = probe(value, training=False)
    inputs = [results[str(i)] for i in range(len(inner.tensors))]
    if inner.output is not None:
        return inputs, results[str(len(inputs))]
    (before,) = inputs
    for layer in inner.chain:
        before = layer(before, training=False)
    return [before], inner.layer(before, training=False)


def plain(value: Any) -> np.ndarray:
    """Without the batch axis, and float32 even where the layer computes in bfloat16."""
    return np.asarray(import_keras().ops.convert_to_numpy(value)[0], np.float32)
