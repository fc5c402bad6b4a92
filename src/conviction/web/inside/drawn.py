"""The diagram of a network for the browser: words and plain values."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from conviction.reporting import image_address, printable
from conviction.web.elements.network_diagram import ColumnPick, ValuePick
from conviction.web.inside.diagram import MOST_CLASSES, Column, Diagram
from conviction.web.inside.folding import Fold
from conviction.web.inside.view import View

# Digits of what flows; lines are drawn from them.
DIGITS = 4
LABEL = "What each layer makes of the picture"


def drawn(diagram: Diagram, name: str, class_names: Sequence[str], *, trained: bool = True) -> dict[str, Any]:
    """As ``DiagramContent`` of ``live/diagram.js``; ``name`` is that of the picture."""
    height, width, _ = diagram.pixels.shape
    names = [printable(class_names[i]) for i in diagram.classes]
    return {
        "input": image_address(diagram.pixels),
        "name": f"The picture: {name}",
        "height": height,
        "width": width,
        "label": LABEL,
        "columns": [
            _column(one, before)
            for one, before in zip(diagram.columns, (None, *diagram.columns), strict=False)
        ],
        "answers": {
            "names": names,
            "title": _answers_title(diagram.output[0], len(class_names), trained=trained),
            "probabilities": np.round(diagram.probabilities, DIGITS).tolist(),
            "flows": _rounded(diagram.sums),
            "sizes": _rounded(diagram.sizes),
        },
    }


def outline(
    folds: Sequence[Fold], pixels: np.ndarray, name: str, class_names: Sequence[str], *, waiting: bool = True
) -> dict[str, Any]:
    """The shapes of an untrained network whose values are not there; ``waiting`` if they are being computed."""
    *hidden, last = folds
    height, width, _ = pixels.shape
    return {
        "input": image_address(pixels),
        "name": f"The picture: {name}",
        "height": height,
        "width": width,
        "label": LABEL,
        "waiting": waiting,
        "columns": [_shapes([one.name for one in each.layers], each.shape, each.count) for each in hidden],
        "answers": {
            # Which are the likeliest is not known yet.
            "names": [printable(name) for name in class_names]
            if len(class_names) <= MOST_CLASSES
            else [""] * MOST_CLASSES,
            "title": _answers_title(last.layers[0].name, len(class_names), trained=False),
        },
    }


def _answers_title(layer: str, classes: int, *, trained: bool) -> str:
    likeliest = f": {MOST_CLASSES} likeliest of {classes}" if classes > MOST_CLASSES else ""
    return f"{layer}{likeliest}{'' if trained else ' (untrained)'}"


def _column(column: Column, before: Column | None) -> dict[str, Any]:
    count, rows, columns = column.maps.shape
    return {
        **_shapes(column.layers, column.shape, count),
        "rows": rows,
        "columns": columns,
        "maps": base64.b64encode(np.ascontiguousarray(column.maps).tobytes()).decode(),
        "window": _window_text(column, before),
        "reach": None if column.reach is None else asdict(column.reach),
        "flows": _rounded(column.sums),
        "sizes": _rounded(column.sizes),
    }


def _shapes(layers: Sequence[str], shape: Sequence[int], count: int) -> dict[str, Any]:
    vector = len(shape) == 1
    what, whole = "units" if vector else "maps", shape[-1]
    shown = f"{count} of {whole:,} {what}" if count < whole else f"{whole} {what}"
    height, width = (1, 1) if vector else (shape[0], shape[1])
    more = f" +{len(layers) - 1}" if len(layers) > 1 else ""
    names = ", ".join(map(_short, layers))
    last = "the last one gives" if more else "it gives"
    return {
        "title": f"{_short(layers[0])}{more}",
        "label": f"{names}; {last} {' x '.join(map(str, shape))}; {shown} are shown",
        "vector": vector,
        "height": height,
        "width": width,
        "shown": shown,
        "count": count,
    }


def _window_text(column: Column, before: Column | None) -> str:
    """Where a value comes from, where a window slides; nothing where none does."""
    reach = column.reach
    if reach is None or (reach.rows, reach.columns) == (1, 1):
        return ""
    name = "the picture" if before is None else _short(before.layers[-1])
    where = (
        "on the picture"
        if before is None
        else f"on the same map of {name}"
        if reach.same_map
        else f"on all {before.shape[-1]:,} maps of {name}"
    )
    return f"Each value of {_short(column.layers[-1])} comes from a {reach.rows} x {reach.columns} window {where}."


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
    position: tuple[int, ...] = (pick.map,) if len(column.shape) == 1 else (*pick.at, pick.map)
    if column.is_flat:
        position = (int(np.ravel_multi_index(position, column.shape)),)
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
        row, at, channel = view.row, view.column, view.channel
        if view.layer == last and column.is_flat:
            row, at, channel = (int(i) for i in np.unravel_index(view.channel, column.shape))
        if view.layer == last and channel < len(column.maps):
            return [number, channel, row, at]
        if view.layer == last or {view.layer, view.layer.partition("/")[0]} & set(column.layers):
            return [number]
    return []
