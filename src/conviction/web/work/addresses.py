"""Every state of the page as an address: ``/lab/<desk>/<step>/<part>?...``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from conviction.errors import RequestError, did_you_mean


@dataclass(frozen=True)
class Stop:
    """A step of the lab on the page.

    Attributes:
        name: In addresses.
        title: For people.
        chapter: Of the lesson.
        parts: What the step is made of, in order; empty where a part is the name of a run.
    """

    name: str
    title: str
    chapter: str
    parts: tuple[str, ...] = ()


STOPS = (
    Stop("data", "Data", "data", ("source", "load", "reshape", "normalise", "encode", "audit", "split")),
    Stop("network", "Network", "architecture", ("layers", "yaml", "keras")),
    Stop("compile", "Compile", "compiling"),
    Stop("train", "Train", "training"),
    Stop("evaluate", "Evaluate", "evaluating"),
    Stop("inside", "Look inside", "architecture"),
    Stop("explore", "Explore", "hyperparameters"),
    Stop("take", "Take away", "objectives"),
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


def address(desk: str, step: str, part: str = "", query: Mapping[str, object] | None = None) -> str:
    """The address of a state.

    >>> address("k3x9", "data", "normalise", {"image": 5})
    '/lab/k3x9/data/normalise?image=5'
    """
    path = "/".join(quote(word, safe="") for word in ("lab", desk, step, *([part] if part else [])))
    return f"/{path}" + (f"?{urlencode(dict(query))}" if query else "")
