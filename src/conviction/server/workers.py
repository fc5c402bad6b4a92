"""Several processes on one port: started, watched, and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

from conviction.errors import ConvictionError

# A worker that ends within this time of its start would only end again.
SOON_SECONDS = 2.0


def supervise(
    work: Callable[[Callable[[], None]], None],
    workers: int,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Runs workers until SIGTERM or SIGINT, which ends them all; one that dies by itself is replaced.

    Args:
        work: What a worker does; it gets a function to call when it is ready.
        workers: How many processes.
        listener: The socket that they share; connections go to whichever is free.
        ready: Called when all are ready.

    Raises:
        ConvictionError: A worker ended as soon as it was started.
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
    ready_read, ready_write = os.pipe()

    def start() -> None:
        with _signals_wait():
            pid = os.fork()
            if pid == 0:
                os.close(_held)
                os.close(ready_read)
                _be_a_worker(work, alive, ready_write)
            started[pid] = time.monotonic()

    for _ in range(workers):
        start()
    waiting = threading.Thread(target=_when_all, args=(ready_read, workers, ready), daemon=True)
    waiting.start()
    failed = False
    while started:
        pid, _ = os.wait()
        since = started.pop(pid, None)
        if since is None:
            continue
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        if stopping.is_set():
            continue
        if time.monotonic() - since < SOON_SECONDS:
            failed = True
            stop()
        else:
            start()
    if failed:
        raise ConvictionError("serve: a worker ended as soon as it was started; the log says why.")


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """A signal between the fork and its record would miss the new worker."""
    both = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, both)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _when_all(ready_read: int, workers: int, ready: Callable[[], None]) -> None:
    for _ in range(workers):
        os.read(ready_read, 1)
    ready()


def _be_a_worker(work: Callable[[Callable[[], None]], None], alive: int, ready_write: int) -> None:
    """Never returns, because the part of the parent's stack that this process still has must not run twice."""
    code = 0
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        work(lambda: _announce(ready_write))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _announce(ready_write: int) -> None:
    os.write(ready_write, b".")


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
