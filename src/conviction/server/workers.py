"""Several processes on one port: started, watched, and ended together."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping

from conviction.errors import ConvictionError
from conviction.server.log import log, log_everything

# A worker that ends within this time of its start might only end again, so the next one waits, twice as long each time.
SOON_SECONDS = 2.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 30.0
# Nobody waits for the answers of a worker whose supervisor was killed; what takes longer is not answered.
ORPHAN_SECONDS = 3.0
_READY, _FAILED = b".", b"x"


def supervise(
    work: Callable[[Callable[[], None]], None],
    workers: int,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Runs workers until SIGTERM or SIGINT, which ends them all; one that dies by itself is replaced.

    One that dies as soon as it was started does not end the others: the next one waits a while before it begins.

    Args:
        work: What a worker does; it gets a function to call when it is ready.
        workers: How many processes.
        listener: The socket that they share; connections go to whichever is free.
        ready: Called once, when each worker is ready or has failed, and at least one is ready.

    Raises:
        ConvictionError: Every worker ended as soon as it was started, and none was ever ready.
    """
    # Imported only now: on import it checks whether workers share their figures.
    from prometheus_client import multiprocess

    started: dict[int, float] = {}
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        # First of all: a connection on a socket that only this process holds open would wait for nobody.
        listener.close()
        for pid in list(started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # The workers watch their end of one pipe, which closes when this process is gone, however it went.
    alive, _held = os.pipe()
    starts = _Starts(workers, ready)

    def start(wait: float = 0.0) -> int:
        with _signals_wait():
            pid = os.fork()
            if pid == 0:
                os.close(_held)
                _be_a_worker(work, alive, starts, wait)
            started[pid] = time.monotonic() + wait
        return pid

    untried = {start() for _ in range(workers)}
    threading.Thread(target=starts.watch, daemon=True).start()
    waits = _waits()
    all_failed = False
    for pid, status in _ended(started):
        since = started.pop(pid)
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        if stopping.is_set():
            continue
        log(level="error", message="a worker has ended", worker=pid, exit=os.waitstatus_to_exitcode(status))
        untried.discard(pid)
        if time.monotonic() - since >= SOON_SECONDS:
            waits = _waits()
            start()
        elif starts.failed() or untried:
            start(next(waits))
        else:
            all_failed = True
            stop()
    if all_failed:
        raise ConvictionError("serve: every worker ended as soon as it was started; the log says why.")


def _ended(started: Mapping[int, float]) -> Iterator[tuple[int, int]]:
    """Each worker that ends, with how it did, until none is left."""
    while started:
        pid, status = os.wait()
        if pid in started:
            yield pid, status


def _waits() -> Iterator[float]:
    """Seconds before a worker that replaces one that has failed begins: twice as long each time."""
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


class _Starts:
    """How many workers have become ready, and how many have failed at their start.

    Both go through one pipe, so that a worker that was ready before it failed has been seen as ready.

    Args:
        workers: How many were started first.
        ready: Called once, when so many are ready or have failed and at least one is ready.
    """

    def __init__(self, workers: int, ready: Callable[[], None]) -> None:
        self._workers = workers
        self._call = ready
        self._read, self._write = os.pipe()
        self._counts = {_READY: 0, _FAILED: 0}
        self._change = threading.Condition()

    def ready(self) -> None:
        """Called by a worker."""
        os.write(self._write, _READY)

    def failed(self) -> bool:
        """Called by the supervisor; returns whether any worker was ready before this failure."""
        with self._change:
            failures = self._counts[_FAILED]
            os.write(self._write, _FAILED)
            self._change.wait_for(lambda: self._counts[_FAILED] > failures)
            return self._counts[_READY] > 0

    def watch(self) -> None:
        """In a thread of the supervisor."""
        called = False
        while True:
            one = os.read(self._read, 1)
            with self._change:
                self._counts[one] += 1
                self._change.notify_all()
            if not called and sum(self._counts.values()) >= self._workers and self._counts[_READY]:
                called = True
                self._call()


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """A signal between the fork and its record would miss the new worker."""
    both = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, both)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_a_worker(
    work: Callable[[Callable[[], None]], None], alive: int, starts: _Starts, wait: float
) -> None:
    """Never returns, because the part of the parent's stack that this process still has must not run twice."""
    code = 0
    try:
        log_everything()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        if wait and select.select([alive], [], [], wait)[0]:
            os._exit(0)  # the supervisor is gone
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        work(starts.ready)
    except BaseException as failure:
        log(
            level="error", message="a worker has failed", failure="".join(traceback.format_exception(failure))
        )
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
