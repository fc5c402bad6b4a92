"""SIGINT and SIGTERM as a request that training checks between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class StopRequest:
    """``signal_number`` is None until SIGINT or SIGTERM came.

    While ``patient`` is False nothing checks it between steps, and a signal raises ``KeyboardInterrupt`` at once.

    Args:
        agree: Of several processes that train together, each of which must end at the same step: from whether this one
            was asked to, it returns whether any was. All of them call it at once.
    """

    def __init__(self, agree: Callable[[bool], bool] | None = None) -> None:
        self.signal_number: int | None = None
        self.patient = True
        self._agree = agree
        self._agreed = False

    def look(self) -> None:
        """Between two steps, in each process: a request to one becomes the request to all."""
        if self._agree is not None:
            self._agreed = self._agree(self.signal_number is not None)

    def __bool__(self) -> bool:
        return self.signal_number is not None if self._agree is None else self._agreed


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts as it would have before.

    A signal that the process ignores, as processes that a shell starts in the background do, stays ignored.

    In a thread other than the main one, where Python allows no handlers, the request never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        restore()
        if not request.patient:
            raise KeyboardInterrupt

    for number in before:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
