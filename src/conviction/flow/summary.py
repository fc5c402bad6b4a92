"""``summary``: the network that ``fit`` would train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conviction.card import card
from conviction.config import ImageFacts, ModelSpec, load_recipe
from conviction.config.recipe import Overrides
from conviction.data import load_source
from conviction.data.in_memory import Source, source_path
from conviction.flow.fit import with_recipe
from conviction.model import LayerRow, walk
from conviction.process import restores_process
from conviction.reporting import Step, model_step


class NetworkSummary(list[LayerRow]):
    """The layers of a network, which a notebook shows as a table; ``step`` has the same in words."""

    def __init__(self, rows: Sequence[LayerRow], step: Step) -> None:
        super().__init__(rows)
        self.step = step

    def __repr__(self) -> str:
        return f"NetworkSummary({len(self)} layers, {sum(row.params for row in self):,} parameters)"

    def _repr_html_(self) -> str:
        table = self.step.table
        assert table is not None
        return card("Network", {}, self.step.sentences, head=table.columns, rows=table.rows)


@restores_process
def summary(
    source: Source,
    overrides: Overrides = (),
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> NetworkSummary:
    """The network that ``fit`` would train on this source, layer by layer, without training it.

    Returns:
        One row per layer: output shape, parameters, multiply-adds, receptive field.
    """
    spec, rows = network_for(source_path(source), with_recipe(overrides, recipe), config, data_dir)
    return NetworkSummary(rows, model_step(rows, spec))


def network_for(
    source: str | Path, overrides: Overrides, config: str | Path | None, data_dir: str | Path | None
) -> tuple[ModelSpec, list[LayerRow]]:
    """As ``summary``, with the layers as they were specified."""
    spec = load_recipe(overrides, config)
    images = load_source(source, spec.data, data_dir)
    spec = load_recipe(overrides, config, ImageFacts.of(images.rule.shape, len(images)))
    return spec.model, walk(spec.model, images.rule.shape, len(images.class_names))
