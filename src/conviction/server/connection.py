"""A connection of uvicorn with limits that it lacks: on slow and long headers, on connections, and on closing."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from conviction.server.gate import Exchange, RequestGate
from conviction.server.limits import Limits
from conviction.server.log import log
from conviction.server.problem import MEDIA_TYPE, Problem, busy

# How long after the signal an idle connection stays open, so that a request on its way is still answered.
CLOSING_SECONDS = 0.25
# How long a connection that was refused for load is not read. Retry-After asks for twice as long; clients that ignore
# it would otherwise keep the server busy with refusing instead of answering.
PAUSE_SECONDS = 0.5


class Connection(HttpToolsProtocol):
    """One connection; each method also does what uvicorn's does, first or last."""

    limits = Limits()
    gate: ClassVar[RequestGate]

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._in_head = self._in_body = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses a connection over the limit, and starts the clock of the first headers."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(busy(f"{self.limits.connections} connections are already open."))
        else:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts the bytes of a head that is not complete yet."""
        if not self._in_body and self._deadline is None:
            self._start_clock()
        goes_on = self._in_head
        super().data_received(data)
        if goes_on and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.header_bytes and not self.transport.is_closing():
                most = f"{self.limits.header_bytes:,}"
                self._refuse(Problem("headers-too-large", f"At most {most} bytes of headers are accepted."))

    def on_message_begin(self) -> None:
        """The head of a request starts."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Stops the clock; from here on the application watches the time."""
        self._in_head, self._in_body = False, True
        self._stop_clock()
        if self.cycle is None or self.cycle.response_complete:
            refused = self.gate.refused(self.parser.get_method().decode("ascii"), _path(self.url))
            if refused is not None:
                self._shed(*refused)
                return
        super().on_headers_complete()
        if self._closing:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The next bytes are those of the next head."""
        super().on_message_complete()
        self._in_body = False
        self._stop_clock()

    def on_response_complete(self) -> None:
        """A body that was refused unread gets no more time than a head."""
        super().on_response_complete()
        if self._in_body:
            self._start_clock()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP with a problem, as everything else."""
        self._refuse(Problem("bad-request", "This is not an HTTP/1.1 request."))

    def shutdown(self) -> None:
        """Closes when what is on its way has been answered."""
        self._closing = True
        if self.cycle is None or self.cycle.response_complete:
            # uvloop looks at its clocks before it looks at what has arrived; at the second clock it has done both.
            self.loop.call_later(CLOSING_SECONDS, self.loop.call_later, 0, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_clock()  # an answer to what came before is on its way
            return
        seconds = f"{self.limits.header_seconds:g}"
        self._refuse(Problem("slow-request", f"The headers did not arrive within {seconds} s."))

    def _refuse(self, problem: Problem) -> None:
        """Answers without the application, and closes."""
        if self.transport.is_closing():
            return
        # No other answer can follow one that is half sent; then closing says enough.
        if self.cycle is None or self.cycle.response_complete:
            self._write(problem, None, {"connection": "close"})
            log(method=None, path=None, status=problem.status, detail=problem.detail)
        self.transport.close()

    def _shed(self, problem: Problem, exchange: Exchange) -> None:
        """Answers at once; its body is read and dropped, and the next request may follow."""
        goes_on = self.parser.should_keep_alive() and not self._closing
        more = {"x-request-id": exchange.id, "x-content-type-options": "nosniff"}
        self._write(problem, exchange.instance, more if goes_on else {**more, "connection": "close"})
        self.cycle = _ANSWERED  # type: ignore[assignment]
        if goes_on:
            self.on_response_complete()
            self.flow.pause_reading()
            self.loop.call_later(PAUSE_SECONDS, self._read_again)
        else:
            self.transport.close()

    def _read_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _write(self, problem: Problem, instance: str | None, more: dict[str, str]) -> None:
        body = problem.body(instance)
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            **problem.headers,
            **more,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body)


def _path(url: bytes) -> str:
    """The path of a request's target; uvicorn refuses what is not a path."""
    return url.partition(b"?")[0].decode("latin-1")


class _Answered:
    """What uvicorn reads of a request that has been answered."""

    response_complete = True
    disconnected = False
    message_event = asyncio.Event()


_ANSWERED = _Answered()
