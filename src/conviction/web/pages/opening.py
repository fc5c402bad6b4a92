"""The first page: a small trained network that answers while one draws, and the ways on from it."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib import resources
from string import Template
from typing import Any

from starlette.responses import HTMLResponse

from conviction.web.door.joining import TEACHER
from conviction.web.jobs.starts import fit_alive
from conviction.web.pages import order, train
from conviction.web.pages.page import PageContext
from conviction.web.work.addresses import BENCH, address
from conviction.web.work.lab import Lab

OWN_NETWORK = "/train-your-own"


def opening(lab: Lab, owner: str, trouble: str = "") -> HTMLResponse:
    """The page.

    Args:
        lab: The workbench.
        owner: Who opens it.
        trouble: Why a training could not be started, if that was tried just now.
    """
    bring = '<a class="button" href="/lab#own">Use my pictures</a>' if lab.course is None else ""
    message = f'<p class="message trouble" role="alert">{escape(trouble)}</p>' if trouble else ""
    content = Template(_resource("pages/opening.html")).substitute(
        right=f"{evidence()['right']:,}",
        images=f"{evidence()['images']:,}",
        message=message,
        train=OWN_NETWORK,
        bring=bring,
        onward=_onward(lab, owner),
        teacher='<a href="/class">The class</a>' if owner == TEACHER else "",
    )
    return HTMLResponse(content, 422 if trouble else 200, {"cache-control": "no-store"})


@cache
def evidence() -> dict[str, int]:
    """How many test images there were for the network of the page, and how many of them it got right."""
    file: dict[str, Any] = json.loads(_resource("static/live/digits.json"))
    return dict(file["evidence"])


@cache
def _resource(name: str) -> str:
    return (resources.files("conviction.web") / name).read_text(encoding="utf-8")


def _onward(lab: Lab, owner: str) -> str:
    """The link to what was done last, or to the first step where there is nothing yet."""
    runs = lab.runs(owner)
    if runs:
        name = runs[0].path.name
        to = address(lab.newest_desk(owner).id, "train", name)
        return f'<a class="button" href="{escape(to)}">Continue with <bdi>{escape(name)}</bdi></a>'
    return f'<a class="button" href="{BENCH}">Step by step</a>'


async def train_own(lab: Lab, owner: str) -> str:
    """Starts a training of the lab's network on the first images there are; a second click finds the first's.

    Returns:
        The address of the run.

    Raises:
        ConvictionError: The images cannot be read, or the course does not allow it.
    """
    source = lab.first_source
    alive = fit_alive(lab.jobs, owner, source)
    if alive is not None:
        return address(lab.newest_desk(owner).id, "train", alive)
    page = PageContext(
        lab, lab.desks.untouched(owner, source), order.STOPS, order.stop_named("train"), "", {}
    )
    return page.to("train", await train.begin(page))
