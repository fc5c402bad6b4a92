"""``summary``: the network that ``fit`` would train."""

from __future__ import annotations

from pathlib import Path

from conviction.config import ImageFacts, ModelSpec, load_recipe
from conviction.config.recipe import Overrides
from conviction.data import load_source
from conviction.data.in_memory import Source, source_path
from conviction.flow.fit import with_recipe
from conviction.model import LayerRow, walk
from conviction.process import restores_process


@restores_process
def summary(
    source: Source,
    overrides: Overrides = (),
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> list[LayerRow]:
    """The network that ``fit`` would train on this source, layer by layer, without training it.

    Returns:
        One row per layer: output shape, parameters, multiply-adds, receptive field.
    """
    return network_for(source_path(source), with_recipe(overrides, recipe), config, data_dir)[1]


def network_for(
    source: str | Path, overrides: Overrides, config: str | Path | None, data_dir: str | Path | None
) -> tuple[ModelSpec, list[LayerRow]]:
    """As ``summary``, with the layers as they were specified."""
    spec = load_recipe(overrides, config)
    images = load_source(source, spec.data, data_dir)
    spec = load_recipe(overrides, config, ImageFacts.of(images.rule.shape, len(images)))
    return spec.model, walk(spec.model, images.rule.shape, len(images.class_names))
