"""The other end of the pool: a process that runs one task after another."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from conviction.backend import BACKEND_VARIABLE
from conviction.process import own_process

# What a task's function receives besides its payload: it reports a value and returns whether to continue.
Report = Callable[[Any], bool]
TaskFunction = Callable[[Mapping[str, Any], Report], Any]


def work(connection: Connection, paths: list[str], backend: str | None = None) -> None:
    """Runs tasks until the other end is closed.

    Args:
        connection: Delivers ``(function, payload)``, or None at the end; receives ``("began",)``, ``("report", value)``
            and finally ``("done", value, resident bytes)`` or ``("raised", reason, resident bytes)``.
        paths: ``sys.path`` of the parent, so that its functions can be imported.
        backend: The backend of Keras in the parent, to use here as well; None if the parent has not imported Keras.
    """

    def report(value: Any) -> bool:
        connection.send(("report", value))
        return bool(connection.recv())

    _belong_to_parent()
    sys.path[:] = paths
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend is not None:
        os.environ[BACKEND_VARIABLE] = backend
    own_process()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (task := connection.recv()) is not None:
            name, payload = task
            connection.send(("began",))
            kind, content = answer(name, payload, report)
            connection.send((kind, content, resident_bytes(os.getpid())))


def answer(name: str, payload: Mapping[str, Any], report: Report) -> tuple[str, Any]:
    """Calls ``module:name``; ``("done", value)``, or ``("raised", reason)`` where it fails."""
    try:
        module, _, function = name.partition(":")
        call: TaskFunction = getattr(importlib.import_module(module), function)
        return ("done", call(payload, report))
    except Exception as failure:
        reason = str(failure).strip() or "no message"
        own = type(failure).__module__.startswith("conviction")
        return ("raised", reason if own else f"{type(failure).__name__}: {reason}")


def resident_bytes(process: int) -> int:
    """The memory that a process holds, from Linux's /proc; 0 on other systems."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _belong_to_parent() -> None:
    """Ignores Ctrl-C, which reaches the whole group and which the parent handles; dies when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == 1:  # the parent died before this
            sys.exit(1)
    # Output of libraries would garble the live table; what matters goes back over the connection.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
