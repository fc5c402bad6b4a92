"""Every state of the page as an address: ``/lab/<desk>/<step>/<part>?...``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

# Leads to the desk that was changed last.
BENCH = "/lab"


def address(desk: str, step: str, part: str = "", query: Mapping[str, object] | None = None) -> str:
    """The address of a state.

    >>> address("k3x9", "data", "normalise", {"image": 5})
    '/lab/k3x9/data/normalise?image=5'
    """
    path = "/".join(quote(word, safe="") for word in ("lab", desk, step, *([part] if part else [])))
    return f"/{path}" + (f"?{urlencode(dict(query))}" if query else "")


def events_address(desk: str, run: str) -> str:
    """Where a page asks what the training of a run has written down.

    >>> events_address("k3x9", "digits-1")
    '/lab-events/k3x9/digits-1'
    """
    return f"/lab-events/{quote(desk, safe='')}/{quote(run, safe='')}"


def answers_address(desk: str, run: str) -> str:
    """Where a page sends a picture for the network of a run.

    >>> answers_address("k3x9", "digits-1")
    '/lab-answers/k3x9/digits-1'
    """
    return f"/lab-answers/{quote(desk, safe='')}/{quote(run, safe='')}"
