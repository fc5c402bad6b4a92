"""Checks that every request passes before the page sees it: the host it names, where it comes from, and the token."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from conviction.errors import ConvictionError, OutputError, RequestError, StorageError
from conviction.server.headers import host_of, is_host, single, without_port
from conviction.web.door.bodies import bounded
from conviction.web.door.replies import local, redirect, refuse, with_headers
from conviction.web.door.sessions import MOST_SECONDS, BrowserSessions, digest
from conviction.web.door.tries import Tries

_log = logging.getLogger(__name__)
COOKIE = "conviction_lab_session"
# A file of ours cannot be read or written.
OUR_FAULTS = (OutputError, StorageError)
CANNOT_LET_IN = "The lab cannot let anybody in just now; its log says why. Tell your teacher."
# The page at the door is drawn with these.
STATIC = "/lab-static/"
# Addresses with their tokens that are remembered as right; a class needs no more.
MOST_ENTERED = 10_000
# Where a request's owner is found: ``request.scope[OWNER]``; and the digest of the id of its session, which is empty
# where no token is needed.
OWNER, SESSION = "conviction.owner", "conviction.session"

# Of the digest of a token, which is "" if there is no token, to the owner that has it.
WhoIs = Callable[[str], str | None]


def one_token(token: str | None) -> WhoIs:
    """For a server of one person: the owner "" with this token, or with any token if there is none."""
    expected = None if token is None else digest(token)

    def who(offered: str) -> str | None:
        if expected is None or hmac.compare_digest(offered, expected):
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
        sessions: Those who are in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        who: WhoIs,
        hosts: frozenset[str] | None,
        door: str = "",
        sessions: BrowserSessions | None = None,
    ) -> None:
        self.app = app  # NiceGUI looks for the application behind this name
        self._who = who
        self._hosts = hosts
        self._door = door
        self._sessions = BrowserSessions() if sessions is None else sessions
        self._tries = Tries()
        # Those who have the right token may use it while others at their address try tokens.
        self._entered: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, sends it on without its token, or refuses it."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if kind == "http":
            receive, send = bounded(receive), with_headers(send)
        headers = single(scope["headers"])
        problem = self._problem(headers)
        if problem is not None:
            await refuse(kind, send, *problem)
            return
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token")
        if kind == "http" and token is not None:
            rest = [(k, v) for k, v in query if k != "token"]
            try:
                await self._enter(scope, send, token, rest)
            except OUR_FAULTS as failure:
                await _fail(kind, send, failure)
            except RequestError as failure:
                await refuse(kind, send, 429, str(failure))
            return
        session = _cookie(headers.get(b"cookie", b""))
        try:
            owner = self._owner(session)
        except OUR_FAULTS as failure:
            await _fail(kind, send, failure)
            return
        if owner is not None:
            scope[OWNER], scope[SESSION] = owner, session
            await self.app(scope, receive, send)
        elif not self._door or kind == "websocket":
            await refuse(
                kind, send, 401, "Open the link with ?token= that was printed when the lab was started."
            )
        elif scope["path"] == self._door or scope["path"].startswith(STATIC):
            await self.app(scope, receive, send)
        else:
            await redirect(send, self._door)

    def is_current(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request that was let in would be let in again, as the same owner."""
        try:
            return SESSION in scope and self._owner(scope[SESSION]) == scope[OWNER]
        except OUR_FAULTS as failure:
            _log.error("nobody is let in: %s", failure)
            return False

    def _problem(self, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = host_of(headers)
        if not is_host(host):
            return 400, "The Host header must be a name or an address, with or without a port."
        if self._hosts is not None and without_port(host) not in self._hosts:
            return 421, f"The Host header must be one of: {', '.join(sorted(self._hosts))}."
        if not _is_own(headers.get(b"origin"), host):
            return 403, "This request comes from another page."
        return None

    def _owner(self, session: str) -> str | None:
        """The owner of a session, by the digest of its id, as long as the token that began it is valid."""
        one = self._sessions.get(session) if session else None
        owner = self._who("" if one is None else one.token)
        return owner if one is None or owner == one.owner else None

    async def _enter(self, scope: Scope, send: Send, token: str, rest: list[tuple[str, str]]) -> None:
        """Takes the token out of the address, so that a shared link does not hand it on, and begins a session.

        Raises:
            RequestError: Too many wrong tokens were tried from there just now.
            OutputError, StorageError: The session cannot be kept, or nobody knows who has the token.
        """
        host = str((scope.get("client") or ("",))[0])
        known = (host, digest(token))
        if known not in self._entered:
            self._tries.check(host)
        owner = self._who(known[1])
        if owner is None:
            self._tries.wrong(*known)
            await refuse("http", send, 401, "The token in this link is not valid, or no longer valid.")
            return
        if len(self._entered) < MOST_ENTERED:
            self._entered.add(known)
        session = await run_in_threadpool(self._sessions.begin, owner, known[1])
        to = local(scope["path"]) + (f"?{urlencode(rest)}" if rest else "")
        await redirect(send, to, (b"set-cookie", cookie_of(session).encode()))


async def _fail(kind: str, send: Send, failure: ConvictionError) -> None:
    """Refuses a request because of a fault here. Its message names our files, so it goes to the log alone."""
    _log.error("nobody is let in: %s", failure)
    await refuse(kind, send, 503, CANNOT_LET_IN)


def cookie_of(session: str) -> str:
    """The Set-Cookie header for the id of a session: for this host alone, out of reach of scripts and of the requests
    that other sites make, and as old as a session can become."""
    made = SimpleCookie({COOKIE: session})
    made[COOKIE].update({"path": "/", "max-age": str(MOST_SECONDS), "httponly": "true", "samesite": "Lax"})
    return made[COOKIE].OutputString()


def _is_own(origin: bytes | None, host: str) -> bool:
    """Browsers send the page that a socket or an upload comes from; programs send none."""
    try:
        return origin is None or urlsplit(origin.decode("latin-1").lower()).netloc == host
    except ValueError:  # a bracket that is not closed
        return False


def _cookie(header: bytes) -> str:
    """The digest of the id in the cookie; empty if there is none."""
    try:
        morsel = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return digest(morsel.value) if morsel else ""
