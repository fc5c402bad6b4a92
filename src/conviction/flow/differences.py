"""What differs between two runs: the keys of their specifications, and their layers."""

from __future__ import annotations

from typing import Any

from conviction.config.flat import by_key
from conviction.model import LayerRow, walk
from conviction.runs import RunFolder

# Keys that name a file: its folder says nothing about the run, and on the page nothing to the reader.
OF_FILES = ("data.exclude", "data.relabel", "evaluation.metadata")


def settings_of(run: RunFolder) -> dict[str, Any]:
    """The specification of a run by key, without its network, which is compared layer by layer."""
    flat = by_key(run.config.model_dump(mode="json"))
    return {key: value for key, value in flat if not key.startswith("model.")}


def layers_of(run: RunFolder) -> list[LayerRow]:
    """The layers of its network, for its images."""
    return walk(run.config.model, run.data.decoding.shape, len(run.data.class_names))
