"""Estimates with their intervals on one axis, as a table whose third column is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    _table(estimates, label, (start, 1.0), "{:.2%}".format)


def difference_table(estimate: Estimate, label: str) -> None:
    """A difference of two accuracies, in points, on an axis with zero in the middle."""
    reach = max(0.01, math.ceil(max(map(abs, estimate.interval)) * 110) / 100)
    _table([estimate], label, (-reach, reach), points, " points")


def points(share: float) -> str:
    """A difference in points, with its sign.

    >>> points(0.0123), points(-0.5), points(0.0)
    ('+1.23', '-50.00', '0.00')
    """
    return f"{100 * share:+.2f}" if share else "0.00"


def _table(
    estimates: Sequence[Estimate],
    label: str,
    axis: tuple[float, float],
    words: Callable[[float], str],
    unit: str = "",
) -> None:
    first, last = axis

    def along(value: float) -> float:
        return min(1.0, max(0.0, (value - first) / (last - first)))

    with tag("div", "", "scroll", tabindex=0, role="region", aria_label=label), tag("table", "", "intervals"):
        with tag("thead"), tag("tr"):
            tag("td")
            tag("th", "difference" if first < 0 else "accuracy", "number", scope="col")
            with tag("th", "", scope="col"), tag("div", "", "ends"):
                ends = (first, 0.0, last) if first < 0 else (first, last)
                for end in ends:
                    signed = f"{100 * end:+.0f}" if end else "0"
                    tag("span", signed if first < 0 else f"{end:.0%}")
            tag("th", "95% interval", "number", scope="col")
        with tag("tbody"):
            for one in estimates:
                low, high = one.interval
                with tag("tr"):
                    tag("th", one.name, scope="row")
                    tag("td", f"{words(one.value)}{unit}", "number")
                    with tag("td"), tag("div", "", "axis zero" if first < 0 else "axis") as drawn:
                        tag("i")
                    for name, position in (("low", low), ("high", high), ("value", one.value)):
                        drawn.style(f"--{name}: {along(position):.4f}")
                    tag("td", f"{words(low)} to {words(high)}{unit}", "number")
