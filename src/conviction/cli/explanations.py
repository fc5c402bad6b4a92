"""What ``explain`` takes and prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from conviction.errors import RequestError
from conviction.report.steps import Step
from conviction.report.terminal import Terminal


def position(text: str) -> tuple[int, ...]:
    """``3,4,5`` as (3, 4, 5).

    Raises:
        RequestError: There is something else than whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            f"--at: expected ROW,COLUMN,CHANNEL or UNIT, whole numbers from 0 such as 3,4,5; got {text!r}."
        ) from None


def print_steps(steps: Sequence[Step]) -> None:
    """Prints on stdout."""
    show = Terminal(sys.stdout)
    for step in steps:
        show.step(step)
