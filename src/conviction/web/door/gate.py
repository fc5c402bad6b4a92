"""Checks that every request passes before the page sees it: the host it names, where it comes from, and the token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from conviction.errors import RequestError
from conviction.server.headers import host_of, single, without_port
from conviction.web.door.tries import Tries

COOKIE = "conviction_lab"
# The page at the door is drawn with these.
STATIC = "/lab-static/"
# A year; the token itself ends with the server unless it is given in the environment.
COOKIE_SECONDS = 31_536_000
# Addresses with their tokens that are remembered as right; a class needs no more.
MOST_ENTERED = 10_000
# Where a request's owner is found: ``request.scope[OWNER]``.
OWNER = "conviction.owner"

WhoIs = Callable[[str], str | None]


def one_token(token: str | None) -> WhoIs:
    """For a server of one person: the owner "" with this token, or with any token if there is none."""

    def who(offered: str) -> str | None:
        if token is None or hmac.compare_digest(offered.encode(), token.encode()):
            return ""
        return None

    return who


class Gate:
    """An ASGI application around the application.

    Args:
        app: Finds the owner of a request in its scope.
        who: The owner that a token belongs to; None if no owner has it.
        hosts: What the Host header may name; None for anything.
        door: The path at which those without a token may come in; empty if there is none.
    """

    def __init__(self, app: ASGIApp, *, who: WhoIs, hosts: frozenset[str] | None, door: str = "") -> None:
        self.app = app  # NiceGUI looks for the application behind this name
        self._who = who
        self._hosts = hosts
        self._door = door
        self._tries = Tries()
        # Those who are in stay in while others at their address try tokens.
        self._entered: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, sends it on without its token, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = single(scope["headers"])
        host = host_of(headers)
        if self._hosts is not None and without_port(host) not in self._hosts:
            await _refuse(
                scope, send, 421, f"The Host header must be one of: {', '.join(sorted(self._hosts))}."
            )
            return
        if not _is_own(headers.get(b"origin"), host):
            await _refuse(scope, send, 403, "This request comes from another page.")
            return
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token")
        if scope["type"] == "http" and token is not None:
            rest = [(k, v) for k, v in query if k != "token"]
            try:
                await self._enter(scope, send, token, rest)
            except RequestError as failure:
                await _refuse(scope, send, 429, str(failure))
            return
        try:
            owner = self._owner(scope, _cookie(headers.get(b"cookie", b"")))
        except RequestError as failure:
            await _refuse(scope, send, 429, str(failure))
            return
        if owner is None and self._door and scope["type"] == "http":
            if scope["path"] == self._door or scope["path"].startswith(STATIC):
                await self.app(scope, receive, send)
            else:
                await _redirect(send, self._door)
            return
        if owner is None:
            await _refuse(
                scope, send, 401, "Open the link with ?token= that was printed when the lab was started."
            )
            return
        scope[OWNER] = owner
        await self.app(scope, receive, send)

    def _owner(self, scope: Scope, token: str) -> str | None:
        """The owner of a token; wrong tokens are counted by the address that they come from.

        Raises:
            RequestError: Too many other tokens were tried from there just now.
        """
        if not token:
            return self._who("")
        host = str((scope.get("client") or ("",))[0])
        known = (host, hashlib.sha256(token.encode()).hexdigest())
        if known not in self._entered:
            self._tries.check(host)
        owner = self._who(token)
        if owner is None:
            self._tries.wrong(*known)
        elif len(self._entered) < MOST_ENTERED:
            self._entered.add(known)
        return owner

    async def _enter(self, scope: Scope, send: Send, token: str, rest: list[tuple[str, str]]) -> None:
        """Takes the token out of the address, so that a shared link does not hand it on."""
        if self._owner(scope, token) is None:
            await _refuse(scope, send, 401, "The token in this link is not valid, or no longer valid.")
            return
        to = scope["path"] + (f"?{urlencode(rest)}" if rest else "")
        # Two slashes at the beginning would name another host.
        location = "/" + to.lstrip("/")
        headers = [
            (b"location", location.encode("latin-1", "replace")),
            (b"set-cookie", cookie_for(token)[COOKIE].OutputString().encode("latin-1", "replace")),
            (b"cache-control", b"no-store"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def cookie_for(token: str) -> SimpleCookie:
    """What a browser keeps once a token was right."""
    made = SimpleCookie({COOKIE: token})
    made[COOKIE].update({"path": "/", "max-age": str(COOKIE_SECONDS), "httponly": "true", "samesite": "Lax"})
    return made


def _is_own(origin: bytes | None, host: str) -> bool:
    """Browsers send the page that a socket or an upload comes from; programs send none."""
    return origin is None or urlsplit(origin.decode("latin-1").lower()).netloc == host


def _cookie(header: bytes) -> str:
    try:
        morsel = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


async def _redirect(send: Send, to: str) -> None:
    headers = [(b"location", to.encode()), (b"cache-control", b"no-store"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
        return
    body = f"{sentence}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
