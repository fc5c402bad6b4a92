"""The layers inside a backbone, by names that are the same in every process, and what they cost without Keras."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.backend import import_keras
from conviction.model.backbones.kinds import KINDS, STRIDE

if TYPE_CHECKING:
    import keras

LISTED = Path(__file__).with_name("layers.json")


@dataclass(frozen=True)
class InnerLayer:
    """A layer of a functional network.

    Attributes:
        name: Its own; a layer that was named by Keras, ``re_lu_7``, is counted within this network.
        layer: The Keras layer, or an operation such as ``x + 3``.
        parents: The names of the layers whose outputs it takes; "" for what comes into the network.
        tensors: Where in the network those outputs are.
        chain: Of a layer in a ``Sequential`` that is part of the network: the layers that come before it there.
        following: And those that come after it.
        end: Where in the network its output is, or that of the chain.
        output: Where its own is; None for a layer of a chain.
    """

    name: str
    layer: Any
    parents: tuple[str, ...]
    tensors: tuple[Any, ...]
    end: Any
    chain: tuple[Any, ...] = ()
    following: tuple[Any, ...] = ()
    output: Any = None


def inner_layers(model: keras.Model) -> dict[str, InnerLayer]:
    """The layers of a functional network by their names, in the order of its graph."""
    keras = import_keras()
    nodes = _nodes(model)
    counts: Counter[str] = Counter()
    # The last layer of what an operation stands for: of a chain its last.
    names: dict[Any, str] = {}
    layers: dict[str, InnerLayer] = {}
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            names[operation] = ""
            continue
        node = nodes[operation]
        tensors = tuple(node.input_tensors)
        parents = tuple(names[tensor._keras_history.operation] for tensor in tensors)
        parts = tuple(getattr(operation, "layers", ())) or (operation,)
        for number, layer in enumerate(parts):
            name = _counted(layer, counts)
            before = parents if not number else (names[operation],)
            whole = len(parts) == 1
            end = node.output_tensors[0]
            layers[name] = InnerLayer(
                *(name, layer, before, tensors, end),
                chain=parts[:number],
                following=parts[number + 1 :],
                output=end if whole else None,
            )
            names[operation] = name
    return layers


def _nodes(model: keras.Model) -> dict[Any, Any]:
    """By operation, where it takes its input from in this network: a layer may be part of others too."""
    nodes: dict[Any, Any] = {}
    waiting = list(model.outputs)
    while waiting:
        # Keras has no public name for what made a tensor.
        history = waiting.pop()._keras_history
        if history.operation not in nodes:
            nodes[history.operation] = history.operation._inbound_nodes[history.node_index]
            waiting += nodes[history.operation].input_tensors
    return nodes


def _counted(layer: Any, counts: Counter[str]) -> str:
    """The name of a layer; Keras numbers those without one through the process, which differs from run to run."""
    stem = re.sub(
        "([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    ).lower()
    if not re.fullmatch(rf"{stem}(_\d+)?", layer.name):
        return str(layer.name)
    counts[stem] += 1
    return f"{stem}_{counts[stem]}"


@dataclass(frozen=True)
class ListedLayer:
    """A layer of a backbone for pictures of one size.

    Attributes:
        name: Within the backbone.
        kind: Its type.
        output: Shape of its output.
        params: All its parameters.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int


@dataclass(frozen=True)
class ListedBlock:
    """Layers that belong together.

    Attributes:
        name: As the layers' names begin; empty for what comes before the first block and after the last.
        title: For people: ``Block 3``, ``Beginning`` or ``End``.
        layers: In order.
    """

    name: str
    title: str
    layers: tuple[ListedLayer, ...]

    @property
    def params(self) -> int:
        """All parameters of its layers."""
        return sum(layer.params for layer in self.layers)


def listed_blocks(name: str, shape: tuple[int, ...]) -> list[ListedBlock]:
    """The blocks of a backbone and their layers, without Keras.

    Args:
        name: Of the backbone.
        shape: (height, width, 3) of a picture, multiples of 32.
    """
    blocks: list[ListedBlock] = []
    for block, layers in groupby(_listed(name, shape), lambda layer: layer[0]):
        number = sum(1 for one in blocks if one.name) + 1
        title = f"Block {number}" if block else "End" if blocks else "Beginning"
        blocks.append(ListedBlock(block, title, tuple(layer for _, layer in layers)))
    return blocks


def _listed(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, ListedLayer]]:
    """Each layer with the block that it is in; one whose name says none is in that of the layer before it."""
    rows = _rows()[name]
    last = max(i for i, row in enumerate(rows) if re.match(KINDS[name].block, row[0]))
    block = ""
    for i, (layer, kind, params, scale, extra, channels) in enumerate(rows):
        match = re.match(KINDS[name].block, layer)
        block = match[1] if match else block
        follows = i > last and not re.match(r"add_\d+$", layer)
        sides = [scale * n // STRIDE + extra for n in shape[:2]]
        output = (*sides, channels) if all(sides) else (channels,)
        yield "" if follows else block, ListedLayer(layer, kind, output, params)


@cache
def _rows() -> dict[str, list[tuple[str, str, int, int, int, int]]]:
    # Written by ``python -m tests.model.backbone_layers``; a test lists them again.
    content: dict[str, list[tuple[str, str, int, int, int, int]]] = json.loads(LISTED.read_text())
    return content
