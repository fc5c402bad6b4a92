"""The network as one picture, for the browser: a ``Diagram`` in words and plain values."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from conviction.reporting import image_address, printable
from conviction.web.elements.network_picture import ColumnPick, ValuePick
from conviction.web.inside.diagram import MOST_CLASSES, Column, Diagram
from conviction.web.inside.folding import Fold
from conviction.web.inside.view import View

# Digits of what flows; lines are drawn from them.
DIGITS = 4
LABEL = "What each layer makes of the picture"


def drawn(diagram: Diagram, name: str, class_names: Sequence[str]) -> dict[str, Any]:
    """As ``DiagramFile`` of ``live/diagram.js``; ``name`` is that of the picture."""
    height, width, _ = diagram.pixels.shape
    names = [printable(class_names[i]) for i in diagram.classes]
    return {
        "input": image_address(diagram.pixels),
        "name": f"The picture: {name}",
        "height": height,
        "width": width,
        "label": LABEL,
        "columns": [_column(one) for one in diagram.columns],
        "answers": {
            "names": names,
            "title": diagram.output[0],
            "probabilities": np.round(diagram.probabilities, DIGITS).tolist(),
            "flows": _rounded(diagram.sums),
            "sizes": _rounded(diagram.sizes),
        },
    }


def outline(
    folds: Sequence[Fold], pixels: np.ndarray, name: str, class_names: Sequence[str]
) -> dict[str, Any]:
    """The same of a network that is not computed yet: its shapes."""
    *hidden, last = folds
    height, width, _ = pixels.shape
    return {
        "input": image_address(pixels),
        "name": f"The picture: {name}",
        "height": height,
        "width": width,
        "label": LABEL,
        "columns": [_shapes([one.name for one in each.layers], each.shape, each.count) for each in hidden],
        "answers": {
            "names": [printable(name) for name in class_names[:MOST_CLASSES]],
            "title": last.layers[0].name,
        },
    }


def _column(column: Column) -> dict[str, Any]:
    count, rows, columns = column.maps.shape
    return {
        **_shapes(column.layers, column.shape, count),
        "rows": rows,
        "columns": columns,
        "maps": base64.b64encode(np.ascontiguousarray(column.maps).tobytes()).decode(),
        "reach": None if column.reach is None else asdict(column.reach),
        "flows": _rounded(column.sums),
        "sizes": _rounded(column.sizes),
    }


def _shapes(layers: Sequence[str], shape: Sequence[int], count: int) -> dict[str, Any]:
    size, whole = " x ".join(map(str, shape)), shape[-1]
    vector = len(shape) == 1
    part = f", {count} of {whole:,} {'units' if vector else 'maps'} shown" if count < whole else ""
    height, width = (1, 1) if vector else (shape[0], shape[1])
    return {
        "title": _short(layers[0]),
        "label": f"{', '.join(map(_short, layers))}: {size}{part}",
        "vector": vector,
        "height": height,
        "width": width,
        "channels": whole,
        "count": count,
    }


def _rounded(values: np.ndarray | None) -> list[float] | None:
    """Row after row, to a few significant digits."""
    return None if values is None else [float(f"{value:.{DIGITS}g}") for value in values.ravel()]


def _short(layer: str) -> str:
    return layer.rpartition("/")[2]


def view_of(diagram: Diagram, pick: ColumnPick | ValuePick, view: View) -> View:
    """What was chosen in the picture: of a column its first layer, of a value that of the last layer."""
    if pick.column >= len(diagram.columns):
        shown = pick.map if isinstance(pick, ValuePick) else int(diagram.probabilities.argmax())
        # One unit answers for two classes.
        unit = diagram.classes[shown] if diagram.units > 1 else 0
        return replace(view, layer=diagram.output[0]).at((unit,))
    column = diagram.columns[pick.column]
    if isinstance(pick, ColumnPick):
        return replace(view, layer=column.layers[0])
    position = (pick.map,) if len(column.shape) == 1 else (*pick.at, pick.map)
    return replace(view, layer=column.layers[-1]).at(position)


def mark_of(diagram: Diagram, view: View, backbones: Mapping[str, str]) -> list[int]:
    """Where a value is in the picture.

    Args:
        diagram: The picture.
        view: What is looked at.
        backbones: By the name of each backbone, that of its last layer.

    Returns:
        (column, map, row, column of the map), or only the column if the map is not shown or another layer of the column
        is looked at; nothing if the layer has no column.
    """
    if view.layer in diagram.output:
        return [len(diagram.columns)]
    for number, column in enumerate(diagram.columns):
        last = backbones.get(column.layers[-1], column.layers[-1])
        if view.layer == last and view.channel < len(column.maps):
            return [number, view.channel, view.row, view.column]
        if view.layer == last or {view.layer, view.layer.partition("/")[0]} & set(column.layers):
            return [number]
    return []
