"""``fit`` and ``resume`` in a child process, where this one's TensorFlow has another number of threads.

That number is part of what decides the bits, and TensorFlow takes it once for a process. So a notebook that has used
TensorFlow, or that must go on with all cores, has such a run made by a child, which tells whoever shows the run here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conviction.backend import BACKEND_VARIABLE, loaded_backend, without_main
from conviction.errors import ConvictionError, TrainingError
from conviction.flow.prepare import Show
from conviction.process import own_process
from conviction.runs import Run
from conviction.training import stop_on_signals

# A signal is passed on so soon, in seconds.
LOOK = 0.2


def run_apart(function: str, arguments: Mapping[str, Any], show: Show) -> Run:
    """Calls ``conviction.fit`` or ``conviction.resume``, in a child process.

    Args:
        function: ``fit`` or ``resume``.
        arguments: Of it, all but ``show``.
        show: Is told here what the child tells there.

    Raises:
        ConvictionError: What the function raises; TrainingError if the child was killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    asked = (theirs, list(sys.path), loaded_backend(), function, dict(arguments))
    child = context.Process(target=work, args=asked)
    with without_main():
        child.start()
    theirs.close()
    try:
        with stop_on_signals() as stop:
            passed_on = False
            while True:
                if stop and not passed_on and stop.signal_number and child.pid:
                    passed_on = True
                    os.kill(child.pid, stop.signal_number)
                if not ours.poll(LOOK):
                    continue
                kind, value = ours.recv()
                if kind == "show":
                    getattr(show, value[0])(*value[1])
                elif kind == "raised":
                    raise value
                else:
                    return Run(value)
    except (EOFError, ConnectionResetError):
        child.join()
        raise TrainingError(
            f"The process that trained was ended from outside (exit code {child.exitcode}), perhaps for lack of "
            "memory. Go on with what its run folder has: conviction.resume."
        ) from None
    finally:
        ours.close()
        child.join(1)
        child.kill()  # all that it had to write is written, or nobody waits for it any more
        child.join()


def work(
    connection: Connection, paths: list[str], backend: str | None, function: str, arguments: Mapping[str, Any]
) -> None:
    """The child: tells ``("show", (method, arguments))``, then ``("done", path)`` or ``("raised", error)``."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the whole group, and is passed on by the parent
    sys.path[:] = paths
    if backend is not None:
        os.environ[BACKEND_VARIABLE] = backend
    own_process()
    ending: tuple[str, Any]
    try:
        call = getattr(import_module(f"conviction.flow.{function}"), function)
        run: Run = call(**arguments, show=_ShowOverPipe(connection))
        ending = ("done", Path(run.path))
    except (ConvictionError, KeyboardInterrupt) as failure:
        ending = ("raised", failure)
    except BaseException:
        ending = ("raised", RuntimeError(f"The child process failed:\n{traceback.format_exc()}"))
    with contextlib.suppress(OSError):  # the parent has gone
        connection.send(ending)


class _ShowOverPipe:
    """A ``Show`` that passes on what it is told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._connection.send(("show", (method, arguments)))
