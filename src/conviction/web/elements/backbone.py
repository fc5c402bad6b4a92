"""A backbone as blocks that open into their layers, to be read."""

from __future__ import annotations

import html
from collections.abc import Sequence

from conviction.config.model import Backbone
from conviction.model.backbones.layers import ListedBlock, ListedLayer


def blocks_html(blocks: Sequence[ListedBlock], spec: Backbone) -> str:
    """Each block with its size, and the layers that it is made of.

    Args:
        blocks: From ``listed_blocks``.
        spec: Says which of them go on learning.
    """
    first = _first_learning(blocks, spec)
    return "".join(_block(block, learns=at >= first) for at, block in enumerate(blocks))


def _first_learning(blocks: Sequence[ListedBlock], spec: Backbone) -> int:
    """The number of the first block that learns, as ``freeze`` has it: what comes after the last block learns too."""
    if spec.trainable == "all":
        return 0
    if spec.trainable == "head":
        return len(blocks)
    named = [at for at, block in enumerate(blocks) if block.name]
    return named[max(0, len(named) - spec.trainable)]


def _block(block: ListedBlock, *, learns: bool) -> str:
    rows = "".join(_layer(layer) for layer in block.layers)
    state = ' <span class="pill">learns</span>' if learns else ""
    return (
        f"<details><summary><b>{html.escape(block.title)}</b>{state}"
        f"<span>{_size(block.layers[-1].output)}</span><span>{block.params:,}<i> parameters</i></span></summary>"
        f'<table><thead><tr><th scope="col">layer</th><th scope="col">type</th><th scope="col">output</th>'
        f'<th scope="col">parameters</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )


def _layer(layer: ListedLayer) -> str:
    params = f"{layer.params:,}" if layer.params else ""
    return (
        f'<tr><th scope="row">{html.escape(layer.name)}</th><td>{layer.kind}</td><td>{_size(layer.output)}</td>'
        f"<td>{params}</td></tr>"
    )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
