"""The steps of the lab in their order, each from its own file."""

from __future__ import annotations

from conviction.errors import RequestError, did_you_mean
from conviction.web.pages import (
    compile,
    data,
    evaluate,
    exercises,
    explore,
    inside,
    network,
    take,
    train,
    tryout,
)
from conviction.web.pages.page import Stop

STOPS: tuple[Stop, ...] = (
    data.STOP,
    network.STOP,
    compile.STOP,
    train.STOP,
    evaluate.STOP,
    tryout.STOP,
    inside.STOP,
    explore.STOP,
    take.STOP,
    exercises.STOP,
)


def stop_named(name: str, part: str = "") -> Stop:
    """The step of this name.

    Raises:
        RequestError: There is none, or it has no such part.
    """
    stop = next((s for s in STOPS if s.name == name), None)
    if stop is None:
        names = [s.name for s in STOPS]
        raise RequestError(
            f"There is no step '{name[:40]}'.{did_you_mean(name, names)} Steps: {', '.join(names)}."
        )
    if part and stop.parts and part not in stop.parts:
        raise RequestError(
            f"{stop.title} has no part '{part[:40]}'.{did_you_mean(part, stop.parts)} "
            f"Parts: {', '.join(stop.parts)}."
        )
    return stop
