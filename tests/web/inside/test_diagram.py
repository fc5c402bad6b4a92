"""The network as one picture: which layers it folds, and that its lines and windows are those of the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import ImageFacts, load_recipe
from conviction.config.model import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ModelSpec,
)
from conviction.explanation import activations
from conviction.model import build
from conviction.model.shapes import walk
from conviction.web.elements.network_diagram import ColumnPick, ValuePick
from conviction.web.inside.diagram import diagram_of
from conviction.web.inside.drawn import drawn, mark_of, outline, view_of
from conviction.web.inside.folding import MAPS_OF_FEW, MOST_FOLDED, PlainLayer, fold
from conviction.web.inside.view import View

KINDS = (
    "Conv2D",
    "Activation",
    "BatchNormalization",
    "MaxPooling2D",
    "Flatten",
    "Dropout",
    "Backbone",
    "Dense",
)


def plain(rows: list) -> list[PlainLayer]:
    return [PlainLayer(row.name, row.kind, row.output) for row in rows]


@given(st.lists(st.sampled_from(KINDS), max_size=40))
def test_every_layer_but_flatten_is_in_one_column_in_its_order(kinds: list[str]) -> None:
    side, layers = 64, [PlainLayer("normalise", "Rescaling", (64, 64, 3))]
    for number, kind in enumerate(kinds):
        side = max(1, side // 2) if kind == "MaxPooling2D" else side
        layers.append(PlainLayer(f"{kind} {number}", kind, (side, side, 5 + number)))
    layers.append(PlainLayer("output", "Dense", (10,)))
    folds = fold(layers)
    drawn_layers = [one.name for each in folds for one in each.layers]
    assert drawn_layers == [one.name for one in layers[1:] if one.kind != "Flatten"]
    assert [layers[number].name for each in folds for number in each.numbers] == drawn_layers
    assert folds[-1].layers[-1].name == "output"
    assert all(1 <= each.count <= min(MAPS_OF_FEW, each.shape[-1]) for each in folds)


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("recipe", ["lab", "fast", "best"])
def test_recipes_fit_a_screen(recipe: str, side: int) -> None:
    facts = ImageFacts(side, side, 2000, 3)
    spec = load_recipe({"recipe": recipe}, facts=facts).model
    assert 4 <= len(fold(plain(walk(spec, (side, side, 3), 10)))) - 1 <= MOST_FOLDED


@pytest.fixture(scope="module")
def network():
    layers = (
        Conv2D(filters=5, kernel_size=(3, 3), padding="same", activation="relu"),
        MaxPooling2D(pool_size=(2, 2)),
        BatchNormalization(),
        Conv2D(filters=6, kernel_size=(2, 3), strides=(2, 2)),
        Flatten(),
        Dropout(rate=0.5),
        Dense(units=7, activation="relu"),
    )
    spec = ModelSpec(layers=layers)
    model = build(spec, (16, 14, 3), 4, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 14, 3), np.uint8)
    return spec, model, pixels, activations(model, pixels)


def test_what_flows_to_an_answer_is_its_score(network) -> None:
    _, model, pixels, outputs = network
    diagram = diagram_of(model, pixels, outputs)
    scores = diagram.sums.sum(axis=1) + np.asarray(model.layers[-1].bias)
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(), outputs[-1].output, rtol=1e-4)
    # And through Flatten and dropout to each dense unit, before its bias, which is 0, and ReLU.
    dense = diagram.columns[-1]
    np.testing.assert_allclose(
        np.maximum(dense.sums.sum(axis=1), 0), outputs[-2].output, rtol=1e-4, atol=1e-5
    )


def test_a_window_holds_all_that_a_value_depends_on(network) -> None:
    """Of each column: what is changed outside of the window changes nothing, and inside it something."""
    _, model, pixels, outputs = network
    diagram = diagram_of(model, pixels, outputs)
    numbers = {layer.name: number for number, layer in enumerate(model.layers)}
    rng = np.random.default_rng(1)
    before = outputs[0].output
    for column in diagram.columns[:-1]:
        reach = column.reach
        layers = [model.layers[numbers[name]] for name in column.layers]

        def give(maps: np.ndarray, layers=layers) -> np.ndarray:
            value = maps[np.newaxis]
            for layer in layers:
                value = layer(value, training=False) if layer.name != "dropout_1" else value
            return np.asarray(value)[0]

        given = give(before)
        for _ in range(20):
            row, at = rng.integers(0, given.shape[0]), rng.integers(0, given.shape[1])
            rows = np.arange(before.shape[0]) - (reach.top + row * reach.down)
            columns = np.arange(before.shape[1]) - (reach.left + at * reach.right)
            window = ((rows >= 0) & (rows < reach.rows))[:, None] & (
                (columns >= 0) & (columns < reach.columns)
            )
            changed = before + rng.normal(size=before.shape).astype(np.float32) * 9
            outside, inside = (
                np.where((window == keep)[..., None], before, changed) for keep in (True, False)
            )
            np.testing.assert_allclose(give(outside)[row, at], given[row, at], rtol=1e-5, atol=1e-6)
            assert not np.allclose(give(inside)[row, at], given[row, at])
        before = given


def test_a_click_and_the_mark_of_what_it_chose_agree(network) -> None:
    _, model, pixels, outputs = network
    diagram = diagram_of(model, pixels, outputs)
    for number, column in enumerate(diagram.columns):
        vector = len(column.shape) == 1
        pick = ValuePick(number, 3, (0, 0) if vector else (2, 1))
        chosen = view_of(diagram, pick, View())
        assert chosen.layer == column.layers[-1]
        # Dropout comes after Flatten: its values are in a row, and the picture shows them as maps.
        output = next(one.output for one in outputs if one.name == chosen.layer)
        assert chosen.within(output.shape) == chosen
        shown = output.reshape(column.shape)
        assert output[chosen.position(output.shape)] == (shown[3] if vector else shown[2, 1, 3])
        assert mark_of(diagram, chosen, {}) == [number, 3, *pick.at]
        assert view_of(diagram, ColumnPick(number), View()).layer == column.layers[0]
    answer = view_of(diagram, ColumnPick(len(diagram.columns)), View())
    assert (answer.layer, answer.channel) == ("output", int(outputs[-1].output.argmax()))
    assert mark_of(diagram, answer, {}) == [len(diagram.columns)]
    assert mark_of(diagram, View(layer="flatten_1"), {}) == []


def test_two_classes_have_one_unit_that_speaks_for_one_and_against_the_other() -> None:
    spec = ModelSpec(layers=(Conv2D(filters=4, kernel_size=(3, 3)), Flatten()))
    model = build(spec, (8, 8, 1), 2, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    diagram = diagram_of(model, pixels, activations(model, pixels))
    assert diagram.classes == (0, 1)
    np.testing.assert_array_equal(diagram.sums[0], -diagram.sums[1])
    assert view_of(diagram, ValuePick(1, 0, (0, 0)), View()).channel == 0
    assert diagram.probabilities.sum() == pytest.approx(1)


def test_shapes_come_first_and_are_those_of_the_values(network) -> None:
    spec, model, pixels, outputs = network
    names = ["a", "b", "c", "d"]
    shapes = outline(fold(plain(walk(spec, (16, 14, 3), 4))), pixels, "a.png", names)
    whole = drawn(diagram_of(model, pixels, outputs), "a.png", names, trained=False)
    for first, then in zip(shapes["columns"], whole["columns"], strict=True):
        assert first.items() <= then.items()
    assert shapes["answers"].items() <= whole["answers"].items()
