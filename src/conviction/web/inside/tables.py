"""The calculation of a value as HTML: tables with coloured cells, and the lines below them."""

from __future__ import annotations

import html
from collections.abc import Sequence

from conviction.explanation.numbers import number
from conviction.web.inside.parts import Cell, Grid, Group, Line

# In the browser: the position of a number that leads somewhere, when it is clicked.
LINKED_CELL = '(e) => { const c = e.target.closest("[data-at]"); if (c) emit(c.dataset.at); }'
# How many input channels of a convolution are shown at first.
GROUPS_SHOWN = 3


def groups_html(all_groups: Sequence[Group], *, every: bool = False, links: bool = True) -> str:
    """The tables.

    Args:
        all_groups: Of a calculation.
        every: Whether all input channels are shown, not just the first few.
        links: Whether numbers of the input lead to where they come from.
    """
    groups = all_groups if every else all_groups[:GROUPS_SHOWN]
    rest = all_groups[len(groups) :]
    out = [_group(group, links=links) for group in groups]
    if rest:
        total = sum(group.total or 0.0 for group in rest)
        out.append(f'<p class="rest">The other {len(rest)} input channels together: {_value(total)}</p>')
    return "".join(out)


def lines_html(lines: Sequence[Line]) -> str:
    """The steps of the calculation, the last of them the value."""
    rows = "".join(
        f'<tr class="{"result" if line.result else ""}"><th scope="row">{html.escape(line.label)}</th>'
        f'<td class="number">{_value(line.value)}</td></tr>'
        for line in lines
    )
    return f'<table class="lines">{rows}</table>'


def _group(group: Group, *, links: bool) -> str:
    title = f"<h4>{html.escape(group.title)}</h4>" if group.title else ""
    signs = group.signs or ("",) * len(group.grids)
    pieces = [
        (f'<span class="sign">{html.escape(sign)}</span>' if sign else "") + _grid(grid, links=links)
        for sign, grid in zip(signs, group.grids, strict=True)
    ]
    if group.total is not None and group.signs:
        pieces[-1] += f'<span class="total">together {_value(group.total)}</span>'
    grids = "".join(f'<div class="piece">{piece}</div>' for piece in pieces)
    return f'<section class="group-of-numbers">{title}<div class="grids">{grids}</div></section>'


def _grid(grid: Grid, *, links: bool) -> str:
    # Kinds of numbers that differ in size have a scale each; the numbers of a patch share one.
    columns = len(grid.rows[0]) if grid.rows else 0
    scales = [max((abs(row[j].value) for row in grid.rows), default=0.0) or 1.0 for j in range(columns)]
    if not grid.heads:
        scales = [max(scales, default=1.0)] * columns
    caption = f"<caption>{html.escape(grid.title)}</caption>" if grid.title else ""
    head = ""
    if grid.heads:
        corner = "<td></td>" if grid.labels else ""
        names = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in grid.heads)
        head = f"<thead><tr>{corner}{names}</tr></thead>"
    body = []
    for i, row in enumerate(grid.rows):
        label = f'<th scope="row">{html.escape(grid.labels[i])}</th>' if grid.labels else ""
        cells = "".join(_cell(cell, scale, links=links) for cell, scale in zip(row, scales, strict=True))
        body.append(f'<tr class="{"chosen" if i == grid.chosen else ""}">{label}{cells}</tr>')
    return (
        f'<table class="numbers {"kinds" if grid.heads else ""}">{caption}{head}'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _cell(cell: Cell, scale: float, *, links: bool) -> str:
    share = 0.0 if cell.mark == "outside" else abs(cell.value) / scale
    sign = "below" if cell.value < 0 else "above"
    at = f' data-at="{",".join(map(str, (cell.of, *cell.at)))}"' if links and cell.at is not None else ""
    classes = " ".join(filter(None, (sign, cell.mark)))
    title = "outside the map: padding" if cell.mark == "outside" else repr(cell.value)
    return (
        f'<td class="{classes}" style="--share:{share:.3f}" data-value="{cell.value!r}" title="{title}"{at}>'
        f"{cell.text}</td>"
    )


def _value(value: float) -> str:
    return f'<b data-value="{value!r}" title="{value!r}">{number(value + 0.0)}</b>'
