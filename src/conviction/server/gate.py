"""Checks that every request passes before the application sees it: host, key, load, body; and its line in the log."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import re
import secrets
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conviction.server.headers import host_of, single, without_port
from conviction.server.limits import Limits
from conviction.server.log import log
from conviction.server.measures import Measures
from conviction.server.problem import MEDIA_TYPE, Problem, busy, internal_error

# Answered without a key: what says whether the server is alive, and the page, which asks for the key.
WITHOUT_KEY = frozenset({"/healthz", "/readyz", "/"})
STATIC = "/static/"
# Answered under any load, because monitoring must still see it.
ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WENT_AWAY = 499  # nginx's number for it; no client receives it
# A refused upload is read on for a moment, because closing at once may destroy the answer on its way.
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * 2**20


@dataclass
class Exchange:
    """One request; the application finds it in ``request.state.exchange``."""

    id: str
    path: str
    body: bytes = b""
    images: int = 0
    status: int = 0
    buffered: int = 0

    @property
    def instance(self) -> str:
        """For a problem: where it happened, and which request it was."""
        return f"{quote(self.path[:200])}#{self.id}"


class _WentAway(Exception):
    """The client closed the connection before its request was whole."""


class RequestGate:
    """An ASGI application around the application.

    Args:
        app: Gets requests with their whole body in ``state["exchange"]``.
        routes: The paths that have figures of their own.
        limits: Of bodies, times and load.
        measures: Receives each request.
        key: What requests must carry, or None.
        hosts: What the Host header may name, or None for anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Iterable[str],
        limits: Limits,
        measures: Measures,
        key: str | None,
        hosts: frozenset[str] | None,
    ) -> None:
        self._app = app
        self._routes = frozenset(routes)
        self._limits = limits
        self._measures = measures
        self._key = None if key is None else key.encode()
        self._hosts = hosts
        self._busy = 0
        self._buffered = 0
        # Asking the system for randomness each time would release the interpreter lock, and wait for it again.
        self._ids = (f"{prefix}{n:08x}" for prefix in (secrets.token_hex(4),) for n in itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens."""
        began = time.perf_counter()
        headers = single(scope["headers"])
        exchange = Exchange(_client_id(headers) or next(self._ids), scope["path"])
        scope.setdefault("state", {})["exchange"] = exchange
        failure = ""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", exchange.id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        self._busy += 1
        try:
            await self._answer(scope, headers, exchange, receive, counted)
        except _WentAway:
            exchange.status = exchange.status or _WENT_AWAY
        except Problem as problem:
            await _refuse(problem, exchange, receive, counted)
        except Exception:  # an unexpected failure is our fault, and the client must be told
            failure = traceback.format_exc()
            if not exchange.status:
                await _refuse(internal_error(), exchange, receive, counted)
        finally:
            self._busy -= 1
            self._buffered -= exchange.buffered
            self._record(scope["method"], exchange, time.perf_counter() - began, failure)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        self._check(exchange.path, headers)
        if scope["method"] == "POST":
            exchange.body = await self._read(exchange, headers, receive)
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                await self._app(scope, receive, send)
        except TimeoutError:
            if exchange.status:
                raise
            seconds = f"{self._limits.request_seconds:g}"
            raise Problem(
                "timed-out", f"There was no answer within {seconds} s.", {"retry-after": "5"}
            ) from None

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._hosts is not None and without_port(host_of(headers)) not in self._hosts:
            raise Problem(
                "wrong-host",
                f"The Host header must be one of: {', '.join(sorted(self._hosts))}.",
            )
        if self._key is not None and path not in WITHOUT_KEY and not path.startswith(STATIC):
            scheme, _, sent_key = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                sent_key = headers.get(b"x-api-key", b"")
            if not hmac.compare_digest(sent_key.strip(), self._key):
                raise Problem(
                    "key-required",
                    "Send the key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
                    {"www-authenticate": "Bearer"},
                )
        if self._busy > self._limits.concurrent and path not in ALWAYS:
            raise self._full()

    def _full(self) -> Problem:
        return busy(f"{self._limits.concurrent} requests are already being answered.")

    def refused(self, method: str, path: str) -> tuple[Problem, Exchange] | None:
        """Refuses a request that starts now if it is one too many; it is then counted and logged here.

        A connection asks this before it makes anything of the request: what is refused must cost far less than
        what is answered, or a flood leaves no time for answers.
        """
        if self._busy < self._limits.concurrent or path in ALWAYS:
            return None
        problem = self._full()
        exchange = Exchange(next(self._ids), path, status=problem.status)
        self._record(method, exchange, 0.0, "")
        return problem, exchange

    async def _read(self, exchange: Exchange, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, within its bounds of size and time."""
        most = self._limits.body_bytes
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem("unsupported-media-type", "Send the body without a content encoding.")
        declared = headers.get(b"content-length", b"")
        too_large = Problem("too-large", f"At most {most:,} bytes are accepted in one request.")
        if declared.isdigit() and int(declared[:20]) > most:
            raise too_large
        chunks = []
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _WentAway
                    chunk = message.get("body", b"")
                    chunks.append(chunk)
                    exchange.buffered += len(chunk)
                    self._buffered += len(chunk)
                    if exchange.buffered > most:
                        raise too_large
                    if self._buffered > self._limits.buffered_bytes:
                        raise busy("Too many bytes of other requests are being read.")
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Problem(
                "slow-request", f"The body did not arrive within {self._limits.body_seconds:g} s."
            ) from None

    def _record(self, method: str, exchange: Exchange, seconds: float, failure: str) -> None:
        route = exchange.path if exchange.path in self._routes else "other"
        self._measures.request(route, exchange.status, seconds)
        more: dict[str, Any] = {"failure": failure} if failure else {}
        log(
            method=method,
            path=exchange.path[:200],
            status=exchange.status,
            ms=round(1000 * seconds, 2),
            images=exchange.images,
            bytes=exchange.buffered,
            id=exchange.id,
            **more,
        )


def _client_id(headers: dict[bytes, bytes]) -> str:
    """The client's own request id, if it is plain, so that the client can find its request in our log."""
    client_id = headers.get(b"x-request-id", b"").decode("latin-1")
    return client_id if _REQUEST_ID.fullmatch(client_id) else ""


async def _refuse(problem: Problem, exchange: Exchange, receive: Receive, send: Send) -> None:
    """Sends a problem. A request whose body was not read to its end cannot be followed by another."""
    body = problem.body(exchange.instance)
    unread = problem.kind in ("too-large", "slow-request")
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **problem.headers,
        **({"connection": "close"} if unread else {}),
    }
    start = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": problem.kind == "too-large"})
    if problem.kind == "too-large":
        await _read_on(receive)
        await send({"type": "http.response.body", "body": b""})


async def _read_on(receive: Receive) -> None:
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
