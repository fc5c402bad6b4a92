"""The way back: the numbers of every gradient come to what plain TensorFlow computes, on both backends."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation import descend, flows, input_gradient, named_layers, way_back, weights
from conviction.explanation.differentiate import cross_entropy
from tests.explanation import networks, reference
from tests.explanation.test_backbone import LITE
from tests.explanation.test_backbone import SHAPE as WIDE
from tests.explanation.test_backbone import network as with_backbone
from tests.explanation.test_value import EVERYTHING, SHAPE

PLACES = {"kernel": 0, "bias": 1, "gamma": 0, "beta": 1}


def near(values: Any, truth: Any) -> bool:
    """As near as float32 comes in another order of sums."""
    scale = max(float(np.abs(truth).max()), 1e-6)
    return bool((np.abs(np.asarray(values) - truth) <= 2e-4 * scale).all())


def check(model: Any, layers: Any, pixels: np.ndarray, label: int, most: int) -> None:
    loss, at_layers, at_weights = reference.loss_gradients(layers, model, pixels, label)
    rng = np.random.default_rng(0)
    for name, truth in at_layers.items():
        way = way_back(model, pixels, name, label)
        assert way.loss == pytest.approx(loss, rel=1e-4, abs=1e-5)
        assert way.gradient.shape == truth.shape
        assert near(way.gradient, truth), name
        every = list(itertools.product(*map(range, truth.shape)))
        for i in rng.permutation(len(every))[:most]:
            at = every[i]
            value = way.at(at)
            assert value.agrees, (name, at)
            assert abs(value.gradient - truth[at]) <= 2e-4 * max(
                float(np.abs(truth).max()), value.magnitude, 1e-6
            )
            for one in value.weights:
                assert one.agrees, (name, at, one.name)
                assert near(one.gradient, at_weights[name][PLACES[one.name]][..., at[-1]]), (name, one.name)
                # Its part of the sum; a layer that gives a vector uses each weight once.
                assert one.local == pytest.approx(one.inputs * value.before_activation, rel=1e-4, abs=1e-9)
                if len(at) == 1:
                    assert one.local == pytest.approx(one.gradient, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_kind_of_layer_passes_back_what_tensorflow_computes(classes: int) -> None:
    model, pixels = networks.network(EVERYTHING, SHAPE, classes), networks.picture(SHAPE)
    for label in range(2):
        check(model, EVERYTHING, pixels, label, 25)


@pytest.mark.full
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks.drawn(), st.data())
def test_networks_of_any_layers_pass_back_what_tensorflow_computes(drawn: Any, pick: st.DataObject) -> None:
    layers, shape, classes = drawn
    model = networks.network(layers, shape, classes)
    check(model, layers, networks.picture(shape), pick.draw(st.integers(0, classes - 1)), 6)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)
@given(networks.drawn(), st.data())
def test_a_few_networks_pass_back_what_tensorflow_computes(drawn: Any, pick: st.DataObject) -> None:
    layers, shape, classes = drawn
    model = networks.network(layers, shape, classes)
    check(model, layers, networks.picture(shape), pick.draw(st.integers(0, classes - 1)), 6)


@pytest.mark.parametrize("fault", ["window", "slope", "sum"])
def test_a_planted_fault_would_be_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = networks.network(EVERYTHING, SHAPE, 3), networks.picture(SHAPE)
    right = flows._covering
    if fault == "window":
        monkeypatch.setattr(flows, "_covering", lambda *a: [(at, (down, 0)) for at, (down, _) in right(*a)])
    elif fault == "slope":
        monkeypatch.setattr(flows, "slopes_at", lambda layer, activation, sums: np.ones(np.shape(sums)))
    else:
        monkeypatch.setattr(
            weights, "windows", lambda maps, layer, size: np.roll(flows.windows(maps, layer, size), 1, axis=0)
        )
    with pytest.raises(AssertionError):
        check(model, EVERYTHING, pixels, 0, 25)


def test_a_picture_has_gradients_too_and_they_are_those_of_the_saliency_map() -> None:
    """Of the loss they are those of the class score, less those of all scores by their probabilities."""
    model, pixels = networks.network(EVERYTHING, SHAPE, 3), networks.picture(SHAPE)
    way = way_back(model, pixels, "", 1)
    assert way.gradient.shape == SHAPE
    value = way.at((2, 3, 1))
    assert value.agrees
    assert [flow.layer for flow in value.flows] == ["normalise"]
    assert value.flows[0].factors == pytest.approx([1 / 255])
    # Where no pixel moves any score, none moves the loss.
    still = np.max([input_gradient(model, pixels, k) for k in range(3)], axis=0) == 0
    assert not way.gradient[still].any()


def test_at_the_end_stands_p_minus_y() -> None:
    pixels = networks.picture(SHAPE)
    for classes in (2, 4):
        model = networks.network(EVERYTHING, SHAPE, classes)
        for label in range(classes):
            way = way_back(model, pixels, "output", label)
            p = way.probabilities
            target = np.eye(classes)[label]
            expected = (p - target)[1:] if classes == 2 else p - target
            assert way.gradient == pytest.approx(expected, abs=1e-6)
            assert way.loss == pytest.approx(-np.log(p[label]), rel=1e-4)
            assert way.at((0,)).flows == ()


def test_a_backbone_and_what_leads_around_it() -> None:
    """A value before an addition goes two ways, and so does its gradient."""
    model, pixels = with_backbone(LITE), networks.picture(WIDE)
    layers = named_layers(model)
    forks = [
        n
        for n in layers
        if sum(n in one.parents for one in {o.name: o for o in layers.values()}.values()) > 1
    ]
    assert forks
    rng = np.random.default_rng(0)
    for name in (forks[0], f"{LITE}/block1_project", f"{LITE}/block2_depthwise", f"{LITE}/top_relu", LITE):
        way = way_back(model, pixels, name, 1)
        for _ in range(6):
            value = way.at(tuple(int(rng.integers(n)) for n in way.passed.output.shape))
            assert value.agrees, name
            assert all(one.agrees for one in value.weights), name
            assert len(value.flows) == (2 if name == forks[0] else 1)


def ended(kind: str) -> Any:
    """A network whose last layer is a graph with a way around, as ``own`` networks are."""
    keras = import_keras()
    layers = keras.layers
    start = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(start)
    x = layers.Add(name="around")(
        [x, layers.Conv2D(4, 3, padding="same", activation="gelu", name="second")(x)]
    )
    head = [layers.GlobalAveragePooling2D(name="mean"), layers.Dense(3, activation="softmax", name="dense")]
    if kind == "softmax layer":
        head = [*head[:1], layers.Dense(3, name="dense"), layers.Softmax(name="softmax")]
    if kind == "chain":
        x = keras.Sequential(head, name="head")(x)
    else:
        for layer in head:
            x = layer(x)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            layers.Rescaling(1 / 255, name="normalise"),
            keras.Model(start, x),
        ]
    )
    networks.randomise(model, 0)
    return model


@pytest.mark.parametrize("kind", ["softmax", "softmax layer", "chain"])
def test_a_graph_that_ends_the_network(kind: str) -> None:
    model, pixels = ended(kind), networks.picture((8, 8, 3))
    loss, truth = reference.loss_around(model, pixels, 2)
    assert near(way_back(model, pixels, "", 2).gradient, truth)
    rng = np.random.default_rng(0)
    for name, one in {one.name: one for one in named_layers(model).values()}.items():
        if one.kind == "Softmax":
            continue  # it has no numbers of its own to be shown
        way = way_back(model, pixels, name, 2)
        assert way.loss == pytest.approx(loss, rel=1e-4)
        assert way.gradient.any(), name
        for _ in range(5):
            value = way.at(tuple(int(rng.integers(n)) for n in way.passed.output.shape))
            assert value.agrees, name
            assert all(weights.agrees for weights in value.weights), name
        assert way.is_output == (kind != "softmax layer" and one.kind == "Dense")


def test_the_channels_that_a_kernel_sees_have_their_own_numbers() -> None:
    keras = import_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 7, 4), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, groups=2, padding="same", name="grouped"),
            layers.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    networks.randomise(model, 0)
    pixels = networks.picture((6, 7, 4))
    grouped, depthwise = (way_back(model, pixels, name, 0) for name in ("grouped", "depthwise"))
    kernel = grouped.at((0, 2, 4)).weights[0]
    assert (kernel.first_channel, kernel.weights.shape) == (2, (3, 3, 2))
    assert kernel.padding is not None
    assert kernel.padding.tolist() == [[True] * 3, [False] * 3, [False] * 3]
    assert depthwise.at((0, 0, 7)).weights[0].first_channel == 3
    for way in (grouped, depthwise):
        for at in itertools.product(*map(range, way.gradient.shape)):
            value = way.at(at)
            assert value.agrees
            assert all(weights.agrees for weights in value.weights)


def test_where_the_network_is_certain_something_is_left() -> None:
    """float32 has no number between 1 and 1 - 6e-8, and yet p - 1 is not 0."""
    for classes in (2, 3):
        model = networks.network(EVERYTHING, SHAPE, classes)
        output = model.get_layer("output")
        kernel, bias = output.get_weights()
        bias[-1] += 40.0
        output.set_weights([kernel, bias])
        way = way_back(model, networks.picture(SHAPE), "output", classes - 1)
        value = way.at((len(bias) - 1,))
        assert -1e-10 < value.gradient < 0
        assert value.gradient == pytest.approx(-way.loss, rel=1e-6)
        assert value.computed == pytest.approx(value.gradient, rel=1e-3)


def test_what_is_not_explained_is_refused_and_not_shown_wrong() -> None:
    keras = import_keras()
    layers = keras.layers
    pixels = networks.picture((6, 6, 3))

    def ending(*more: Any) -> Any:
        first = layers.Conv2D(3, 3, name="first")
        return keras.Sequential(
            [keras.Input((6, 6, 3), dtype="uint8"), layers.Rescaling(1 / 255), first, *more]
        )

    def end(activation: str = "softmax") -> Any:
        return layers.Dense(3, activation=activation, name="end")

    for following, words in (
        (layers.ReLU(negative_slope=0.1), "a ReLU with a slope"),
        (layers.Conv2D(2, 2, activation="softmax"), "cannot explain softmax within a network"),
        (layers.Conv2D(2, 2, dilation_rate=2), "dilation"),
        (layers.GaussianNoise(0.1), "of type GaussianNoise"),
    ):
        with pytest.raises(RequestError, match=words):
            way_back(ending(following, layers.Flatten(), end()), pixels, "first", 0).at((0, 0, 0))
    dilated = ending(layers.Conv2D(2, 2, dilation_rate=2, name="wide"), layers.Flatten(), end())
    with pytest.raises(RequestError, match="dilation"):
        way_back(dilated, pixels, "wide", 0).at((0, 0, 0))
    for ask in (lambda m: way_back(m, pixels, "first", 0), lambda m: descend(m, pixels, 0, (0.1,))):
        with pytest.raises(RequestError, match="end: the network ends with 3 sigmoids"):
            ask(ending(layers.Flatten(), end("sigmoid")))


def test_a_value_that_wins_no_window_gets_nothing_back() -> None:
    model, pixels = networks.network(EVERYTHING, SHAPE, 3), networks.picture(SHAPE)
    way = way_back(model, pixels, "conv_1", 0)
    pooled = way.following[0]
    assert pooled.one.kind == "MaxPooling2D"
    values = [way.at(at) for at in np.ndindex(way.passed.output.shape)]
    lost = [v for v in values if not len(v.flows[0].positions)]
    assert lost
    assert all(v.gradient == 0 == v.computed for v in lost)
    # Each output has one winner.
    assert sum(len(v.flows[0].positions) for v in values) == pooled.passed.output.size


def test_a_step_is_that_of_gradient_descent_and_the_network_stays_as_it_is() -> None:
    pixels = networks.picture(SHAPE)
    for classes in (2, 3):
        model = networks.network(EVERYTHING, SHAPE, classes)
        before = [np.array(w) for w in model.get_weights()]
        steps = descend(model, pixels, 1, (0.01, 0.1))
        for kept, now in zip(before, model.get_weights(), strict=True):
            assert np.array_equal(kept, now)
        assert steps.rates == (0.0, 0.01, 0.1)
        loss, _, gradients = reference.loss_gradients(EVERYTHING, model, pixels, 1)
        assert steps.losses[0] == pytest.approx(loss, rel=1e-4)
        squared_norm = 0.0
        for layer in model.layers:
            # A batch normalisation keeps two means, which no gradient moves, after what it learns.
            for variable, gradient in zip(layer.trainable_variables, gradients[layer.name], strict=False):
                squared_norm += float(np.square(gradient).sum())
                variable.assign(np.array(variable) - 0.1 * gradient)
        assert steps.squared_norm == pytest.approx(squared_norm, rel=1e-3)
        p = np.asarray(model(pixels[np.newaxis], training=False))[0]
        p = np.array([1 - p[0], p[0]]) if classes == 2 else p
        assert steps.probabilities[-1] == pytest.approx(p, abs=1e-4)
        assert steps.losses[-1] == pytest.approx(-np.log(p[1]), rel=1e-3, abs=1e-5)
        # A short step keeps the promise of the gradient.
        short = descend(networks.network(EVERYTHING, SHAPE, classes), pixels, 0, (1e-5,))
        assert short.losses[0] - short.losses[1] == pytest.approx(1e-5 * short.squared_norm, rel=0.05)


@given(st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=6), st.data())
def test_the_loss_stays_exact_where_a_network_is_certain(z: list[float], pick: st.DataObject) -> None:
    both = [0.0, z[0]] if len(z) == 1 else z
    label = pick.draw(st.integers(0, len(both) - 1))
    others = [math.exp(v - both[label]) for i, v in enumerate(both) if i != label]
    expected = math.log1p(math.fsum(others))
    assert cross_entropy(np.array(z, np.float32), label) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_what_is_not_there_is_refused() -> None:
    model, pixels = networks.network(EVERYTHING, SHAPE, 3), networks.picture(SHAPE)
    with pytest.raises(RequestError, match="label: expected a class from 0 to 2; got 3"):
        way_back(model, pixels, "conv_1", 3)
    with pytest.raises(RequestError, match="Did you mean 'conv_1'"):
        way_back(model, pixels, "conv1", 0)
    with pytest.raises(RequestError, match="row 0 to 4"):
        way_back(model, pixels, "conv_1", 0).at((5, 0, 0))
    with pytest.raises(RequestError, match="the picture: expected a position with row 0 to 8"):
        way_back(model, pixels, "", 0).at((9, 0, 0))
    with pytest.raises(RequestError, match="rates: expected numbers above 0; got -1"):
        descend(model, pixels, 0, (0.1, -1.0))
    with pytest.raises(RequestError, match="label"):
        descend(model, pixels, 3, (0.1,))
