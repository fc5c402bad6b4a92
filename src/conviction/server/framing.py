"""A connection of uvicorn that refuses what is no plain HTTP/1.1, or too much of it; of both servers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from conviction.server.headers import framing_fault
from conviction.server.limits import Limits
from conviction.server.log import log
from conviction.server.problem import MEDIA_TYPE, Problem

# What the separators of a header take: ": " and the end of the line.
_SEPARATORS = 4
LINGER_SECONDS = 2.0


class _Refused(Exception):
    """Ends the parser inside one of its callbacks."""


class StrictProtocol(HttpToolsProtocol):
    """One connection; each method also does what uvicorn's does, first or last.

    uvicorn's parser, llhttp, refuses most of what is no HTTP; bounds of headers, trailers, pipelined requests and time,
    and what ``framing_fault`` says, are added here.
    """

    limits = Limits()

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._in_head = self._in_body = False
        # Of the message that is arriving: all its bytes, without those that came together with its beginning; those of
        # its content; and those of its headers and trailers.
        self._bytes = self._content_bytes = self._header_bytes = 0
        self._refusal: Problem | None = None
        # The request that is being answered, or was last; uvicorn's ``cycle`` is the one that came last.
        self._answered: RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first headers."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts the bytes; nothing is read after a refusal."""
        if self._refusal is not None or self.transport.is_closing():
            return
        if not self._in_body and self._deadline is None:
            self._start_clock()
        self._bytes += len(data)
        super().data_received(data)
        if self._refusal is not None:
            return
        if self._in_head and self._bytes > self.limits.header_bytes:
            self._give_up(self._headers_too_large())
        elif self._in_body and self._bytes - self._content_bytes > self.limits.overhead_bytes:
            most = f"{self.limits.overhead_bytes:,}"
            self._give_up(
                Problem("bad-request", f"At most {most} bytes beside the body's content are accepted.")
            )

    def on_message_begin(self) -> None:
        """The head of a request starts."""
        super().on_message_begin()
        self._in_head = True
        self._bytes = self._content_bytes = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Counts the target as a part of the head."""
        self._count_header(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header, or a trailer, which uvicorn keeps too."""
        self._count_header(len(name) + len(value) + _SEPARATORS)
        super().on_header(name, value)
        if len(self.headers) > self.limits.header_count:
            self._stop(
                Problem("headers-too-large", f"At most {self.limits.header_count} headers are accepted.")
            )

    def on_headers_complete(self) -> None:
        """Stops the clock; from here on the application watches the time."""
        fault = framing_fault(self.headers, self.parser.get_http_version())
        if fault is not None:
            self._stop(Problem("bad-request", fault))
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop(
                Problem(
                    "bad-request",
                    f"At most {self.limits.pipelined} requests may wait on one connection; read the answers first.",
                )
            )
        self._in_head, self._in_body = False, True
        self._stop_clock()
        if self.shed():
            return
        try:
            super().on_headers_complete()
        except Exception:  # a target that is no path: nothing was made of the request
            self._in_body = False
            raise

    def shed(self) -> bool:
        """Whether a request whose headers are complete was answered without the application, because of the load."""
        return False

    def on_body(self, body: bytes) -> None:
        """Counts the content."""
        self._content_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are those of the next head."""
        super().on_message_complete()
        self._in_body = False
        self._stop_clock()

    def on_response_complete(self) -> None:
        """A body that was refused unread gets no more time than a head; a refusal comes after the last answer."""
        was_last = not self.pipeline
        super().on_response_complete()
        if self._refusal is not None and was_last:
            self._refuse(self._refusal)
        elif self._in_body and was_last:
            self._start_clock()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP with a problem, as everything else."""
        self._give_up(self._refusal or Problem("bad-request", "This is not an HTTP/1.1 request."))

    def _count_header(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > self.limits.header_bytes:
            self._stop(self._headers_too_large())

    def _headers_too_large(self) -> Problem:
        return Problem(
            "headers-too-large", f"At most {self.limits.header_bytes:,} bytes of headers are accepted."
        )

    def _stop(self, problem: Problem) -> None:
        self._refusal = problem
        raise _Refused

    def _give_up(self, problem: Problem) -> None:
        """Reads nothing more, and refuses what came last once everything before it has been answered."""
        self._refusal = problem
        self._stop_clock()
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # the one that came last; it never ends
            self.cycle = self.pipeline[0][0] if self.pipeline else self._answered  # type: ignore[assignment]
            self._in_body = False
        elif self._in_body and self._is_answering() and not self.cycle.response_started:
            self._answer_and_close(problem)
            return
        if not self._is_answering():
            self._refuse(problem)
        else:
            self.flow.pause_reading()

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self._answered is not None and not self._answered.response_complete)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._is_answering():
            self._start_clock()  # an answer to what came before is on its way
            return
        seconds = f"{self.limits.header_seconds:g}"
        self._refuse(Problem("slow-request", f"The headers did not arrive within {seconds} s."))

    def _refuse(self, problem: Problem) -> None:
        """Answers without the application, and closes."""
        if self.transport.is_closing():
            return
        # No other answer can follow one that is half sent, or belongs to the same request; then closing says enough.
        if not self._is_answering() and not self._in_body:
            self._answer_and_close(problem)
        else:
            self.transport.close()

    def _answer_and_close(self, problem: Problem) -> None:
        self._refusal = problem
        self.transport.write(response(problem, None, {"connection": "close"}))
        log(method=None, path=None, status=problem.status, detail=problem.detail)
        if self._is_answering():  # the application waits for the rest of what was refused
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if problem.status >= 500:
            self.transport.close()
            return
        # Closing while bytes of the client are unread would destroy the answer on its way, so they are dropped for a
        # moment.
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def response(problem: Problem, instance: str | None, more: dict[str, str]) -> bytes:
    """The whole answer that refuses a request, with more headers."""
    body = problem.body(instance)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **problem.headers,
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body
