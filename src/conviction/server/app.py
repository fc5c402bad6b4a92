"""The routes."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.card import Card
from conviction.server.answering import Answering
from conviction.server.answers import PICTURES, Occlusion, Predictions, ProblemDocument, Status
from conviction.server.gate import STATIC, Exchange, RequestGate
from conviction.server.limits import Limits
from conviction.server.measures import Measures
from conviction.server.problem import MEDIA_TYPE, Problem, internal_error
from conviction.version import __version__

# The page runs nothing but our own script, shows nothing but its own pictures, and can be put into no other page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
SCRIPT, STYLE = f"{STATIC}app.js", f"{STATIC}app.css"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def make_app(
    artefact: Artefact,
    *,
    limits: Limits,
    is_draining: Callable[[], bool],
    key: str | None = None,
    hosts: frozenset[str] | None = None,
) -> RequestGate:
    """The ASGI application for one artefact.

    Args:
        artefact: Open.
        limits: What is accepted.
        is_draining: Whether the server is shutting down.
        key: What requests must carry, or None.
        hosts: What the Host header may name, or None for anything.
    """
    measures = Measures()
    answering = Answering(artefact, limits, measures)
    app = FastAPI(
        title="conviction",
        summary=f"Classifies pictures with {artefact.card.name}.",
        version=__version__,
        docs_url=None,  # its pages load their scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        responses=dict.fromkeys((401, 421, 500, 503), _PROBLEM),
    )
    for kind in (HTTPException, Problem, Exception):
        app.add_exception_handler(kind, _problem)
    _add_answers(app, answering)
    _add_state(app, artefact.card, measures, is_draining)
    _add_page(app)
    routes = [route.path for route in app.routes if hasattr(route, "path")]
    return RequestGate(app, routes=routes, limits=limits, measures=measures, key=key, hosts=hosts)


_PROBLEM: dict[str, Any] = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
}
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 408, 413, 415, 422), _PROBLEM)


def _add_answers(app: FastAPI, answering: Answering) -> None:
    @app.post("/v1/predict", response_model=Predictions, responses=_PROBLEMS, openapi_extra=PICTURES)
    async def predict(request: Request) -> Response:
        """Classify pictures: the likeliest class and the probability of each."""
        exchange = request.state.exchange
        pictures = await answering.read(exchange.body, request.headers.get("content-type", ""))
        exchange.images = len(pictures)
        return _json(await answering.predict(pictures))

    @app.post("/v1/occlusion", response_model=Occlusion, responses=_PROBLEMS, openapi_extra=PICTURES)
    async def occlusion(request: Request) -> Response:
        """Show what the answer to one picture rests on, by covering each part of it with a grey patch."""
        exchange = request.state.exchange
        pictures = await answering.read(exchange.body, request.headers.get("content-type", ""))
        exchange.images = len(pictures)
        return _json(await answering.occlusion(pictures))


def _add_state(app: FastAPI, card: Card, measures: Measures, is_draining: Callable[[], bool]) -> None:
    model_card = card.model_dump(mode="json")

    @app.get("/v1/model", response_model=Card)
    async def model() -> Response:
        """The model card: classes, decoding, test figures, limits, provenance."""
        return _json(model_card)

    @app.get("/healthz", response_model=Status)
    async def healthz() -> Response:
        """Whether the server is alive."""
        return _json({"status": "ok"})

    @app.get("/readyz", response_model=Status)
    async def readyz() -> Response:
        """Whether the server takes new requests; 503 while it shuts down."""
        if is_draining():
            raise Problem("draining", "The server answers what it has accepted, and accepts nothing new.")
        return _json({"status": "ready"})

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Figures for Prometheus, over all workers."""
        return Response(measures.text(), headers={"content-type": METRICS_TYPE})


def _add_page(app: FastAPI) -> None:
    page = _text("server", "page.html").replace("VERSION", __version__)
    style = _text("reporting", "style.css") + _text("server", "page.css")
    for path, content, media_type in (
        ("/", page, "text/html"),
        ("/docs", _text("server", "docs.html").replace("VERSION", __version__), "text/html"),
        (SCRIPT, _text("server", "page.js"), "text/javascript"),
        (STYLE, style, "text/css"),
    ):
        app.add_api_route(path, _fixed(content, media_type), include_in_schema=False)


def _fixed(content: str, media_type: str) -> Callable[[], Any]:
    async def fixed() -> Response:
        return Response(content, media_type=media_type, headers=PAGE_HEADERS)

    return fixed


def _text(room: str, name: str) -> str:
    return resources.files(f"conviction.{room}").joinpath(name).read_text(encoding="utf-8")


def _json(content: Any) -> Response:
    # Not through pydantic: the answers are ours, and checking them takes longer than making them.
    body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


async def _problem(request: Request, failure: Exception) -> Response:
    exchange: Exchange = request.state.exchange
    if isinstance(failure, Problem):
        problem = failure
    elif isinstance(failure, HTTPException):
        problem = _routing_problem(request, failure)
    else:  # goes on to the gate, which writes it into the log
        problem = internal_error()
    return Response(
        problem.body(exchange.instance),
        problem.status,
        headers={"cache-control": "no-store", **problem.headers},
        media_type=MEDIA_TYPE,
    )


def _routing_problem(request: Request, failure: HTTPException) -> Problem:
    path = request.url.path[:200]
    if failure.status_code == 404:
        return Problem("not-found", f"There is no {path}. /openapi.json lists what there is.")
    if failure.status_code == 405:
        headers = dict(failure.headers or {})
        return Problem("method-not-allowed", f"{path} does not take {request.method}.", headers)
    return Problem("bad-request", str(failure.detail))
