"""The one process that holds TensorFlow for the page: started when needed, replaced when it dies, ended when idle."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import ConvictionError, RequestError
from conviction.process import own_process

if TYPE_CHECKING:
    from conviction.web.inside.seeing import Close, Opened, Picture, Sight

# Loading TensorFlow and a large model on a busy machine; a question that takes longer has gone wrong.
PATIENCE_SECONDS = 120.0
IDLE_SECONDS = 600.0
# It yields to training, which it must not slow down.
NICENESS = 5


class _Died(Exception):
    """The process ended, or did not answer in time."""


@dataclass
class Inspector:
    """Answers what the panels ask, one question after the other.

    Attributes:
        data_dir: Where named sets are looked for first.
        idle: Seconds after which the process is ended; the next question starts another.
        patience: Seconds that an answer may take.
    """

    data_dir: Path | None = None
    idle: float = IDLE_SECONDS
    patience: float = PATIENCE_SECONDS
    _process: SpawnProcess | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)
    _timer: threading.Timer | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    # One thread: it owns the process, and lets nobody else speak to it at the same time.
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "inspector"), init=False, repr=False
    )

    def open(self, run: Path) -> Awaitable[Opened]:
        """As ``ModelViewer.open``."""
        return self._ask("open", run=run)

    def pictures(self, run: Path, first: int, count: int) -> Awaitable[list[tuple[np.ndarray, str]]]:
        """As ``ModelViewer.pictures``."""
        return self._ask("pictures", run=run, first=first, count=count)

    def decode(self, run: Path, content: bytes) -> Awaitable[np.ndarray]:
        """As ``ModelViewer.decode``."""
        return self._ask("decode", run=run, content=content)

    def look(self, run: Path, picture: Picture) -> Awaitable[Sight]:
        """As ``ModelViewer.look``."""
        return self._ask("look", run=run, picture=picture)

    def close_up(
        self, run: Path, picture: Picture, layer: str, position: tuple[int, ...], before: int | None = None
    ) -> Awaitable[Close]:
        """As ``ModelViewer.close_up``."""
        return self._ask("close_up", run=run, picture=picture, layer=layer, position=position, before=before)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def close(self) -> None:
        """Ends the process; questions that wait fail."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    async def _ask(self, name: str, **arguments: Any) -> Any:
        try:
            waiting = asyncio.get_running_loop().run_in_executor(self._thread, self._answer, name, arguments)
        except RuntimeError:
            raise ConvictionError("The lab is being closed.") from None
        return await waiting

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if self._timer is not None:
            self._timer.cancel()
        try:
            reply = self._twice(name, arguments)
        finally:
            self._timer = threading.Timer(self.idle, self._rest)
            self._timer.daemon = True
            self._timer.start()
        if reply[0] == "answer":
            return reply[1]
        raise RequestError(reply[1]) if reply[0] == "refused" else ConvictionError(reply[1])

    def _twice(self, name: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        """Asks again if the process was killed; a question that ends it twice fails."""
        for _ in range(2):
            with contextlib.suppress(_Died):
                return self._once(name, arguments)
        return ("failed", "The process that looks inside the network ended twice. Memory may be short.")

    def _once(self, name: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        if self._closed:
            return ("failed", "The lab is being closed.")
        connection = self._start()
        try:
            connection.send((name, arguments))
            if not connection.poll(self.patience):
                self._end()
                return ("failed", f"No answer came within {self.patience:.0f} seconds. Try it again.")
            reply: tuple[str, Any] = connection.recv()
            return reply
        except (EOFError, OSError):
            self._end()
            raise _Died from None

    def _start(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=work, args=(theirs, list(sys.path), self.data_dir), daemon=True, name="inspector"
        )
        self._process.start()
        theirs.close()
        self._connection = ours
        return ours

    def _rest(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._end)

    def _end(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None and process.is_alive():
            process.kill()
            process.join()


def work(connection: Connection, paths: list[str], data_dir: Path | None) -> None:
    """The process: answers until the other end is closed, which happens however the server ends.

    Args:
        connection: Gives ``(name, arguments)`` of a method of ``ModelViewer``; receives ``("answer", value)``,
            ``("refused", why)`` or ``("failed", why)``.
        paths: ``sys.path`` of the parent.
        data_dir: As of ``Inspector``.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group, and is the server's business
    sys.path[:] = paths
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    own_process()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    from conviction.web.inside.seeing import ModelViewer, answer

    viewer = ModelViewer(data_dir)
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, arguments = connection.recv()
            connection.send(_reply(lambda name=name, arguments=arguments: answer(viewer, name, arguments)))


def _reply(call: Any) -> tuple[str, Any]:
    try:
        return ("answer", call())
    except RequestError as failure:
        return ("refused", str(failure))
    except ConvictionError as failure:
        return ("failed", str(failure))
    except Exception as failure:
        return ("failed", f"Looking inside failed: {type(failure).__name__}: {failure}")
