"""Runs tasks in worker processes, so that a task that crashes, hangs or uses up the memory harms nothing else.

A worker is used for many tasks, because importing a backend takes seconds, and replaced when it has grown.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Protocol

from conviction.backend import children_without_ctrl_c, loaded_backend, without_main
from conviction.pool.worker import resident_bytes, work

# How often a task whose process dies is tried: another process may have caused the death.
ATTEMPTS = 2
# A worker is replaced once it holds this many bytes more than after its first task.
GROWTH = 1_000_000_000
# How often memory and time are checked, in seconds.
LOOK = 0.2
# The share of the machine's memory that all workers together may hold.
SHARE = 0.8


@dataclass(frozen=True)
class Task:
    """A call to be made in another process.

    Attributes:
        key: Names the task in its outcome.
        function: ``module:name`` of a function ``(payload, report) -> value``.
        payload: Plain values.
    """

    key: str
    function: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with a ``value``, or with a ``failure`` in words.

    ``seconds`` are those of the last attempt; ``died`` says that its process died, so another attempt makes sense.
    """

    key: str
    value: Any
    failure: str | None
    seconds: float
    attempts: int
    died: bool = False


# Receives what a task reports, and returns whether that task should continue.
Hear = Callable[[str, Any], bool]


class Runs(Protocol):
    """Runs tasks: the ``Pool`` of this machine, or a cluster."""

    def run(self, tasks: Iterator[Task], hear: Hear = ...) -> Iterator[Outcome]:
        """Yields outcomes as they come; takes a task from ``tasks`` only when there is room for it."""


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: Task | None = None
    attempt: int = 0
    began: float = 0.0
    at_first: int = 0


@dataclass
class Pool:
    """Worker processes, started when they are needed.

    Attributes:
        jobs: How many tasks run at once.
        limit: Seconds that a task may take; None for no limit.
        memory: Bytes that a worker may hold; None for its share of 80% of the machine's. Watched on Linux.
    """

    jobs: int
    limit: float | None = None
    memory: int | None = None
    _workers: list[_Worker] = field(default_factory=list, init=False)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            _kill(worker)
        self._workers.clear()

    def run(self, tasks: Iterator[Task], hear: Hear = lambda key, value: True) -> Iterator[Outcome]:
        """Yields outcomes as they come; takes a task from ``tasks`` only when there is a worker for it."""
        again: deque[tuple[Task, int]] = deque()

        def following() -> tuple[Task, int] | None:
            if again:
                return again.popleft()
            task = next(tasks, None)
            return None if task is None else (task, 1)

        while True:
            while len(self._busy()) < self.jobs and (following_task := following()) is not None:
                self._give(*following_task)
            if not self._busy():
                return
            for worker in self._wait_for_busy():
                task, attempt = worker.task, worker.attempt
                assert task is not None
                outcome = self._look_at(worker, task, hear)
                if outcome is not None and outcome.died and attempt < ATTEMPTS:
                    again.append((task, attempt + 1))
                elif outcome is not None:
                    yield outcome

    def _busy(self) -> list[_Worker]:
        return [w for w in self._workers if w.task is not None]

    def _give(self, task: Task, attempt: int) -> None:
        worker = next((w for w in self._workers if w.task is None), None) or self._start()
        worker.task, worker.attempt, worker.began = task, attempt, time.monotonic()
        # The next check notices a worker that died while it was idle.
        with contextlib.suppress(OSError):
            worker.connection.send((task.function, dict(task.payload)))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, list(sys.path), loaded_backend()), daemon=True)
        with without_main(), children_without_ctrl_c():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _wait_for_busy(self) -> list[_Worker]:
        """Waits for a message, a death, or the next check of the clock; returns the busy workers."""
        busy = self._busy()
        wait([*(w.connection for w in busy), *(w.process.sentinel for w in busy)], timeout=LOOK)
        return busy

    def _look_at(self, worker: _Worker, task: Task, hear: Hear) -> Outcome | None:
        seconds = time.monotonic() - worker.began

        def failed(reason: str, *, died: bool) -> Outcome:
            self._drop(worker)
            return Outcome(task.key, None, reason, seconds, worker.attempt, died)

        try:
            while worker.connection.poll():
                kind, *values = worker.connection.recv()
                if kind == "began":  # the time before that went into starting the process
                    worker.began = time.monotonic()
                elif kind == "report":
                    worker.connection.send(hear(task.key, values[0]))
                elif kind == "raised":
                    worker.task = None
                    return Outcome(task.key, None, values[0], seconds, worker.attempt)
                else:
                    self._finish(worker, values[1])
                    return Outcome(task.key, values[0], None, seconds, worker.attempt)
        except (EOFError, OSError):
            worker.process.join(5)
            return failed(_death(worker.process.exitcode), died=True)
        held = resident_bytes(worker.process.pid or 0)
        allowed = self.memory or int(SHARE * _machine_bytes() / self.jobs)
        if held > allowed:
            return failed(f"held {held / 1e9:.1f} GB of memory, more than {allowed / 1e9:.1f}", died=True)
        if self.limit is not None and seconds > self.limit:
            return failed(f"took longer than {self.limit:g} seconds", died=False)
        return None

    def _finish(self, worker: _Worker, held: int) -> None:
        worker.task = None
        worker.at_first = worker.at_first or held
        if held > worker.at_first + GROWTH:
            self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        _kill(worker)


def _kill(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {code}"


def _machine_bytes() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
