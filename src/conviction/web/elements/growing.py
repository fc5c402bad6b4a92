"""The curves of an experiment, which grow while its trainings end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from conviction.web.elements.plain import tag

# Colours of the style sheet.
ARMS = 5


def growing_curves(curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """The validation accuracy of every training by epoch, a colour for each arm."""
    values = [value for all_seeds in curves.values() for one in all_seeds for value in one]
    if not values:
        return
    last = max(len(one) for all_seeds in curves.values() for one in all_seeds)
    low = max(0.0, math.floor(20 * min(values)) / 20)
    parts = []
    for number, all_seeds in enumerate(curves.values()):
        for one in all_seeds:
            points = [(_across(epoch, last), _up(value, low)) for epoch, value in enumerate(one, 1)]
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="arm-{number % ARMS}" points="{drawn}"/>')
            parts += [
                f'<circle class="arm-{number % ARMS}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
                for x, y in points[-1:]
            ]
    ends = ((8, 14, "100%"), (8, 120, f"{low:.0%}"), (48, 136, "epoch 1"), (430, 136, f"epoch {last}"))
    words = "".join(f'<text x="{x}" y="{y}">{text}</text>' for x, y, text in ends)
    lines = "".join(f'<line x1="46" x2="480" y1="{y}" y2="{y}"/>' for y in (10, 116))
    with tag("figure", "", "growing"):
        tag(
            "div",
            innerHTML=f'<svg viewBox="0 0 490 140" aria-hidden="true">{lines}{"".join(parts)}{words}</svg>',
        )
        with tag("figcaption"):
            for number, (label, all_seeds) in enumerate(curves.items()):
                done = f": {sum(one[-1] for one in all_seeds) / len(all_seeds):.1%}" if all_seeds else ""
                tag("span", f"{label}{done}", f"arm-{number % ARMS}")
            tag("span", "Each figure is the mean validation accuracy in the last epoch.", "soft")


def _across(epoch: int, last: int) -> float:
    return 50 + 425 * (epoch - 1) / max(1, last - 1)


def _up(value: float, low: float) -> float:
    return 116 - 106 * (value - low) / max(1e-9, 1 - low)
