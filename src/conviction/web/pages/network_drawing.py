"""The network as a picture: each stage as a block as high as its maps and as deep as its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from conviction.model import LayerRow

# Pixels of the drawing.
HIGHEST, LOWEST, GAP, TEXT = 130.0, 8.0, 26.0, 46.0
# How long a backbone is.
FUNNEL = 110.0
# It is made this much smaller to fit its place; below that its words could not be read, and it scrolls.
SMALLEST = 0.8
KINDS = {"Conv2D", "Dense"}


def draw(shape: Sequence[int], rows: Sequence[LayerRow]) -> str:
    """An SVG of the stages that change the shape; layers between them are named below.

    Args:
        shape: (height, width, channels) of the input.
        rows: Of the walk, normalisation first and output last.
    """
    at, parts = 4.0, []
    largest = max(shape[:2])
    before: tuple[int, ...] | None = None
    for row in rows:
        if row.output == before and row.kind not in KINDS:
            continue
        before = row.output
        block, width = (_backbone if row.kind == "Backbone" else _block)(row, at, largest)
        parts.append(block)
        at += width + GAP
    width, height = at - GAP / 2 + 8, HIGHEST + TEXT + 14
    label = f"{len(parts)} stages from {_size(shape)} pixels to {_size(rows[-1].output)} outputs"
    return (
        f'<svg role="img" aria-label="{label}" style="max-width: {width:.0f}px; min-width: {SMALLEST * width:.0f}px" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _block(row: LayerRow, at: float, largest: int) -> tuple[str, float]:
    """Shapes and words of a stage whose left edge is at ``at``, and how wide it is."""
    kind = row.kind if row.kind in KINDS else "face"
    if len(row.output) == 3:
        side = max(LOWEST, HIGHEST * 0.72 * max(row.output[:2]) / largest)
        sheets = max(1, min(7, round(math.log2(row.output[2] + 1))))
    else:
        side, sheets = max(LOWEST * 2, min(HIGHEST * 0.9, 14 * math.log2(row.output[0] + 1))), 0
    face = side if sheets else 12.0
    step = 4.0
    depth = step * max(0, sheets - 1)
    top = 8 + (HIGHEST - side - depth) / 2
    shapes = [
        f'<rect class="face {kind} behind" x="{at + step * i:.1f}" y="{top + depth - step * i:.1f}" '
        f'width="{face:.1f}" height="{side:.1f}" rx="2"/>'
        for i in range(sheets - 1, 0, -1)
    ]
    shapes.append(
        f'<rect class="face {kind}" x="{at:.1f}" y="{top + depth:.1f}" width="{face:.1f}" height="{side:.1f}" rx="2"/>'
    )
    words = {"Rescaling": "input", "output": "output"}.get(
        row.name if row.name == "output" else row.kind, row.name
    )
    return "".join(shapes) + _words(row, at, words), max(face + depth, _room(row, words))


def _backbone(row: LayerRow, at: float, largest: int) -> tuple[str, float]:
    """A whole network as one block, from as high as the picture to as high as its last maps."""
    tall = HIGHEST * 0.72
    low = max(LOWEST, tall * max(row.output[:2]) / largest)
    middle = 8 + HIGHEST / 2
    corners = [
        (at, middle - tall / 2),
        (at + FUNNEL, middle - low / 2),
        (at + FUNNEL, middle + low / 2),
        (at, middle + tall / 2),
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    shape = f'<polygon class="face backbone" points="{points}"/>'
    return shape + _words(row, at, row.name), max(FUNNEL, _room(row, row.name))


def _words(row: LayerRow, at: float, words: str) -> str:
    return (
        f'<text class="size" x="{at:.1f}" y="{HIGHEST + 30:.0f}">{_size(row.output)}</text>'
        f'<text x="{at:.1f}" y="{HIGHEST + 46:.0f}">{words}</text>'
    )


def _room(row: LayerRow, words: str) -> float:
    """How wide the words of a stage are."""
    return 6.2 * max(len(words), len(_size(row.output))) - GAP / 2


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
