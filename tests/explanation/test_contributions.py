"""What flows from map to map, against the layer itself with only those channels let in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.explanation import contributions


def linear(layer: Any, before: np.ndarray, channels: list[int]) -> np.ndarray:
    """What the layer gives for some of the channels, without its bias and activation."""
    keras = import_keras()
    config = {**layer.get_config(), "activation": None, "use_bias": False}
    alone = type(layer).from_config(config)
    value = np.zeros_like(before)
    value[..., channels] = before[..., channels]
    if type(layer).__name__ == "Dense":
        value = value.ravel()
    alone.build((1, *value.shape))
    alone.set_weights(layer.get_weights()[:1])
    return np.asarray(keras.ops.convert_to_numpy(alone(value[np.newaxis]))[0])


KINDS = [
    ("Conv2D", {"filters": 6, "kernel_size": 3, "activation": "relu"}),
    ("Conv2D", {"filters": 6, "kernel_size": (2, 3), "strides": 2, "padding": "same"}),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 2}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}),
    ("Dense", {"units": 7, "activation": "softmax"}),
]


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_contributions_are_what_the_layer_makes_of_those_channels(
    kind: str, settings: dict[str, Any]
) -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(size=(9, 8, 4)).astype(np.float32)
    layer = getattr(import_keras().layers, kind)(**settings)
    import_keras().Sequential(
        [import_keras().Input((before.size,) if kind == "Dense" else before.shape), layer]
    )
    groups, outputs = [[0], [2, 3], [1]], [4, 0, 5]
    flow = contributions(layer, before, groups, outputs)
    assert flow is not None
    for g, group in enumerate(groups):
        part = linear(layer, before, group)[..., outputs].reshape(-1, len(outputs)).astype(np.float64)
        np.testing.assert_allclose(flow.sums[:, g], part.sum(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(flow.sizes[:, g], np.abs(part).sum(axis=0), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_told_apart_has_no_contributions() -> None:
    layers = import_keras().layers
    before = np.ones((8, 8, 2), np.float32)
    for layer in (layers.Conv2D(3, 3, dilation_rate=2), layers.Dense(3), layers.LayerNormalization()):
        import_keras().Sequential([layers.Input(before.shape), layer])
        assert contributions(layer, before, [[0]], [0]) is None
