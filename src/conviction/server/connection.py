"""A connection of the model's server: bounds on connections and on load, and how it closes."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from conviction.server.framing import StrictProtocol, response
from conviction.server.gate import RequestGate
from conviction.server.problem import busy

# How long after the signal an idle connection stays open, so that a request on its way is still answered.
CLOSING_SECONDS = 0.25
# How long a connection that was refused for load is not read. Retry-After asks for twice as long; clients that ignore
# it would otherwise keep the server busy with refusing instead of answering.
PAUSE_SECONDS = 0.5


class Connection(StrictProtocol):
    """One connection; each method also does what the strict protocol does, first or last."""

    gate: ClassVar[RequestGate]

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses a connection over the limit."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._stop_clock()
            self._refuse(busy(f"{self.limits.connections} connections are already open."))

    def on_headers_complete(self) -> None:
        """Answers no more than this one if the server is about to end."""
        super().on_headers_complete()
        if self._closing and self._is_answering():
            self.cycle.keep_alive = False

    def shed(self) -> bool:
        """Refuses a request over the load before anything is made of it."""
        if self._is_answering():
            return False
        refused = self.gate.refused(self.parser.get_method().decode("ascii"), _path(self.url))
        if refused is None:
            return False
        problem, exchange = refused
        goes_on = self.parser.should_keep_alive() and not self._closing
        more = {"x-request-id": exchange.id, "x-content-type-options": "nosniff"}
        more |= {} if goes_on else {"connection": "close"}
        self.transport.write(response(problem, exchange.instance, more))
        self.cycle = _ANSWERED  # type: ignore[assignment]
        if goes_on:
            self.on_response_complete()
            self.flow.pause_reading()
            self.loop.call_later(PAUSE_SECONDS, self._read_again)
        else:
            self.transport.close()
        return True

    def shutdown(self) -> None:
        """Closes when what is on its way has been answered."""
        self._closing = True
        if self._is_answering():
            super().shutdown()
        else:
            # uvloop looks at its clocks before it looks at what has arrived; at the second clock it has done both.
            self.loop.call_later(CLOSING_SECONDS, self.loop.call_later, 0, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._is_answering():
            self.transport.close()

    def _read_again(self) -> None:
        if not self.transport.is_closing() and self._refusal is None:
            self.flow.resume_reading()


def _path(url: bytes) -> str:
    """The path of a request's target; uvicorn refuses what is not a path."""
    return url.partition(b"?")[0].decode("latin-1")


class _Answered:
    """What uvicorn reads of a request that has been answered."""

    response_complete = True
    disconnected = False
    message_event = asyncio.Event()


_ANSWERED = _Answered()
