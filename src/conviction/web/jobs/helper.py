"""One process beside the server for what needs Keras or a core for a while; it starts when it is first needed."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from conviction.errors import TrainingError
from conviction.process import own_process
from conviction.web.jobs.processes import NICENESS

T = TypeVar("T")


class Helper:
    """Calls functions of modules, one at a time, in a process that keeps what it has imported and loaded."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function at the top of a module.

        Raises:
            ConvictionError: What the function raises; TrainingError if the process was killed.
        """
        if self._pool is None:
            # Not forked, because a server with threads must not be.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        except BrokenProcessPool:
            self._pool = None
            raise TrainingError(
                "The process that calculates was killed; the machine may have run out of memory. Try again."
            ) from None

    def close(self) -> None:
        """Ends the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _begin() -> None:
    """Leaves Ctrl-C to the server, ends when the server ends, and yields to training."""
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    own_process()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)


def _end_with_the_server() -> None:
    """Waits for the server to end, then ends this process: a server that is killed closes nothing itself."""
    server = multiprocessing.parent_process()
    assert server is not None
    wait([server.sentinel])
    os._exit(1)
