"""How a network differs from another, in words."""

from __future__ import annotations

import random
from typing import Any

import pytest

from conviction.config import load_recipe
from conviction.model import LayerRow, walk
from conviction.model.changes import layer_changes

SHAPE, CLASSES = (28, 28, 1), 10


def rows(**keys: Any) -> list[LayerRow]:
    settings = {f"model.{name}": value for name, value in keys.items()}
    return walk(load_recipe({"recipe": "lab", **settings}).model, SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ({}, []),
        (
            {"kernel_size": 5},
            [
                "conv_1: 32 filters 3x3, relu becomes 32 filters 5x5, relu",
                "conv_2: 64 filters 3x3, relu becomes 64 filters 5x5, relu",
            ],
        ),
        (
            {"pooling": "average"},
            [
                "- MaxPooling2D 2x2 (max_pool_1)",
                "+ AveragePooling2D 2x2 after conv_1",
                "- MaxPooling2D 2x2 (max_pool_2)",
                "+ AveragePooling2D 2x2 after conv_2",
            ],
        ),
        ({"dense": []}, ["- Dense 128 units, relu (dense_1)"]),
        ({"dense": [128, 64]}, ["+ Dense 64 units, relu after dense_1"]),
        (
            {"dropout": 0.3},
            [
                "+ Dropout 0.3 after max_pool_1",
                "+ Dropout 0.3 after max_pool_2",
                "+ Dropout 0.3 after dense_1",
            ],
        ),
    ],
)
def test_a_change_is_said_as_a_person_would(keys: dict[str, Any], changes: list[str]) -> None:
    assert layer_changes(rows(), rows(**keys)) == changes


def test_a_change_at_the_input_names_it() -> None:
    network = rows()
    assert layer_changes(network[1:], network)[0].endswith("after the input")


def test_every_layer_that_differs_is_in_the_changes() -> None:
    chance = random.Random(0)
    network = rows(dropout=0.2, batch_norm=True)
    for _ in range(50):
        kept = [row for row in network if chance.random() < 0.7]
        changes = layer_changes(network, kept)
        removed = sum(c.startswith("- ") for c in changes) - sum(c.startswith("+ ") for c in changes)
        assert removed == len(network) - len(kept)
