"""Curves as ECharts takes them: plain values, in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conviction.training import EpochRow

# At most four runs are overlaid: solid, dashed, dotted, dash and dot.
STYLES: tuple[Any, ...] = ("solid", "dashed", "dotted", [10, 4, 2, 4])
# Pixels: of the narrowest chart's legend, of a row of it, of an entry beside its words, of a letter.
LEGEND, LINE, MARK, LETTER = 330, 20, 55, 7
FIGURES = ("loss", "accuracy")


def chart(name: str, runs: Mapping[str, Sequence[EpochRow]], epochs: int = 0) -> dict[str, Any]:
    """Training and validation curves of all runs, overlaid; each run has its own line style.

    Args:
        name: "loss" or "accuracy".
        runs: Histories by name, the first one in front.
        epochs: How many were asked for, so that the axis has room for the whole curve.
    """
    alone = len(runs) == 1
    series = [] if alone else _key(runs)
    for i, (run, rows) in enumerate(runs.items()):
        series += _curves("" if alone else f"{run}, ", name, rows, STYLES[i % len(STYLES)])
    soft, line = _color("soft"), _color("line")
    named = [str(one["name"]) for one in series if alone or not one["data"]]
    below = 0 if alone else 10 + LINE * _rows(named)
    axis = {
        "axisLabel": {"color": soft},
        "nameTextStyle": {"color": soft},
        "splitLine": {"show": True, "lineStyle": {"color": line}},
        "axisLine": {"show": False},
        "axisTick": {"show": False},
    }
    return {
        "animation": False,
        "title": {"text": name, "left": 0, "textStyle": {"color": _color("ink"), "fontSize": 14}},
        "legend": {
            "data": named,
            "top": 26 if below else 0,
            "left": 0 if below else 90,
            "itemWidth": 40 if below else 25,
            "itemGap": 12,
            "selectedMode": not below,
            "textStyle": {"color": soft},
        },
        "grid": {"left": 46, "right": 12, "top": 40 + below, "bottom": 44},
        "tooltip": {
            "trigger": "axis",
            "backgroundColor": _color("raised"),
            "borderColor": line,
            "textStyle": {"color": _color("ink")},
        },
        "xAxis": {
            "type": "value",
            "name": "epoch",
            "nameLocation": "middle",
            "nameGap": 26,
            "minInterval": 1,
            "min": 1,
            "max": max(2, epochs, *(len(rows) for rows in runs.values())),
            **axis,
        },
        "yAxis": {"type": "value", "scale": True, **axis},
        "series": series,
    }


def _curves(run: str, name: str, rows: Sequence[EpochRow], style: Any) -> list[dict[str, Any]]:
    """Training and validation of a run."""
    return [
        {
            "name": f"{run}{label}",
            "type": "line",
            "data": [[row.epoch, round(getattr(row, prefix + name), 5)] for row in rows],
            "showSymbol": len(rows) < 30,
            "symbol": "circle",
            "symbolSize": 5,
            "lineStyle": {"type": style, "width": 2, "color": _color(label)},
            "itemStyle": {"color": _color(label)},
        }
        for prefix, label in (("", "training"), ("val_", "validation"))
    ]


def _key(runs: Mapping[str, Sequence[EpochRow]]) -> list[dict[str, Any]]:
    """Series without values, for the legend: what a colour means, and whose a line is."""
    lines = [(label, "solid", label) for label in ("training", "validation")]
    lines += [(run, STYLES[i % len(STYLES)], "soft") for i, run in enumerate(runs)]
    return [
        {
            "name": name,
            "type": "line",
            "data": [],
            "lineStyle": {"type": style, "width": 2, "color": _color(color)},
            "itemStyle": {"opacity": 0},  # a dot would hide the dashes
        }
        for name, style, color in lines
    ]


def _rows(names: Sequence[str]) -> int:
    """In how many rows a legend of these fits beside the narrowest chart."""
    rows, at = 1, 0
    for name in names:
        width = MARK + LETTER * len(name)
        if at and at + width > LEGEND:
            rows, at = rows + 1, 0
        at += width
    return rows


def _color(name: str) -> str:
    """A colour of the style sheet, which SVG takes as it is, so that it is light or dark as the page is."""
    return f"var(--{name})"
