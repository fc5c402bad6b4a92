"""What the panel shows are the numbers of the layers, for every kind of layer, against Keras's own functional model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.errors import RequestError
from conviction.explanation import explain_value
from conviction.web.inside.calculation import CELLS_SHOWN, Calculation, calculate, cells
from conviction.web.inside.kept import MOST_KEPT, Kept
from conviction.web.inside.seeing import ModelViewer
from conviction.web.inside.small import in_rows, scaled
from conviction.web.inside.view import View
from tests.explanation import networks
from tests.explanation.test_value import EVERYTHING, SHAPE

GLOBAL = networks.spec(
    {
        "type": "Conv2D",
        "filters": 5,
        "kernel_size": 5,
        "strides": [2, 1],
        "padding": "same",
        "activation": "relu",
    },
    {"type": "BatchNormalization"},
    {"type": "GlobalAveragePooling2D"},
)
KINDS = {
    "Rescaling", "Conv2D", "MaxPooling2D", "BatchNormalization", "AveragePooling2D", "Activation", "Dropout", "Flatten",
    "Dense", "GlobalAveragePooling2D",
}  # fmt: skip
CLASSES = ["ash", "birch", "cedar"]


def outputs_before(model: Any, pixels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(input, output) of every layer, by Keras's functional model."""
    found = networks.by_keras(model, pixels)
    names = [layer.name for layer in model.layers]
    inputs = [pixels.astype(np.float32), *(found[name] for name in names[:-1])]
    return {name: (came, found[name]) for name, came in zip(names, inputs, strict=True)}


def check(
    shown: Calculation, came: np.ndarray, gave: np.ndarray, at: tuple[int, ...], allowed: float
) -> None:
    """What a reader can check with pencil and paper: cells are the input, products are products, sums are sums."""
    assert shown.value == pytest.approx(gave[at], abs=allowed)
    assert shown.lines[-1].result
    assert shown.agrees
    for cell in cells(shown):
        if cell.at is not None:
            assert cell.value == came[cell.at]
        if cell.mark == "outside":
            assert (cell.at, abs(cell.value)) in ((None, 0.0), (None, abs(cell.value)))
    totals = [group.total for group in shown.groups if group.total is not None]
    if totals:
        assert shown.lines[0].value == pytest.approx(sum(totals), abs=allowed)
        assert shown.lines[2].value == pytest.approx(shown.lines[0].value + shown.lines[1].value, abs=allowed)
    if shown.kind == "Conv2D":
        assert len(shown.groups) == came.shape[2]
        for group in shown.groups:
            patch, kernel, products = ([[c.value for c in row] for row in grid.rows] for grid in group.grids)
            assert np.allclose(np.multiply(patch, kernel), products, rtol=1e-12, atol=0)
            assert group.total == pytest.approx(np.sum(products), abs=allowed)
        assert [abs(t) for t in totals] == sorted(map(abs, totals), reverse=True)
    if shown.kind == "Dense":
        table, *rest = shown.groups[0].grids
        for row in table.rows:
            assert row[0].value * row[1].value == pytest.approx(row[2].value, rel=1e-12)
        other = sum(cell.value for grid in rest for row in grid.rows for cell in row)
        assert sum(row[2].value for row in table.rows) + other == pytest.approx(totals[0], abs=allowed)


@pytest.mark.parametrize(("layers", "classes"), [(EVERYTHING, 3), (EVERYTHING, 2), (GLOBAL, 3)])
def test_every_number_is_the_layers_own(layers: Any, classes: int) -> None:
    model = networks.network(layers, SHAPE, classes)
    pixels = networks.picture(SHAPE)
    rng = np.random.default_rng(0)
    for name, (came, gave) in outputs_before(model, pixels).items():
        every = list(itertools.product(*map(range, gave.shape)))
        for i in rng.permutation(len(every))[:12]:
            value = explain_value(model, pixels, name, every[i])
            allowed = 1e-5 * max(value.magnitude, abs(value.value))
            shown = calculate(value, came.shape, CLASSES)
            check(shown, came, gave, every[i], allowed)
            # Tables and words are made from the numbers: an equation in other words changes nothing else.
            reworded = calculate(replace(value, equation="x"), came.shape, CLASSES)
            assert reworded == replace(shown, equation="x")


def test_every_kind_of_layer_is_among_them() -> None:
    built = [networks.network(layers, SHAPE, 3) for layers in (EVERYTHING, GLOBAL)]
    assert {type(layer).__name__ for model in built for layer in model.layers} == KINDS


def shown_for(layers: Any, name: str, at: tuple[int, ...], classes: int = 3) -> tuple[Calculation, Any]:
    model = networks.network(layers, SHAPE, classes)
    pixels = networks.picture(SHAPE)
    came, gave = outputs_before(model, pixels)[name]
    return calculate(explain_value(model, pixels, name, at), came.shape, CLASSES), (came, gave)


def test_a_calculation_leads_to_the_input_that_adds_most() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    inputs = outputs_before(model, pixels)

    def strongest(name: str, at: tuple[int, ...]) -> tuple[int, ...]:
        return calculate(explain_value(model, pixels, name, at), inputs[name][0].shape, CLASSES).strongest

    # As "same" pads 3x2 with strides 2, 1.
    padded = np.pad(inputs["conv_1"][0], ((1, 1), (0, 1), (0, 0)), constant_values=np.nan)
    kernel = np.asarray(model.get_layer("conv_1").kernel, float)[..., 1]
    for row, column in itertools.product((0, 2, 4), (0, 3, 7)):
        products = padded[2 * row : 2 * row + 3, column : column + 2] * kernel
        channel = int(np.abs(np.nansum(products, axis=(0, 1))).argmax())
        down, right = np.unravel_index(np.nanargmax(np.abs(products[..., channel])), (3, 2))
        assert strongest("conv_1", (row, column, 1)) == (2 * row - 1 + down, column + right, channel)
    came, gave = inputs["max_pool_1"]
    assert came[strongest("max_pool_1", (1, 1, 2))] == gave[1, 1, 2]
    came, gave = inputs["flatten_1"]
    assert came[strongest("flatten_1", (7,))] == gave[7]
    products = inputs["dense_1"][0] * np.asarray(model.get_layer("dense_1").kernel)[:, 4]
    assert strongest("dense_1", (4,)) == (np.abs(products).argmax(),)
    # The start of the window, of the channel whose mean is taken.
    assert strongest("average_pool_1", (1, 1, 3)) == (2, 2, 3)


def test_padding_is_marked_and_leads_nowhere() -> None:
    shown, _ = shown_for(EVERYTHING, "conv_1", (0, 7, 2))
    patch = shown.groups[0].grids[0]
    assert [[cell.mark for cell in row] for row in patch.rows] == [
        ["outside"] * 2,
        ["", "outside"],
        ["", "outside"],
    ]
    assert shown.window == (-1, 7, 3, 2)


def test_the_winner_of_a_window_is_marked() -> None:
    shown, (came, gave) = shown_for(EVERYTHING, "max_pool_1", (1, 1, 2))
    (winner,) = [cell for cell in cells(shown) if cell.mark == "winner"]
    assert winner.value == gave[1, 1, 2]
    assert winner.at is not None
    assert came[winner.at] == gave[1, 1, 2]


def test_a_whole_map_is_not_written_out() -> None:
    large = np.ones((CELLS_SHOWN, 2, 5), np.float32)
    from conviction.explanation.numbers import Pooled
    from conviction.explanation.window import Window

    value = Pooled(
        layer="g", kind="GlobalAveragePooling2D", position=(3,), computed=1.0, value=1.0, magnitude=1.0, equation="",
        inputs=large[..., 3], window=Window(0, 0, CELLS_SHOWN, 2), winner=None,
    )  # fmt: skip
    shown = calculate(value, large.shape)
    assert shown.groups == ()
    assert shown.strongest == (0, 0, 3)
    assert [line.value for line in shown.lines] == [2.0 * CELLS_SHOWN, 1.0]


def test_softmax_shows_the_shares_of_all_classes() -> None:
    shown, (_, gave) = shown_for(EVERYTHING, "output", (1,))
    table = shown.groups[1].grids[0]
    shares = {label: row[2].value for label, row in zip(table.labels, table.rows, strict=True)}
    assert shares == pytest.approx(dict(zip(CLASSES, gave.tolist(), strict=True)), abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert table.labels[table.chosen or 0] == "birch"
    exponential, together, share = shown.lines[-3:]
    assert share.value == pytest.approx(exponential.value / together.value)


def test_values_of_the_output_name_their_class() -> None:
    assert shown_for(EVERYTHING, "output", (1,))[0].position_text == "unit 1 (birch)"
    model = networks.network(EVERYTHING, SHAPE, 2)
    value = explain_value(model, networks.picture(SHAPE), "output", (0,))
    shown = calculate(value, (5,), CLASSES[:2])
    assert shown.position_text == "unit 0 (probability of birch)"
    assert shown.lines[-1].label == "after sigmoid"


def test_batch_normalisation_goes_step_by_step() -> None:
    shown, (came, gave) = shown_for(EVERYTHING, "batch_norm_1", (1, 1, 2))
    assert shown.lines[0].value == came[1, 1, 2]
    assert shown.value == pytest.approx(gave[1, 1, 2], rel=1e-5)
    assert shown.source == (1, 1, 2)


def test_a_view_is_what_its_address_says() -> None:
    view = View("17", "conv_1", 3, 4, 5)
    assert View.of(view.to_query()) == view
    assert View.of({"row": "-1", "column": "1e9", "channel": "²", "layer": "x" * 999}) == View(layer="x" * 64)
    assert view.within((2, 9, 4)) == View("17", "conv_1", 1, 4, 3)
    assert view.within((3,)) == View("17", "conv_1", 0, 0, 2)
    assert view.position((9, 9, 9)) == (3, 4, 5)
    assert view.position((9,)) == (5,)
    assert view.at((7,)) == View("17", "conv_1", 0, 0, 7)


def test_pictures_are_kept_within_limits() -> None:
    kept = Kept()
    first = kept.add(b"a picture")
    assert not first.isdigit()
    assert kept.get(first) == b"a picture"
    assert kept.add(b"a picture") == first
    for i in range(MOST_KEPT):
        kept.add(bytes([i]))
    with pytest.raises(RequestError, match="no longer kept"):
        kept.get(first)
    large = [kept.add(bytes(30_000_000) + bytes([i])) for i in range(3)]
    with pytest.raises(RequestError, match="no longer kept"):
        kept.get(large[0])
    assert len(kept.get(large[2])) == 30_000_001


def test_small_maps_keep_signs_and_places() -> None:
    values = np.array([[-2.0, 0.0], [1.0, 2.0]], np.float32)
    assert scaled(values, 2.0).tolist() == [[-127, 0], [64, 127]]
    assert scaled(np.zeros((1, 1), np.float32), 0.0).tolist() == [[0]]
    assert in_rows(np.arange(33, dtype=np.float32))[1].tolist() == [32.0] + [0.0] * 31
    assert in_rows(np.arange(2304, dtype=np.float32))[1, 0] == 48.0


def test_a_trained_run_is_seen_as_it_answers(trained: Path) -> None:
    import conviction

    viewer = ModelViewer()
    opened = viewer.open(trained)
    run = conviction.load_run(trained)
    validation = run.split.validation
    assert opened.pictures == len(validation)
    assert [name for name, _ in opened.layers] == [layer.name for layer in run.model.layers]
    sight = viewer.look(trained, 3)
    assert np.allclose(
        sight.probabilities, run.predict_pixels(sight.pixels[None]).probabilities[0], atol=1e-5
    )
    # The fourth of the split, by its content and not by its number.
    images = conviction.load_source("digits", run.config.data)
    hashes = [h.tobytes().hex() for h in images.hashes]
    row = hashes.index(list(validation.values())[3])
    assert np.array_equal(sight.pixels, images.pixels[row])
    assert sight.truth == images.class_names[images.labels[row]]
    assert [np.array_equal(a, sight.pixels) for a, _ in viewer.pictures(trained, 2, 3)] == [
        False,
        True,
        False,
    ]
    for index, (name, (came, gave)) in enumerate(outputs_before(run.model, sight.pixels).items()):
        at = tuple(n // 2 for n in gave.shape)
        close = viewer.close_up(trained, 3, name, at)
        value = explain_value(run.model, sight.pixels, name, at)
        check(close.calculation, came, gave, at, 1e-5 * max(value.magnitude, abs(value.value)))
        if gave.ndim == 3:
            assert np.allclose(close.after, gave[..., at[2]], atol=1e-4)
            assert close.channels is not None
            assert close.channels.maps.shape[0] == gave.shape[2]
        assert close.scale == pytest.approx(float(np.abs(close.after).max()) or 1.0)
        if came.ndim == 3:
            assert close.before_channel is not None
            assert np.allclose(close.before, came[..., close.before_channel], atol=1e-4)
        assert sight.layers[index].shape == gave.shape
