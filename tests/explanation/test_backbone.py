"""Inside a backbone: every layer has a name, and the numbers of its values come to what Keras computes."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.errors import RequestError
from conviction.explanation import (
    Combined,
    Convolution,
    Passed,
    activations,
    explain_picture,
    explain_value,
    filters,
    grad_cam,
    input_gradient,
    named_layers,
    passed_through,
)
from conviction.explanation.inside import find_layer
from conviction.model.backbones import KINDS
from conviction.model.backbones.layers import inner_layers, listed_blocks
from tests.explanation import networks

SHAPE = (32, 64, 3)
LITE = "efficientnet_lite0"


@cache
def network(name: str) -> Any:
    """A network as ``build`` makes it, but with random weights, so that no file is needed."""
    keras = import_keras()
    scaling = KINDS[name].scaling
    model = keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint8"),
            keras.layers.Rescaling(scaling.scale, scaling.offset, name="normalise"),
            KINDS[name].build(SHAPE, None),
            keras.layers.GlobalAveragePooling2D(name="global_average_1"),
            keras.layers.Dense(3, activation="softmax", name="output"),
        ]
    )
    networks.randomise(model, 0)
    return model


def by_keras(model: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer of the backbone gives, by one functional model of all of them."""
    keras = import_keras()
    backbone = model.layers[1]
    inner = {name: one for name, one in inner_layers(backbone).items() if one.output is not None}
    probe = keras.Model(backbone.input, [one.output for one in inner.values()])
    outputs = probe(model.layers[0](pixels[np.newaxis]), training=False)
    return {
        f"{backbone.name}/{name}": keras.ops.convert_to_numpy(output)[0]
        for name, output in zip(inner, outputs, strict=True)
    }


def check(name: str, positions: int) -> Counter[str]:
    """Some values of every layer; returns how often each type of layer was among them."""
    model, pixels = network(name), networks.picture(SHAPE)
    layers, truths = named_layers(model), by_keras(model, pixels)
    rng = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    came = {"normalise": np.asarray(model.layers[0](pixels)), **truths}
    for layer, truth in truths.items():
        inputs = [came.get(parent) for parent in layers[layer].parents]
        if any(x is None for x in inputs):  # it comes from a chain, which has no output of its own
            continue
        passed = Passed(tuple(inputs), truth)
        corners = [tuple(0 for _ in truth.shape), tuple(n - 1 for n in truth.shape)]
        drawn = [tuple(int(rng.integers(n)) for n in truth.shape) for _ in range(positions)]
        for at in [*corners, *drawn]:
            value = explain_value(model, pixels, layer, at, passed)
            allowed = 1e-5 * max(value.magnitude, abs(value.value))
            assert value.layer == layer
            assert abs(value.value - truth[at]) <= allowed, (layer, at, value.equation)
            assert value.agrees, (layer, at, value.equation)
        seen[layers[layer].kind] += 1
    return seen


@pytest.mark.parametrize(
    "name",
    [
        LITE,
        "mobilenet_v3_small",
        *(pytest.param(name, marks=pytest.mark.full) for name in list(KINDS)[2:]),
    ],
)
def test_every_layer_computes_what_its_numbers_come_to(name: str) -> None:
    every = Counter(one.kind for full, one in named_layers(network(name)).items() if "/" in full)
    seen = check(name, 2)
    if name == "convnext_tiny":
        assert set(seen) == set(every)
    else:
        assert seen == every


def test_what_passes_through_a_layer_is_what_keras_computes() -> None:
    model, pixels = network(LITE), networks.picture(SHAPE)
    truths = by_keras(model, pixels)
    for layer in ("stem", "block3_add", "top_relu"):
        one = named_layers(model)[f"{LITE}/{layer}"]
        passed = passed_through(model, pixels, one)
        assert np.allclose(passed.output, truths[one.name], atol=1e-5)
        for parent, values in zip(one.parents, passed.inputs, strict=True):
            assert parent == "normalise" or np.allclose(values, truths[parent], atol=1e-5)


def test_a_layer_of_a_chain_within_a_backbone_is_explained_too() -> None:
    """ConvNeXt halves its maps by two layers in a Sequential of their own."""
    keras = import_keras()
    chain = keras.Sequential(
        [
            keras.layers.LayerNormalization(name="chain_norm"),
            keras.layers.Conv2D(4, 2, strides=2, name="chain_conv"),
        ],
        name="chain",
    )
    start = keras.Input(SHAPE)
    x = keras.layers.Conv2D(5, 3, groups=1, name="first")(start)
    x = chain(x)
    x = keras.layers.Conv2D(8, 3, groups=4, padding="same", name="grouped")(x)
    x = keras.layers.Dense(6, name="pointwise")(x)
    model = keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint8"),
            keras.layers.Rescaling(1 / 255, name="normalise"),
            keras.Model(start, x, name="small"),
            keras.layers.GlobalAveragePooling2D(name="global_average_1"),
            keras.layers.Dense(3, activation="softmax", name="output"),
        ]
    )
    networks.randomise(model, 1)
    pixels = networks.picture(SHAPE)
    assert list(named_layers(model)) == [
        "normalise", "small/first", "small/chain_norm", "small/chain_conv", "small/grouped", "small/pointwise", "small",
        "global_average_1", "output",
    ]  # fmt: skip
    scaled = pixels[np.newaxis] / np.float32(255)
    first = model.layers[1].get_layer("first")(scaled)
    norm = chain.layers[0](first)
    conv = chain.layers[1](norm)
    for name, truth in {"chain_norm": norm, "chain_conv": conv}.items():
        value = explain_value(model, pixels, f"small/{name}", (4, 5, 2))
        assert value.computed == pytest.approx(float(truth[0, 4, 5, 2]), abs=1e-5)
        assert value.agrees
    for name in ("grouped", "pointwise"):
        assert all(explain_value(model, pixels, f"small/{name}", (0, 5, k)).agrees for k in range(6))
    grouped = explain_value(model, pixels, "small/grouped", (3, 3, 5))
    assert isinstance(grouped, Convolution)
    assert (grouped.first_channel, grouped.inputs.shape) == (2, (3, 3, 1))


def test_a_depthwise_convolution_sees_one_channel_and_an_addition_names_what_it_adds() -> None:
    model, pixels = network(LITE), networks.picture(SHAPE)
    depthwise = explain_value(model, pixels, f"{LITE}/block2_depthwise", (0, 0, 7))
    assert isinstance(depthwise, Convolution)
    assert (depthwise.first_channel, depthwise.inputs.shape) == (7, (3, 3, 1))
    # 16 rows, kernel 3, strides 2, padded as "same" pads: one row, and that one after.
    assert (depthwise.window.top, depthwise.window.left) == (0, 0)
    added = explain_value(model, pixels, f"{LITE}/block3_add", (1, 2, 3))
    assert isinstance(added, Combined)
    assert added.layers == (f"{LITE}/block2_project_norm", f"{LITE}/block3_project_norm")
    assert added.value == pytest.approx(sum(added.inputs))
    six = explain_value(model, pixels, f"{LITE}/stem_relu", (0, 0, 0))
    assert six.equation.startswith("min(max(")
    small = network("mobilenet_v3_small")
    shifted = explain_value(small, pixels, "mobilenet_v3_small/add_1", (0, 0, 3))
    assert isinstance(shifted, Combined)
    assert shifted.constant == 3.0


def test_the_backbone_by_its_own_name_is_its_last_maps() -> None:
    model, pixels = network(LITE), networks.picture(SHAPE)
    layers = activations(model, pixels)
    assert [(x.name, x.kind) for x in layers] == [
        ("normalise", "Rescaling"), (LITE, "Backbone"), ("global_average_1", "GlobalAveragePooling2D"),
        ("output", "Dense"),
    ]  # fmt: skip
    assert len(layers[1].inside) == len(inner_layers(model.layers[1])) == 140
    assert np.allclose(layers[1].output, by_keras(model, pixels)[f"{LITE}/top_relu"], atol=1e-5)
    value = explain_value(model, pixels, LITE, (0, 1, 5))
    assert value == explain_value(model, pixels, f"{LITE}/top_relu", (0, 1, 5))
    assert filters(model).shape == (3, 3, 3, 32)
    assert filters(model, f"{LITE}/block1_project").shape == (1, 1, 32, 16)


def test_grad_cam_weights_the_last_maps() -> None:
    """Zhou et al. (2016): one linear layer on averaged maps, so its weights are those of the maps."""
    model, pixels = network(LITE), networks.picture(SHAPE)
    maps = activations(model, pixels)[1].output
    kernel = np.asarray(model.layers[-1].get_weights()[0])
    for class_index in range(3):
        cam = np.maximum(np.tensordot(maps, kernel[:, class_index], axes=1), 0.0)
        found = grad_cam(model, pixels, class_index)
        assert found.layer == LITE
        assert np.abs(found.coarse - (cam / cam.max() if cam.any() else cam)).max() <= 1e-4
        assert found.fine.shape == SHAPE[:2]
    explained = explain_picture(model, pixels, ["a", "b", "c"], layer=f"{LITE}/stem", position=(0, 0, 0))
    assert [cam.layer for cam in explained.grad_cams] == [LITE]
    assert explained.value is not None
    with pytest.raises(RequestError, match=rf"Name {LITE}, which has its last maps"):
        grad_cam(model, pixels, 0, f"{LITE}/block3_add")


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="the reference is TensorFlow's tape"
)
def test_the_gradient_of_the_input_goes_through_the_backbone() -> None:
    model, pixels = network(LITE), networks.picture(SHAPE)
    import tensorflow as tf

    kernel, bias = model.layers[-1].get_weights()
    start = tf.Variable(pixels[np.newaxis].astype(np.float32))
    with tf.GradientTape() as tape:
        maps = model.layers[1]((start - 127.0) / 128.0, training=False)
        logits = tf.linalg.matmul(tf.reduce_mean(maps, axis=[1, 2]), kernel) + bias
        score = logits[0, 1]
    expected = np.abs(tape.gradient(score, start)[0]).max(axis=-1)
    assert np.abs(input_gradient(model, pixels, 1) - expected).max() <= 1e-4 * expected.max()


def test_unknown_layers_name_the_nearest_and_not_all_of_them() -> None:
    model = network(LITE)
    with pytest.raises(
        RequestError, match=rf"Did you mean '{LITE}/block3_expand'\?.*and 140 inside it"
    ) as refusal:
        find_layer(model, f"{LITE}/block3_expnd")
    assert len(str(refusal.value)) < 300
    with pytest.raises(RequestError, match=rf"Did you mean '{LITE}/block3_expand'\?"):
        find_layer(model, "block3_expand")
    with pytest.raises(RequestError, match="row 0 to 7, column 0 to 15, channel 0 to 143; got 9,0,0"):
        explain_value(model, networks.picture(SHAPE), f"{LITE}/block3_expand", (9, 0, 0))


def test_what_is_listed_without_keras_is_what_keras_has() -> None:
    for name in (LITE, "mobilenet_v3_small"):
        model = network(name).layers[1]
        blocks = listed_blocks(name, SHAPE)
        listed = [(x.name, x.kind, x.output) for block in blocks for x in block.layers]
        assert listed == [
            (inner, type(one.layer).__name__, tuple(one.layer.output.shape[1:]))
            for inner, one in inner_layers(model).items()
        ]
        assert sum(block.params for block in blocks) == model.count_params() == KINDS[name].sizes.params
        assert len([b for b in blocks if b.name]) == len(KINDS[name].sizes.last)


@pytest.mark.full
def test_the_lists_are_those_of_all_backbones() -> None:
    from conviction.model.backbones.layers import LISTED
    from tests.model import backbone_layers

    content = {name: backbone_layers.rows(kind) for name, kind in KINDS.items()}
    assert LISTED.read_text() == backbone_layers.written(content)
