"""The numbers of one value: they come to what the layer computed, for every kind of layer, and say where from."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conviction.errors import RequestError
from conviction.explanation import (
    Activated,
    Convolution,
    Normalised,
    Pointwise,
    Pooled,
    Rescaled,
    Softmax,
    Value,
    WeightedSum,
    activations,
    explain_value,
    filters,
    value,
    window,
)
from tests.explanation import networks

SHAPE = (9, 8, 2)
CONV = {"type": "Conv2D", "filters": 3}
# Every kind, with windows that do not divide the picture, so that padding is uneven.
EVERYTHING = networks.spec(
    {**CONV, "kernel_size": [3, 2], "padding": "same", "strides": [2, 1], "activation": "relu"},
    {"type": "MaxPooling2D", "pool_size": [2, 3], "padding": "same"},
    {"type": "BatchNormalization"},
    {**CONV, "filters": 4, "kernel_size": 2, "padding": "same", "activation": "gelu"},
    {"type": "AveragePooling2D", "pool_size": [2, 2], "padding": "same"},
    {"type": "Activation", "activation": "silu"},
    {"type": "Dropout", "rate": 0.3},
    {"type": "Flatten"},
    {"type": "Dense", "units": 5, "activation": "tanh", "use_bias": False},
    {"type": "BatchNormalization"},
    {"type": "Dense", "units": 3},
)


def check(model: Any, pixels: np.ndarray, layer: str, at: tuple[int, ...], truth: np.ndarray) -> Value:
    """What explain_value claims, against the output that Keras's own functional model gives."""
    found = explain_value(model, pixels, layer, at)
    allowed = 1e-5 * max(found.magnitude, abs(found.value))
    assert abs(found.computed - truth[at]) <= allowed, (layer, at)
    assert abs(found.value - truth[at]) <= allowed, (layer, at, found.equation)
    assert found.agrees
    assert (found.layer, found.position) == (layer, at)
    return found


def check_some(layers: Any, shape: tuple[int, int, int], classes: int, pick: st.DataObject) -> None:
    model = networks.network(layers, shape, classes)
    pixels = networks.picture(shape)
    for layer, truth in networks.by_keras(model, pixels).items():
        last = tuple(n - 1 for n in truth.shape)
        chosen = pick.draw(st.tuples(*(st.integers(0, n) for n in last)))
        for at in {tuple(0 for _ in last), last, chosen}:
            check(model, pixels, layer, at, truth)


# Without shrinking, which takes minutes; the full tests below shrink.
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)
@given(networks.drawn(), st.data())
def test_numbers_come_to_what_the_layer_computed(drawn: Any, pick: st.DataObject) -> None:
    check_some(*drawn, pick)


@pytest.mark.full
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks.drawn(), st.data())
def test_numbers_come_to_what_the_layer_computed_in_many_networks(drawn: Any, pick: st.DataObject) -> None:
    check_some(*drawn, pick)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_value_of_every_kind_of_layer(classes: int) -> None:
    model = networks.network(EVERYTHING, SHAPE, classes)
    pixels = networks.picture(SHAPE)
    rng = np.random.default_rng(0)
    for layer, truth in networks.by_keras(model, pixels).items():
        every = list(itertools.product(*map(range, truth.shape)))
        for i in rng.permutation(len(every))[:25]:
            check(model, pixels, layer, every[i], truth)


@pytest.mark.parametrize("fault", ["row", "column", "average"])
def test_a_window_that_is_off_by_one_would_be_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check that the tests above rest on has to fail for a planted fault."""
    right = window.window_at

    def off(*arguments: Any) -> window.Window:
        where = right(*arguments)
        moved = (where.top + (fault == "row"), where.left + (fault == "column"))
        return window.Window(*moved, where.height + (fault == "average"), where.width)

    monkeypatch.setattr(value, "window_at", off)
    layer = "average_pool_1" if fault == "average" else "conv_1"
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    truth = networks.by_keras(model, pixels)[layer]
    with pytest.raises(AssertionError):  # noqa: PT012, since relu gives some zeros either way
        for at in np.ndindex(truth.shape):
            check(model, pixels, layer, at, truth)


def test_a_network_that_does_something_else_does_not_agree() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    layer = model.get_layer("conv_2")
    layer.activation = lambda x: x * 1.001  # under the name of another
    layer.activation.__name__ = "linear"
    assert not explain_value(model, networks.picture(SHAPE), "conv_2", (1, 1, 1)).agrees


def test_a_convolution_shows_its_patch_with_padding_and_where_it_lies() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    found = explain_value(model, pixels, "conv_1", (0, 7, 2))
    assert isinstance(found, Convolution)
    # 9 rows, kernel 3, stride 2: 5 outputs need 11 rows, one of them before. 8 columns, kernel 2: one after.
    assert found.window == window.Window(-1, 7, 3, 2)
    assert found.padding.tolist() == [[True, True], [False, True], [False, True]]
    assert not found.inputs[found.padding].any()
    assert np.allclose(found.inputs[1:, 0], pixels[0:2, 7] / 255.0)
    assert np.array_equal(found.weights, filters(model)[..., 2])
    assert found.total == pytest.approx(found.products.sum())
    assert found.pre_activation == pytest.approx(found.total + found.bias)
    assert found.value == pytest.approx(max(found.pre_activation, 0.0))
    top = found.largest(3)
    assert [abs(found.products[i]) for i in top] == sorted(np.abs(found.products).ravel())[:-4:-1]


def test_pooling_names_the_winner_and_leaves_padding_out() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    outputs = {o.name: o.output for o in activations(model, pixels)}
    for at in itertools.product(range(3), range(3), range(3)):
        found = explain_value(model, pixels, "max_pool_1", at)
        assert isinstance(found, Pooled)
        assert found.winner is not None
        assert outputs["conv_1"][(*found.winner, at[2])] == outputs["max_pool_1"][at]
    # 5 rows in windows of 2: one row of padding, after. 8 columns in windows of 3: one column of padding, after.
    corner = explain_value(model, pixels, "max_pool_1", (2, 2, 0))
    assert isinstance(corner, Pooled)
    assert corner.window == window.Window(4, 6, 1, 2)
    mean = explain_value(model, pixels, "average_pool_1", (1, 0, 1))
    assert isinstance(mean, Pooled)
    assert mean.winner is None
    assert mean.window == window.Window(2, 0, 1, 2)
    assert "/ 2 =" in mean.equation


def test_the_other_kinds_say_their_numbers() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    outputs = {o.name: o.output for o in activations(model, pixels)}
    normalised = explain_value(model, pixels, "batch_norm_1", (1, 1, 2))
    assert isinstance(normalised, Normalised)
    gamma, beta, mean, variance = (w[2] for w in model.get_layer("batch_norm_1").get_weights())
    assert (normalised.gamma, normalised.beta, normalised.mean, normalised.variance) == (
        gamma,
        beta,
        mean,
        variance,
    )
    assert normalised.x == outputs["max_pool_1"][1, 1, 2]
    first = explain_value(model, pixels, "normalise", (2, 3, 1))
    assert isinstance(first, Rescaled)
    assert (first.divisor, first.offset) == (255.0, 0.0)
    assert first.equation.startswith(f"{pixels[2, 3, 1]} / 255 = ")
    bent = explain_value(model, pixels, "activation_1", (1, 1, 2))
    assert isinstance(bent, Activated)
    assert bent.activation == "silu"
    # Programs read the same keys of all values that come from a single one.
    keys = [
        "layer",
        "kind",
        "position",
        "computed",
        "value",
        "magnitude",
        "equation",
        "x",
        "source",
        "agrees",
    ]
    assert list(first.to_json()) == list(bent.to_json()) == keys
    flat = explain_value(model, pixels, "flatten_1", (5,))
    assert isinstance(flat, Pointwise)
    assert outputs["dropout_1"][flat.source] == outputs["flatten_1"][5]
    dense = explain_value(model, pixels, "dense_1", (4,))
    assert isinstance(dense, WeightedSum)
    assert np.array_equal(dense.inputs, outputs["flatten_1"])
    share = explain_value(model, pixels, "output", (1,))
    assert isinstance(share, Softmax)
    assert share.exponentials / share.exponentials.sum() == pytest.approx(outputs["output"], rel=1e-5)
    assert share.value == pytest.approx(float(outputs["output"][1]), rel=1e-5)
    assert share.pre_activation == share.logits[1]


ARITHMETIC = re.compile(r"\(the other [\d,]+ (products|values)\)|bias |mean |variance |gamma |beta ")


def test_equations_can_be_calculated_by_hand() -> None:
    """What an equation says to the left of its first equals sign is, as arithmetic, what stands to the right."""
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    calculated = 0
    for output in activations(model, pixels):
        found = explain_value(model, pixels, output.name, tuple(n // 2 for n in output.output.shape))
        left, equals, right = found.equation.partition(" = ")
        name = left.split("(")[0]
        if not equals or name in ("silu",):
            continue
        arithmetic = ARITHMETIC.sub("", left)
        result = eval(arithmetic, {"max": max, "sqrt": np.sqrt})
        stated = float(re.split(r"[;,]", right)[0])
        assert result == pytest.approx(stated, abs=2e-3 * max(1.0, found.magnitude)), found.equation
        calculated += 1
    assert calculated >= 8


def test_positions_outside_and_unknown_layers_are_refused() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels = networks.picture(SHAPE)
    for at in [(5, 0, 0), (0, -1, 0), (0, 0), ()]:
        with pytest.raises(
            RequestError, match="conv_1: expected a position with row 0 to 4, column 0 to 7, channel 0 to 2"
        ):
            explain_value(model, pixels, "conv_1", at)
    with pytest.raises(RequestError, match="unit 0 to 4; got 5"):
        explain_value(model, pixels, "dense_1", (5,))
    with pytest.raises(RequestError, match="Did you mean 'dense_1'"):
        explain_value(model, pixels, "dens_1", (0,))
    with pytest.raises(RequestError, match=r"\(9, 8, 2\)"):
        explain_value(model, networks.picture((8, 8, 2)), "conv_1", (0, 0, 0))
