"""The network as one picture, for the browser: a ``Diagram`` in words and plain values."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from conviction.reporting import image_address, printable
from conviction.web.elements.network_picture import ColumnPick, ValuePick
from conviction.web.inside.diagram import Column, Diagram
from conviction.web.inside.view import View

# Digits of what flows; lines are drawn from them.
DIGITS = 4


def drawn(diagram: Diagram, class_names: Sequence[str]) -> dict[str, Any]:
    """As ``DiagramFile`` of ``live/diagram.js``."""
    height, width, _ = diagram.pixels.shape
    names = [printable(class_names[i]) for i in diagram.classes]
    return {
        "input": image_address(diagram.pixels),
        "height": height,
        "width": width,
        "label": "The network: what each layer makes of the picture",
        "columns": [_column(one) for one in diagram.columns],
        "answers": {
            "names": names,
            "title": diagram.output[0],
            "probabilities": np.round(diagram.probabilities, DIGITS).tolist(),
            "flows": _rounded(diagram.sums),
            "sizes": _rounded(diagram.sizes),
        },
    }


def _column(column: Column) -> dict[str, Any]:
    count, rows, columns = column.maps.shape
    vector = len(column.shape) == 1
    height, width = (1, 1) if vector else column.shape[:2]
    size = " x ".join(map(str, column.shape))
    whole = column.shape[-1]
    what = "units" if vector else "maps"
    part = f", {count} of {whole:,} {what} shown" if count < whole else ""
    return {
        "title": _short(column.layers[0]),
        "size": size.replace(" ", ""),
        "label": f"{', '.join(map(_short, column.layers))}: {size}{part}",
        "vector": vector,
        "height": height,
        "width": width,
        "count": count,
        "rows": rows,
        "columns": columns,
        "maps": base64.b64encode(np.ascontiguousarray(column.maps).tobytes()).decode(),
        "reach": None if column.reach is None else asdict(column.reach),
        "flows": _rounded(column.sums),
        "sizes": _rounded(column.sizes),
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
