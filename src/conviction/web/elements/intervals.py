"""Estimates with their intervals on one axis, as a table whose third column is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conviction.lesson.record import MEASURES, Effect
from conviction.web.elements.plain import tag


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval, both as shares of one: 0 to 1, or -1 to 1 for a difference."""

    name: str
    value: float
    interval: tuple[float, float]


def interval_table(estimates: Sequence[Estimate], label: str) -> None:
    """Accuracies one below the other, on an axis that ends at 100% and begins below the lowest interval."""
    start = max(0.0, math.floor(min(e.interval[0] for e in estimates) * 20 - 0.5) / 20)
    _table(estimates, label, (start, 1.0), _Scale("accuracy", "{:.2%}".format, "{:.0%}".format))


def difference_table(estimate: Estimate, label: str) -> None:
    """A difference of two accuracies, in points, on an axis with zero in the middle."""
    reach = max(0.01, math.ceil(max(map(abs, estimate.interval)) * 110) / 100)
    _table([estimate], label, (-reach, reach), _Scale("difference", points, _whole_points, " points"))


def effect_table(measure: str, effects: Sequence[tuple[str, Effect]], label: str) -> None:
    """What a change does to a measure on several data sets, each on the same axis with zero in the middle.

    Args:
        measure: A name in ``lesson.record.MEASURES``.
        effects: The name of a data set and the effect there, whose interval is known.
        label: For a screen reader.
    """
    _, factor, digits, unit = MEASURES[measure]
    reach = 1.1 * max(abs(end) for _, e in effects for end in (e.low, e.high, e.mean)) or 1.0

    def words(value: float) -> str:
        return f"{factor * value:+.{digits}f}"

    estimates = [Estimate(name, e.mean, (e.low, e.high)) for name, e in effects]
    _table(estimates, label, (-reach, reach), _Scale("difference", words, words, unit))


def points(share: float) -> str:
    """A difference in points, with its sign.

    >>> points(0.0123), points(-0.5), points(0.0)
    ('+1.23', '-50.00', '0.00')
    """
    return f"{100 * share:+.2f}" if share else "0.00"


@dataclass(frozen=True)
class _Scale:
    """What the axis shows: the heading of the figures, their words, those of the axis's ends, their unit."""

    heading: str
    words: Callable[[float], str]
    ends: Callable[[float], str]
    unit: str = ""


def _whole_points(share: float) -> str:
    return f"{100 * share:+.0f}"


def _table(estimates: Sequence[Estimate], label: str, axis: tuple[float, float], scale: _Scale) -> None:
    first, last = axis
    words, unit = scale.words, scale.unit

    def along(value: float) -> float:
        return min(1.0, max(0.0, (value - first) / (last - first)))

    with tag("div", "", "scroll", tabindex=0, role="region", aria_label=label), tag("table", "", "intervals"):
        with tag("thead"), tag("tr"):
            tag("td")
            tag("th", scale.heading, "number", scope="col")
            with tag("th", "", scope="col"), tag("div", "", "ends"):
                ends = (first, 0.0, last) if first < 0 else (first, last)
                for end in ends:
                    tag("span", "0" if first < 0 and not end else scale.ends(end))
            tag("th", "95% interval", "number", scope="col")
        with tag("tbody"):
            for one in estimates:
                low, high = one.interval
                with tag("tr"):
                    tag("th", one.name, scope="row")
                    tag("td", f"{words(one.value)}{unit}", "number")
                    positions = {"low": low, "high": high, "value": one.value}
                    style = "; ".join(
                        f"--{name}: {along(position):.4f}" for name, position in positions.items()
                    )
                    with tag("td"), tag("div", "", "axis zero" if first < 0 else "axis", style=style):
                        tag("i")
                    tag("td", f"{words(low)} to {words(high)}{unit}", "number")
