"""What differs between two runs: the keys of their specifications, and their layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conviction.config import ModelSpec
from conviction.config.flat import by_key
from conviction.model import LayerRow, walk
from conviction.model.changes import layer_changes
from conviction.runs import RunFolder

# Keys that name a file: its folder says nothing about the run, and on the page nothing to the reader.
OF_FILES = ("data.exclude", "data.relabel", "evaluation.metadata")


@dataclass(frozen=True)
class NetworkRows:
    """A network as it was asked for, and its layers for the images of a run."""

    model: ModelSpec
    rows: list[LayerRow]


def settings_of(run: RunFolder) -> dict[str, Any]:
    """The specification of a run by key, without its network, which is compared layer by layer."""
    flat = by_key(run.config.model_dump(mode="json"))
    return {key: value for key, value in flat if not key.startswith("model.")}


def layers_of(run: RunFolder) -> NetworkRows:
    """The network of a run."""
    model = run.config.model
    return NetworkRows(model, walk(model, run.data.decoding.shape, len(run.data.class_names)))


def network_changes(before: NetworkRows, after: NetworkRows) -> list[str]:
    """As ``layer_changes``; what the layers do not show, such as how they are initialised, is said to differ."""
    changes = layer_changes(before.rows, after.rows)
    if not changes and before.model != after.model:
        return ["the layers are the same but for details, such as their bias or their first weights"]
    return changes
