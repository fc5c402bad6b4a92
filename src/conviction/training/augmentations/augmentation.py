"""What an augmentation is: its draw, its effect, its sentence and its field, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator, Any, int, int, int], np.ndarray]


@dataclass(frozen=True)
class PageField:
    """How the page of the lab asks for an augmentation.

    Attributes:
        label: What it is called there.
        unit: What its number means, and its range; empty if it is no number.
        step: The step by which the arrows change it.
        choices: The words for each of its values; empty if it is a number.
    """

    label: str
    unit: str = ""
    step: float = 0.0
    choices: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """All that the package knows of an augmentation, except for its type and bounds, which ``AugmentationSpec`` has.

    The source of ``draw`` and ``effect``, and of what they call, is what an exported script runs: both are functions
    at the top level of a module, and need NumPy alone.

    Attributes:
        key: Its name in ``AugmentationSpec``; it is off where the value is 0 or "none".
        stream: The number of its random stream. No other has it, and it never changes: it decides the bits.
        draw: (random numbers, value, n, height, width) to an array with a row for each of n images. Where ``takes`` of
            another has its key, a value of 0 draws what changes nothing.
        effect: (pixels, *draws) to pixels, (n, h, w, c) uint8, without writing to them; where it ``mixes``, (pixels,
            targets, *draws) to both.
        takes: The keys whose draws the effect takes. An effect that takes all draws of another one includes it.
        sentence: (value, height, width) to what it does, for a report.
        mixes: Whether it changes targets and needs all images of the batch.
        field: Its field on the page of the lab, which offers the most useful ones.
    """

    key: str
    stream: int
    draw: Draw
    effect: Callable[..., Any]
    takes: tuple[str, ...]
    sentence: Callable[[Any, int, int], str]
    mixes: bool = False
    field: PageField | None = None

    def __post_init__(self) -> None:
        for function in (self.draw, self.effect):
            if not isinstance(function, FunctionType) or not function.__qualname__.isidentifier():
                raise TypeError(
                    f"augmentation {self.key}: expected functions at the top level of a module, whose source a script "
                    f"can hold; got {function!r}."
                )
        if self.key not in self.takes:
            raise TypeError(f"augmentation {self.key}: its effect does not take its own draws.")
