"""Wrong tokens are counted, so that no one can try them all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from conviction.errors import RequestError

MOST_WRONG = 10
WINDOW_SECONDS = 60.0
# Whoever asks chooses the names, so only this many are remembered.
MOST_NAMES = 1000


@dataclass
class Tries:
    """The wrong tries of the last minute: at most ten for a name, and a hundred for all of them."""

    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, deque[tuple[float, str]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def check(self, name: str) -> None:
        """Checks whether another try is allowed.

        Raises:
            RequestError: Not now.
        """
        with self._lock:
            self._forget()
            mine = len(self._wrong.get(name, ()))
            if mine >= MOST_WRONG or sum(map(len, self._wrong.values())) >= 10 * MOST_WRONG:
                raise RequestError("There were too many wrong tokens. Wait a minute, then try again.")

    def wrong(self, name: str, what: str = "") -> None:
        """Counts a wrong try; trying the same ``what`` again is not counted twice."""
        with self._lock:
            mine = self._wrong.get(name, deque())
            if what and any(tried == what for _, tried in mine):
                return
            if name in self._wrong or len(self._wrong) < MOST_NAMES:
                self._wrong.setdefault(name, mine).append((self.clock(), what))

    def _forget(self) -> None:
        since = self.clock() - WINDOW_SECONDS
        for name, times in list(self._wrong.items()):
            while times and times[0][0] <= since:
                times.popleft()
            if not times:
                del self._wrong[name]
