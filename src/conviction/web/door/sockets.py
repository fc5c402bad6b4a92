"""Every message of a socket is for a page of the same session: NiceGUI itself believes the id that a message names."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from nicegui.client import Client
from starlette.types import ASGIApp, Receive, Scope, Send

from conviction.web.door.gate import OWNER, SESSION
from conviction.web.door.replies import refuse

# What NiceGUI's pages send; each names its page in "client_id". The handshake makes the socket one of its page.
HANDSHAKE = "handshake"
MESSAGES = ("event", "javascript_response", "ack", "log")
_NAMESPACE = "/"
_log = logging.getLogger(__name__)
MOST_ID = 100
# Characters; the longest are a drawing, and the text of a network.
MOST_ARGUMENTS = 400_000


class Sockets:
    """Stands before the handlers of NiceGUI.

    Args:
        server: NiceGUI's, with its handlers.
        is_current: Whether the session of a scope that the gate has let in still exists.
    """

    def __init__(self, server: Any, is_current: Callable[[Mapping[str, Any]], bool]) -> None:
        self._server = server
        self._is_current = is_current
        self._sids: set[str] = set()
        handlers = server.handlers[_NAMESPACE]
        for name in (HANDSHAKE, *MESSAGES):
            server.on(name, self._guarded(name, handlers[name]))
        server.on("connect", self._connecting(handlers["connect"]))
        server.on("disconnect", self._disconnecting(handlers["disconnect"]))

    def owns(self, sid: str, client_id: object) -> bool:
        """Whether the page with this id was shown to the session that this socket belongs to."""
        if not isinstance(client_id, str) or len(client_id) > MOST_ID:
            return False
        client = Client.instances.get(client_id)
        scope = self._scope(sid)
        if client is None or scope is None:
            return False
        page = client.request.scope
        return (
            _session_of(page) is not None
            and _session_of(page) == _session_of(scope)
            and self._is_current(scope)
        )

    async def drop_ended(self) -> None:
        """Closes the sockets whose sessions have ended."""
        for sid in list(self._sids):
            scope = self._scope(sid)
            if scope is None or not self._is_current(scope):
                await self._server.disconnect(sid)

    def _scope(self, sid: str) -> Mapping[str, Any] | None:
        environ = self._server.get_environ(sid)
        scope: Mapping[str, Any] | None = None if environ is None else environ.get("asgi.scope")
        return scope

    def _guarded(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def guarded(sid: str, message: object = None, *_: object) -> Any:
            if not isinstance(message, dict) or not self.owns(sid, message.get("client_id")):
                return False
            # A page's own socket is in the room of its page once they have shaken hands.
            if name != HANDSHAKE and message["client_id"] not in self._server.rooms(sid):
                return False
            if not _is_short(message):
                return False
            try:
                result = handler(sid, message)
                return await result if inspect.isawaitable(result) else result
            except (KeyError, TypeError, ValueError, AttributeError):  # no page of ours sends such a message
                _log.warning("a message of kind %s cannot be read", name)
                return False

        return guarded

    def _connecting(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def connecting(sid: str, environ: dict[str, Any], auth: object = None) -> Any:
            # With "implicit_handshake" in the address, connecting is the handshake.
            for client_id in parse_qs(str(environ.get("QUERY_STRING", ""))).get("client_id", []):
                if not self.owns(sid, client_id):
                    raise ConnectionRefusedError("This page belongs to another session.")
            result = await handler(sid, environ, auth)
            self._sids.add(sid)
            return result

        return connecting

    def _disconnecting(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def disconnecting(sid: str, *_: object) -> Any:
            self._sids.discard(sid)
            result = handler(sid)
            return await result if inspect.isawaitable(result) else result

        return disconnecting


class OwnUploads:
    """An application around the application: a file is sent to a page of the same session alone.

    NiceGUI receives files at an address with the id of the page in it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a request to a page of another session."""
        if scope["type"] == "http" and scope["path"].startswith(_UPLOADS):
            client = Client.instances.get(scope["path"][len(_UPLOADS) :].partition("/")[0])
            own = _session_of(scope)
            if client is None or own is None or _session_of(client.request.scope) != own:
                await refuse("http", send, 404, "There is no such page.")
                return
        await self._app(scope, receive, send)


_UPLOADS = "/_nicegui/client/"


def _is_short(message: Mapping[str, Any]) -> bool:
    """Whether what a message carries is no longer than what pages of ours send, before it is parsed."""
    arguments = message.get("args") or ()
    if not isinstance(arguments, list | tuple):
        return False
    return sum(len(one) for one in arguments if isinstance(one, str)) <= MOST_ARGUMENTS


def _session_of(scope: Mapping[str, Any]) -> tuple[str, str] | None:
    """(owner, session); None for a scope that has not passed the gate."""
    return (scope[OWNER], scope[SESSION]) if OWNER in scope and SESSION in scope else None
