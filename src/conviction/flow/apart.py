"""Runs ``fit`` and ``resume`` in a child process when TensorFlow already runs here with another number of threads.

The number of threads helps to decide the bits, and TensorFlow reads it once per process. So a notebook that has already
used TensorFlow, or that must keep all cores, leaves such a run to a child, which reports its progress to this process.
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
from conviction.flow.showing import Show
from conviction.process import own_process
from conviction.runs import RunFolder
from conviction.training import stop_on_signals

# How soon a signal is passed on, in seconds.
LOOK = 0.2


def run_apart(function: str, arguments: Mapping[str, Any], show: Show) -> RunFolder:
    """Calls ``conviction.fit`` or ``conviction.resume``, in a child process.

    Args:
        function: ``fit`` or ``resume``.
        arguments: All of its arguments except ``show``.
        show: Receives in this process what the child shows.

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
                    return RunFolder(value)
    except (EOFError, ConnectionResetError):
        child.join()
        raise TrainingError(
            f"The training process was killed from outside (exit code {child.exitcode}), perhaps because memory ran "
            "out. Continue from what its run folder holds: conviction.resume."
        ) from None
    finally:
        ours.close()
        child.join(1)
        child.kill()  # it has written everything by now, or nobody is waiting for it
        child.join()


def work(
    connection: Connection, paths: list[str], backend: str | None, function: str, arguments: Mapping[str, Any]
) -> None:
    """The child: sends ``("show", (method, arguments))``, then ``("done", path)`` or ``("raised", error)``."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C would reach the whole group; the parent passes it on
    sys.path[:] = paths
    if backend is not None:
        os.environ[BACKEND_VARIABLE] = backend
    own_process()
    ending: tuple[str, Any]
    try:
        call = getattr(import_module(f"conviction.flow.{function}"), function)
        run: RunFolder = call(**arguments, show=_ShowOverPipe(connection))
        ending = ("done", Path(run.path))
    except (ConvictionError, KeyboardInterrupt) as failure:
        ending = ("raised", failure)
    except BaseException:
        ending = ("raised", RuntimeError(f"The child process failed:\n{traceback.format_exc()}"))
    with contextlib.suppress(OSError):  # the parent has gone
        connection.send(ending)


class _ShowOverPipe:
    """A ``Show`` that sends every call to the parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._connection.send(("show", (method, arguments)))
