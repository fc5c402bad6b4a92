"""The lab's questions about the network, asked of any list of layers instead of the lab's shorthand."""

from __future__ import annotations

from collections.abc import Callable

from conviction.config.layer_edits import (
    POOLINGS,
    Layers,
    another_block,
    another_dense,
    convolutions_twice,
    each,
    multiplied,
    with_settings,
    without_dense,
    without_last_block,
)
from conviction.config.model import AveragePooling2D, Conv2D, Dense, Layer, MaxPooling2D

Change = Callable[[Layers], Layers]


def _average(layer: MaxPooling2D) -> Layer:
    return AveragePooling2D(pool_size=layer.pool_size, padding=layer.padding)


# Changes of the layers with their labels, by question. A change without effect is the base itself, and is not tried.
CHANGES: dict[str, tuple[tuple[str, Change], ...]] = {
    "filters": (
        ("half the filters", lambda layers: multiplied(layers, Conv2D, "filters", 0.5)),
        ("twice the filters", lambda layers: multiplied(layers, Conv2D, "filters", 2)),
    ),
    "kernel": (
        ("5x5 kernels", lambda layers: with_settings(layers, Conv2D, kernel_size=(5, 5))),
        ("2x2 kernels", lambda layers: with_settings(layers, Conv2D, kernel_size=(2, 2))),
    ),
    "pooling": (
        ("3x3 pooling", lambda layers: with_settings(layers, POOLINGS, pool_size=(3, 3))),
        ("average pooling", lambda layers: each(layers, MaxPooling2D, _average)),
    ),
    "depth": (
        ("one block fewer", without_last_block),
        ("one block more, of twice the filters", lambda layers: another_block(layers, times=2)),
        ("every convolution twice", convolutions_twice),
    ),
    "dense": (
        ("no dense layer", without_dense),
        ("one dense layer more", another_dense),
        ("four times the units", lambda layers: multiplied(layers, Dense, "units", 4)),
    ),
}
