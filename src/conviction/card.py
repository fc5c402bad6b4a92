"""What a notebook shows for a value: a small card of facts, in the colours of the notebook."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image

# Of a table; a notebook is no place for a thousand rows.
MOST_ROWS = 30
_CELL = 'style="padding:.15em .9em .15em 0;text-align:left;vertical-align:top;{more}"'


def card(
    title: str,
    facts: Mapping[str, str],
    notes: Sequence[str] = (),
    *,
    head: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    pictures: Mapping[str, np.ndarray] | None = None,
) -> str:
    """HTML without scripts or links, so that it is safe and small wherever it is kept.

    Args:
        title: What it is, and its name.
        facts: Words by name, a line each.
        notes: Sentences below them.
        head: The names of the columns of a table.
        rows: The table, of which the first rows are shown.
        pictures: (h, w, 3) uint8 by what is written under them.
    """
    lines = [
        f"<tr><td {_cell('opacity:.7')}>{escape(name)}</td><td {_cell()}>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value
    ]
    parts = [
        f"<b>{escape(title)}</b>",
        f'<table style="border-collapse:collapse;margin:.3em 0">{"".join(lines)}</table>' if lines else "",
        _table(head, rows) if rows else "",
        *(_figure(words, pixels) for words, pixels in (pictures or {}).items()),
        *(f'<div style="max-width:50em">{escape(note)}</div>' for note in notes),
    ]
    style = "border-left:3px solid #2b7bba;padding:.2em 0 .2em .8em;overflow-x:auto"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _figure(words: str, pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return (
        f'<figure style="display:inline-block;margin:.3em 1em .3em 0"><img src="{address}" alt="{escape(words)}" '
        f'style="max-width:11em"><figcaption style="opacity:.7">{escape(words)}</figcaption></figure>'
    )


def _cell(more: str = "") -> str:
    return _CELL.format(more=more)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    names = "".join(f"<th {_cell('opacity:.7;font-weight:normal')}>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td {_cell()}>{escape(value)}</td>' for value in row)}</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f"<div>and {len(rows) - MOST_ROWS:,} more</div>" if len(rows) > MOST_ROWS else ""
    return f'<table style="border-collapse:collapse;margin:.3em 0"><tr>{names}</tr>{body}</table>{more}'
