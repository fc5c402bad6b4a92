"""Edits of layers give the network that the shorthand with other keys describes."""

from __future__ import annotations

import itertools

import pytest

from conviction.config import Shorthand, layer_edits
from conviction.config.layer_edits import Layers
from conviction.config.model import (
    MOST_LAYERS,
    MOST_UNITS,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    MaxPooling2D,
    layers_of,
)

SHORTHANDS = [
    Shorthand(
        filters=filters, convs=convs, pool_first=first, batch_norm=norm, dropout=dropout, head=head, padding="same"
    )
    for filters in ((8,), (8, 16), (8, 8, 8))
    for convs, first, norm in itertools.product((1, 2), (False, True), (False, True))
    for dropout, head in ((0.0, "flatten"), (0.25, "global_average"))
]  # fmt: skip


def described(short: Shorthand, **keys: object) -> Layers:
    return layers_of(Shorthand.model_validate({**short.model_dump(), **keys}))


@pytest.mark.parametrize(
    "short", SHORTHANDS, ids=lambda s: f"{s.filters} {s.convs} {s.pool_first} {s.batch_norm}"
)
def test_an_edit_is_the_same_as_another_key(short: Shorthand) -> None:
    layers = layers_of(short)
    last = short.filters[-1]
    assert layer_edits.another_block(layers) == described(short, filters=(*short.filters, last))
    assert layer_edits.another_block(layers, times=2) == described(short, filters=(*short.filters, 2 * last))
    assert layer_edits.without_last_block(layers) == described(
        short, filters=short.filters[:-1] or short.filters
    )
    assert layer_edits.multiplied(layers, Conv2D, "filters", 0.5) == described(
        short, filters=tuple(n // 2 for n in short.filters)
    )
    assert layer_edits.with_settings(layers, Conv2D, kernel_size=(5, 5)) == described(short, kernel_size=5)
    assert layer_edits.enlarged(layers, layer_edits.POOLINGS, "pool_size", 1) == described(short, pool_size=3)
    if not short.dropout:
        assert layer_edits.another_dense(layers) == described(short, dense=(128, 128))
        assert layer_edits.without_dense(layers) == described(short, dense=())
    if not short.pool_first:
        assert layer_edits.normalised(layers) == described(short, batch_norm=True)
        if short.convs == 1:
            assert layer_edits.convolutions_twice(layers) == described(short, convs=2)


def test_a_block_without_pooling_ends_where_maps_end() -> None:
    conv, pool, flat, dense = Conv2D(filters=8), MaxPooling2D(), Flatten(), Dense(units=3)
    # The last pooling ends a block; what follows it is one of its own.
    assert layer_edits.another_block((conv, pool, conv, flat, dense)) == (conv, pool, conv, conv, flat, dense)
    assert layer_edits.another_block((conv, flat)) == (conv, conv, flat)
    assert layer_edits.another_block((flat, dense)) == (flat, dense)
    # Normalisation that comes after pooling is a part of the block too.
    block = (conv, pool, BatchNormalization())
    assert layer_edits.without_last_block((*block, *block, flat)) == (*block, flat)


def test_an_edit_keeps_within_what_a_network_may_have() -> None:
    deep: Layers = (
        *[Conv2D(filters=8, activation="relu")] * (MOST_LAYERS - 2),
        Flatten(),
        Dense(units=MOST_UNITS),
    )
    for edit in (
        layer_edits.another_block,
        layer_edits.convolutions_twice,
        layer_edits.another_dense,
        layer_edits.normalised,
    ):
        assert edit(deep) == deep
    assert layer_edits.multiplied(deep, Dense, "units", 4) == deep
    assert layer_edits.multiplied((Conv2D(filters=1),), Conv2D, "filters", 0.5) == (Conv2D(filters=1),)
    assert layer_edits.remove((Flatten(),), 0) == (Flatten(),)
