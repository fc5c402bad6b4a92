"""The shape walk against Keras itself, the receptive field against what an impulse reaches."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conviction.backend import import_keras
from conviction.config import ModelSpec, load_recipe
from conviction.config.model import (
    ActivationLayer,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)
from conviction.errors import MisfitError, RequestError
from conviction.model import build, walk

small = st.tuples(st.integers(1, 4), st.integers(1, 4))
padding = st.sampled_from(["valid", "same"])
spatial = st.one_of(
    st.builds(
        Conv2D,
        filters=st.integers(1, 5),
        kernel_size=small,
        strides=small,
        padding=padding,
        use_bias=st.booleans(),
    ),
    st.builds(MaxPooling2D, pool_size=small, padding=padding),
    st.builds(AveragePooling2D, pool_size=small, padding=padding),
    st.just(BatchNormalization()),
    st.just(ActivationLayer(activation="tanh")),
    st.just(Dropout(rate=0.5)),
)
flat = st.one_of(st.builds(Dense, units=st.integers(1, 6)), st.just(Dropout(rate=0.1)))


@st.composite
def networks(draw: st.DrawFn) -> ModelSpec:
    head = draw(st.sampled_from([Flatten(), GlobalAveragePooling2D()]))
    layers = [*draw(st.lists(spatial, max_size=5)), head, *draw(st.lists(flat, max_size=2))]
    return ModelSpec(layers=tuple(layers))


@settings(max_examples=25, deadline=None)
@given(spec=networks(), height=st.integers(4, 20), width=st.integers(4, 20), classes=st.integers(2, 5))
def test_shapes_and_parameters_are_those_of_keras(
    spec: ModelSpec, height: int, width: int, classes: int
) -> None:
    try:
        rows = walk(spec, (height, width, 3), classes)
    except RequestError:
        assume(False)
    model = build(spec, (height, width, 3), classes, seed=0)
    assert [row.name for row in rows] == [layer.name for layer in model.layers]
    for row, layer in zip(rows, model.layers, strict=True):
        assert row.output == tuple(layer.output.shape[1:])
        assert row.params == layer.count_params()
        assert row.trainable == sum(math.prod(w.shape) for w in layer.trainable_weights)


@settings(max_examples=60, deadline=None)
@given(spec=networks(), size=st.integers(4, 12))
def test_what_does_not_fit_keras_is_refused_before_keras_and_advice_holds(spec: ModelSpec, size: int) -> None:
    try:
        walk(spec, (size, size, 1), 3)
    except RequestError as failure:
        message = str(failure)
    else:
        return
    assert re.search(r"model\.layers\.\d+ \(\w+\): ", message)
    assert f"{size}x{size}x1" in message
    larger = re.search(r"data\.image_size=(\d+)", message)
    if larger:
        walk(spec, (int(larger[1]), int(larger[1]), 1), 3)
        with pytest.raises(RequestError):  # and no smaller size does
            walk(spec, (int(larger[1]) - 1, int(larger[1]) - 1, 1), 3)


def test_an_underflow_names_chain_layer_and_the_smallest_change() -> None:
    spec = load_recipe(["recipe=lab", "model.filters=[8,8,8]"]).model
    with pytest.raises(RequestError) as caught:
        walk(spec, (16, 16, 1), 10)
    message = str(caught.value)
    assert "model.layers.4 (Conv2D): its window of 3x3 is larger than its input of 2x2x8" in message
    assert "16x16x1 -> Conv2D 14x14x8 -> MaxPooling2D 7x7x8 -> Conv2D 5x5x8 -> MaxPooling2D 2x2x8" in message
    assert "data.image_size=22" in message
    assert "model.padding=same" in message


@pytest.mark.parametrize(
    ("layers", "part"),
    [
        ((Dense(units=3),), "needs a vector but gets maps"),
        ((Flatten(), MaxPooling2D()), "needs maps"),
        ((Conv2D(filters=2),), "must give one vector"),
    ],
)
def test_layers_in_the_wrong_order_are_refused(layers: tuple, part: str) -> None:
    with pytest.raises(RequestError, match=part):
        walk(ModelSpec(layers=layers), (8, 8, 1), 3)


def test_multiply_adds_of_the_lab_by_hand() -> None:
    rows = {r.name: r for r in walk(load_recipe(["recipe=lab"]).model, (28, 28, 1), 10)}
    assert rows["conv_1"].multiply_adds == 26 * 26 * 32 * 9
    assert rows["conv_2"].multiply_adds == 11 * 11 * 64 * 9 * 32
    assert rows["dense_1"].multiply_adds == 5 * 5 * 64 * 128
    assert rows["output"].multiply_adds == 128 * 10
    assert sum(r.params for r in rows.values()) == 225_034


def test_the_receptive_field_is_what_an_impulse_reaches() -> None:
    layers = (
        Conv2D(filters=1, kernel_size=(3, 5)),
        AveragePooling2D(pool_size=(2, 2)),
        Conv2D(filters=1, kernel_size=(3, 3), strides=(2, 1)),
        AveragePooling2D(pool_size=(2, 3)),
        Flatten(),
    )
    size = 40
    rows = walk(ModelSpec(layers=layers), (size, size, 1), 3)
    keras = import_keras()
    model = build(ModelSpec(layers=layers), (size, size, 1), 3, seed=0)
    for layer in model.layers:
        if layer.name.startswith("conv"):
            kernel, bias = layer.get_weights()
            layer.set_weights([np.ones_like(kernel), bias])
    for row, layer in list(zip(rows, model.layers, strict=True))[:5]:
        maps = keras.Model(model.inputs[0], layer.output)
        centre = tuple(n // 2 for n in layer.output.shape[1:3])
        reached = []
        for axis in (0, 1):
            impulses = np.zeros((size, size, size, 1), np.uint8)
            for i in range(size):
                impulses[(i, i, slice(None)) if axis == 0 else (i, slice(None), i)] = 255
            answers = np.asarray(maps(impulses))[:, centre[0], centre[1], 0]
            reached.append(int((answers > 0).sum()))
        assert tuple(reached) == row.receptive_field, row.name


def test_one_layer_alone_that_does_not_fit_is_refused_as_others_are() -> None:
    spec = ModelSpec.model_validate({"layers": [{"type": "Conv2D", "filters": 2, "kernel_size": 50}]})
    with pytest.raises(MisfitError, match="window of 50x50 is larger than its input of 28x28x1"):
        walk(spec, (28, 28, 1), 10)
