"""Networks of every kind that conviction can build, to export them; and what an export holds, by name."""

from __future__ import annotations

from typing import Any, get_args

from conviction.config.model import (
    Activation,
    ActivationLayer,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ModelSpec,
)

ACTIVATIONS = get_args(Activation)


def of_every_layer() -> ModelSpec:
    """Every kind of layer with every activation, padding and stride; for pictures of about 40x40."""
    layers: list[Any] = [
        Conv2D(filters=4, kernel_size=(3, 2), strides=(2, 1), padding="same", use_bias=False),
        BatchNormalization(),
        MaxPooling2D(padding="same"),
        AveragePooling2D(pool_size=(1, 2), padding="same"),
        MaxPooling2D(pool_size=(1, 2)),
        AveragePooling2D(),
        Dropout(rate=0.1),
    ]
    for number, activation in enumerate(ACTIVATIONS):
        layers += [
            Conv2D(filters=3, kernel_size=1 + number % 2, padding="same", activation=activation),
            ActivationLayer(activation=activation),
        ]
    layers += [Conv2D(filters=5, kernel_size=1), Flatten()]
    for activation in ACTIVATIONS:
        layers += [Dense(units=4, activation=activation), ActivationLayer(activation=activation)]
    layers += [Dense(units=4, use_bias=False), BatchNormalization(), Dropout(rate=0.1)]
    return ModelSpec(layers=tuple(layers))


def of_maps() -> ModelSpec:
    """What ends with the mean of each map, as small networks do."""
    return ModelSpec(
        layers=(Conv2D(filters=4, activation="relu"), BatchNormalization(), GlobalAveragePooling2D())
    )
