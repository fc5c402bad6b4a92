"""The network as it is edited: one list of layers, its edits, and the views that follow from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from conviction.config import ImageFacts, ModelSpec, Recipe, load_recipe
from conviction.config.layer_edits import (
    POOLINGS,
    Layers,
    backbone,
    head,
    insert,
    move,
    remove,
    with_settings,
)
from conviction.config.model import (
    LAYER_TYPES,
    MOST_LAYERS,
    Backbone,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
)
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.config.text import read_yaml
from conviction.errors import MisfitError, RequestError
from conviction.model import LayerRow, walk
from conviction.model.backbones import KINDS, missing_weights
from conviction.programs.backbone_code import WEIGHTS, backbone_section, learning_code
from conviction.programs.training_code import model_section

Shape = tuple[int, int, int]
# Of a specification that somebody types or sends: reading it takes a millisecond for every hundred characters.
MOST_TEXT = 32_000

# The settings of a layer when it is added.
NEW: dict[str, dict[str, Any]] = {
    "Conv2D": {"filters": 32, "activation": "relu"},
    "Dense": {"units": 128, "activation": "relu"},
    "Dropout": {"rate": 0.25},
}


# What can be added to a network; a backbone is where it begins.
ADDABLE = [kind for kind in LAYER_TYPES if kind != "Backbone"]


@dataclass(frozen=True)
class Fix:
    """A change that was checked to fit: what a button says, and the layers after it."""

    label: str
    layers: Layers


@dataclass(frozen=True)
class NetworkView:
    """What follows from a list of layers for images of one shape.

    Attributes:
        rows: Every layer, normalisation first and output last; empty if it does not fit.
        refusal: Why it does not fit, in a sentence; empty if it does.
        index: Of the hidden layer that does not fit; None if all do.
        fixes: Changes that fit.
    """

    rows: tuple[LayerRow, ...]
    refusal: str = ""
    index: int | None = None
    fixes: tuple[Fix, ...] = ()

    @property
    def params(self) -> int:
        """All parameters."""
        return sum(row.params for row in self.rows)

    @property
    def trainable(self) -> int:
        """Parameters that are learned."""
        return sum(row.trainable for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return sum(row.multiply_adds for row in self.rows)


def look(layers: Layers, shape: Shape, classes: int) -> NetworkView:
    """The shapes and costs of a network, or why it does not fit and what would.

    Args:
        layers: The hidden ones.
        shape: (height, width, channels) of an image.
        classes: At least 2.
    """
    try:
        return NetworkView(tuple(walk(ModelSpec(layers=layers), shape, classes)))
    except MisfitError as misfit:
        at = misfit.index
        fixes = tuple(fix for fix in _changes(layers, at) if _misfit(fix.layers, shape, classes) is None)
        refusal = f"Layer {at + 1} ({layers[at].type}): {misfit.reason}. Shapes: {' → '.join(misfit.chain)}."
        if backbone(layers) and not at:
            refusal += f" Start again from {TRANSFER_RECIPE}, which brings the images to a size and colours that fit."
        return NetworkView((), refusal, at, _distinct(fixes)[:3] or _step_by_step(layers, shape, classes))


def _misfit(layers: Layers, shape: Shape, classes: int) -> int | None:
    """The number of the layer that does not fit; None if all do."""
    try:
        walk(ModelSpec(layers=layers), shape, classes)
    except MisfitError as misfit:
        return misfit.index
    return None


def _step_by_step(layers: Layers, shape: Shape, classes: int) -> tuple[Fix, ...]:
    """One change after the other, where none alone is enough.

    Each leaves fewer layers from the misfit on, or fewer in all; where none does, one that leaves as many, once.
    """
    labels: list[str] = []
    seen = {layers}
    at = _misfit(layers, shape, classes)
    while at is not None:
        left = len(layers) - at, len(layers)
        step = None
        for change in _changes(layers, at):
            then = _misfit(change.layers, shape, classes)
            now = (0, 0) if then is None else (len(change.layers) - then, len(change.layers))
            if now < left or (step is None and now == left and change.layers not in seen):
                step = change, then
            if now < left:
                break
        if step is None:
            return ()
        labels.append(step[0].label)
        layers, at = step[0].layers, step[1]
        seen.add(layers)
    first, *others = labels
    rest = others[0][0].lower() + others[0][1:] if len(others) == 1 else f"{len(others)} more changes"
    return (Fix(f"{first} and {rest}", layers),)


def _distinct(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    return tuple({fix.layers: fix for fix in reversed(fixes)}.values())[::-1]


def _changes(layers: Layers, at: int) -> Iterator[Fix]:
    """The smallest changes around the layer that does not fit, the gentlest first."""
    kind = layers[at].type
    for new in (Flatten(), GlobalAveragePooling2D()) if len(layers) < MOST_LAYERS else ():
        if isinstance(layers[at], Dense):
            yield Fix(f"Put {new.type} before it", insert(layers, at, new))
        yield Fix(f"Put {new.type} after it", insert(layers, at + 1, new))
    end = head(layers)
    if end < at:
        yield Fix(f"Move it before {layers[end].type}", move(layers, at, end - at))
    yield Fix("Same padding in every convolution", with_settings(layers, Conv2D, padding="same"))
    yield Fix(f"Leave this {kind} out", remove(layers, at))
    later = [i for i, x in enumerate(layers) if i >= at and isinstance(x, POOLINGS)]
    if isinstance(layers[at], POOLINGS) and len(later) > 1:
        fewer = tuple(x for i, x in enumerate(layers) if i not in later)
        yield Fix(f"Leave this and the {_counted(len(later) - 1)} after it out", fewer)
    padded = with_settings(layers, (Conv2D, *POOLINGS), padding="same")
    yield Fix("Same padding in every convolution and pooling", padded)


def _counted(poolings: int) -> str:
    return "pooling" if poolings == 1 else f"{poolings} poolings"


def add(layers: Layers, kind: str, at: int) -> Layers:
    """With a new layer of this type at number ``at``.

    Raises:
        RequestError: There are as many as a network may have.
    """
    if len(layers) >= MOST_LAYERS:
        raise RequestError(f"model.layers: a network may have at most {MOST_LAYERS}.")
    if kind not in ADDABLE:
        raise RequestError(
            f"A network begins with a {kind}, so none can be added. Start again from transfer."
        )
    return insert(layers, at, checked({"type": kind, **NEW.get(kind, {})}))


def edit(layers: Layers, at: int, field: str, value: Any) -> Layers:
    """With one setting of the layer at number ``at`` changed.

    Raises:
        RequestError: The value is out of range, or of the wrong type.
    """
    changed = checked({**layers[at].model_dump(mode="json"), field: value}, at)
    if isinstance(changed, Backbone) and field == "name" and isinstance(changed.trainable, int):
        # Another backbone has other blocks.
        changed = changed.model_copy(update={"trainable": "head"})
    return tuple(changed if i == at else x for i, x in enumerate(layers))


def checked(layer: dict[str, Any], at: int = 0) -> Layer:
    """A layer from plain values.

    Raises:
        RequestError: They do not describe a layer.
    """
    # As many layers before it as there are, so that the message names the right one.
    before = [{"type": "Flatten"}] * at
    return load_recipe({"model.layers": [*before, layer]}).model.layers[at]


def names_after(before: Layers, names: Sequence[int], after: Layers) -> list[int]:
    """Numbers that identify layers through edits: a layer that was moved or changed in place keeps its number.

    Args:
        before: The layers that have ``names``.
        names: As many.
        after: Those that an edit has made of them.

    >>> flatten, dense, dropout = Flatten(), Dense(units=3), checked({"type": "Dropout", "rate": 0.5})
    >>> names_after((flatten, dense), [0, 1], (flatten, dropout, dense))
    [0, 2, 1]
    """
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next((i for i in range(shorter - head) if before[-1 - i] != after[-1 - i]), shorter - head)
    left = list(zip(before, names, strict=True))[head : len(before) - tail]
    middle: list[int | None] = []
    for layer in after[head : len(after) - tail]:
        at = next((i for i, (old, _) in enumerate(left) if old == layer), None)
        middle.append(None if at is None else left.pop(at)[1])
    free = itertools.chain((name for _, name in left), itertools.count(max(names, default=-1) + 1))
    renamed = [next(free) if name is None else name for name in middle]
    return [*names[:head], *renamed, *names[len(names) - tail :]]


def to_yaml(layers: Layers) -> str:
    """The specification as a user writes it: what differs from the defaults, one line per layer."""
    lines = []
    for layer in layers:
        settings: dict[str, Any] = {"type": layer.type}
        plain = layer.model_dump(mode="json")
        for name, field in LAYER_TYPES[layer.type].model_fields.items():
            if name != "type" and getattr(layer, name) != field.default:
                settings[name] = plain[name]
        text = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=1000).strip()
        lines.append(f"- {text}")
    return "\n".join(["layers:", *lines]) + "\n"


def from_yaml(text: str) -> Layers:
    """The layers of a specification; with or without ``model:`` and ``layers:`` above them.

    Raises:
        RequestError: It is not YAML, or not a list of layers; or it is longer than any such list.
    """
    if len(text) > MOST_TEXT:
        raise RequestError(
            f"The specification: expected at most {MOST_TEXT:,} characters, which are more than {MOST_LAYERS} layers "
            f"need; got {len(text):,}."
        )
    try:
        content = read_yaml(text)
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise RequestError(
            f"The specification is not valid YAML ({where}{getattr(failure, 'problem', failure)})."
        ) from None
    for key in ("model", "layers"):
        if isinstance(content, dict) and key in content:
            content = content[key]
    if content is None:
        raise RequestError("The specification: expected a list of layers; got nothing.")
    if isinstance(content, list) and len(content) > MOST_LAYERS:
        raise RequestError(f"model.layers: a network may have at most {MOST_LAYERS}; got {len(content):,}.")
    return load_recipe({"model.layers": content}).model.layers


def untrainable(layers: Layers) -> str:
    """Why a network that fits cannot be trained here: its weights were not found. Empty if it can be."""
    spec = backbone(layers)
    failure = missing_weights(KINDS[spec.name]) if spec else None
    return str(failure or "")


def keras_code(layers: Layers, shape: Shape, classes: int) -> str:
    """The network as plain Keras, as the exported program has it.

    Raises:
        RequestError: It does not fit.
    """
    recipe = Recipe(model=ModelSpec(layers=layers))
    code = "import keras\n\n"
    spec = backbone(layers)
    if spec is not None:
        before = backbone_section(recipe, shape, f'"{WEIGHTS}"').code
        if spec.trainable != "head":
            before = f"{before}\n{learning_code(spec)}"
        code = f"from __future__ import annotations\n\n{code}{before}\n\n"
    return code + model_section(recipe, shape, classes).code


def starting_point(recipe: str, facts: ImageFacts) -> Recipe:
    """The specification that a recipe gives for these images."""
    return load_recipe({"recipe": recipe}, facts=facts)
