"""The row of the network page for a backbone: where it is from, what of it learns, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conviction.config.model import Backbone
from conviction.model.backbones import KINDS, Kind, learned_from
from conviction.model.backbones.layers import listed_blocks
from conviction.web.elements.backbone import blocks_html
from conviction.web.elements.plain import choice, paragraph, tag
from conviction.web.work import network


def show_backbone(
    layer: Backbone, shape: tuple[int, int, int] | None, put: Callable[[str], Callable[..., Any]]
) -> None:
    """Shows it in the current container.

    Args:
        layer: The specification.
        shape: Of an image; None if the backbone does not fit the images.
        put: Takes the name of a field and returns the handler of its new value.
    """
    kind = KINDS[layer.name]
    with tag("div", "", "about"):
        paragraph(f"{learned_from(kind)} {kind.paper}.", "note")
        paragraph(f"Its weights: {kind.weights.source} ({kind.weights.licence}).", "note")
        missing = network.untrainable((layer,))
        if missing:
            paragraph(missing, "message trouble")
        with tag("div", "", "fields"):
            titles = {name: one.title for name, one in KINDS.items()}
            choice("Backbone", titles, layer.name, put("name"), "backbone")
            choice("What of it learns", _learning(kind), str(layer.trainable), put("trainable"), "trainable")
        paragraph(_advice(layer), "note")
        if shape is not None:
            blocks = listed_blocks(layer.name, shape)
            count = sum(len(block.layers) for block in blocks)
            with tag("details", "", "blocks", key="blocks"):
                tag("summary", f"Open it: {count} layers in {len(kind.sizes.last)} blocks")
                tag("div", "", "listed", innerHTML=blocks_html(blocks, layer))


def _learning(kind: Kind) -> dict[str, str]:
    """The values of ``trainable``, with words for them."""
    last = {str(n): f"also its last {n} blocks" for n in range(2, len(kind.sizes.last) + 1)}
    return {"head": "nothing: only your layers learn", "1": "also its last block", **last, "all": "all of it"}


def _advice(layer: Backbone) -> str:
    if layer.trainable == "head":
        return (
            "It is frozen: what it makes of each picture is computed once, before the first epoch, and then every "
            "epoch takes a moment."
        )
    return (
        "Each epoch goes through the whole network, which takes minutes rather than seconds. Use a small learning rate "
        "at Compile, such as 0.0001: what it has learned is easily lost. Its batch normalisation stays as it is."
    )
