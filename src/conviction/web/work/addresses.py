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
    found = next((stop for stop in STOPS if stop.name == name), None)
    if found is None:
        names = [stop.name for stop in STOPS]
        raise RequestError(
            f"There is no step '{name[:40]}'.{did_you_mean(name, names)} Steps: {', '.join(names)}."
        )
    if part and found.parts and part not in found.parts:
        raise RequestError(
            f"{found.title} has no part '{part[:40]}'.{did_you_mean(part, found.parts)} "
            f"Parts: {', '.join(found.parts)}."
        )
    return found


def address(desk: str, step: str, part: str = "", query: Mapping[str, object] | None = None) -> str:
    """The address of a state.

    >>> address("k3x9", "data", "normalise", {"image": 5})
    '/lab/k3x9/data/normalise?image=5'
    """
    path = "/".join(quote(word, safe="") for word in ("lab", desk, step, *([part] if part else [])))
    return f"/{path}" + (f"?{urlencode(dict(query))}" if query else "")
