"""The one process beside the server for work that needs Keras or, for a while, a core; started when first needed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from conviction.errors import ConvictionError, TrainingError
from conviction.process import own_process

T = TypeVar("T")

IDLE_SECONDS = 600.0
# After the page and before trainings, because people wait for its answers.
NICENESS = 5


class KilledError(TrainingError):
    """The process was killed while it calculated; the next call starts another."""


class Helper:
    """Calls functions of modules, one at a time, in a process that keeps what it has imported and loaded.

    Attributes:
        idle: Seconds without a call after which the process is ended; the next call starts another.
    """

    def __init__(self) -> None:
        self.idle = IDLE_SECONDS
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._timer: threading.Timer | None = None
        self._closed = False
        # It owns the process, so no other thread speaks to it at the same time.
        self._thread = ThreadPoolExecutor(1, "helper")
        # Not a daemon, which could not start others to decode pictures; Python would wait for its end.
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    async def call(self, function: Callable[..., T], *arguments: Any, patience: float | None = None) -> T:
        """The result of a function at the top of a module; a call that is cancelled before its turn is not made.

        Args:
            function: Called with ``arguments``.
            arguments: What pickle can send.
            patience: Seconds that the answer may take, counted from its turn; None for any time.

        Raises:
            ConvictionError: What the function raises; it takes too long, or the lab is being closed.
            KilledError: The process was killed.
        """
        try:
            waiting = asyncio.get_running_loop().run_in_executor(
                self._thread, self._call, function, arguments, patience
            )
        except RuntimeError:
            raise ConvictionError("The lab is being closed.") from None
        result: T = await waiting
        return result

    def close(self) -> None:
        """Ends the process; calls that wait fail."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], patience: float | None) -> Any:
        if self._timer is not None:
            self._timer.cancel()
        try:
            ok, value = self._ask((function, arguments), patience)
        finally:
            self._timer = threading.Timer(self.idle, self._rest)
            self._timer.daemon = True
            self._timer.start()
        if ok:
            return value
        raise value

    def _ask(self, question: Any, patience: float | None) -> tuple[bool, Any]:
        if self._closed:
            raise ConvictionError("The lab is being closed.")
        connection = self._start()
        try:
            connection.send(question)
            if connection.poll(patience):
                reply: tuple[bool, Any] = connection.recv()
                return reply
        except (EOFError, OSError):
            self._end()
            raise KilledError(
                "The process that calculates was killed; the machine may have run out of memory. Try again."
            ) from None
        self._end()
        raise ConvictionError(f"No answer came within {patience:.0f} seconds. Try again.")

    def _start(self) -> Connection:
        if self._connection is not None and self.pid is not None:
            return self._connection
        self._end()
        # Not forked, because a server with threads must not be.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs,), name="helper")
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


def work(connection: Connection) -> None:
    """The process: answers until the other end is closed.

    Args:
        connection: Gives ``(function, arguments)``; receives ``(True, result)`` or ``(False, exception)``.
    """
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    # Ctrl-C reaches the whole group, and the server handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    own_process()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_reply(connection.recv_bytes()))


def _reply(question: bytes) -> bytes:
    """The answer to a question, pickled as it is; what fails on the way there or back is an answer too."""
    try:
        function, arguments = pickle.loads(question)
        return pickle.dumps((True, function(*arguments)))
    except Exception as failure:
        # An error that is not a refusal is a bug, and its place is in this process.
        if not isinstance(failure, ConvictionError):
            failure.add_note(traceback.format_exc())
        try:
            return pickle.dumps((False, failure))
        except Exception:  # an exception of another library, which cannot be sent
            return pickle.dumps((False, RuntimeError(f"{type(failure).__name__}: {failure}")))


def _end_with_the_server() -> None:
    """Waits for the server to end, then ends this process, because a server that is killed closes nothing itself."""
    server = multiprocessing.parent_process()
    assert server is not None
    wait([server.sentinel])
    os._exit(1)
