"""Who is in: a random id in a browser's cookie for each that a token has let in, until it is ended or grows old."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from conviction.runs import folder

MOST_SECONDS = 30 * 86_400
# Of one owner; the one that was used least recently ends. Programs come in with the token each time.
MOST_OF_ONE = 50


def digest(token: str) -> str:
    """What is kept of a token or of a session's id; they are random and long, so a slow hash would not protect them
    better."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Session:
    """One browser that is in.

    Attributes:
        owner: Whose it is.
        token: The digest of the token that let it in; when that is no longer valid, neither is the session.
        began: In seconds since 1970.
    """

    owner: str
    token: str
    began: float


@dataclass
class BrowserSessions:
    """The sessions of a server, by the digests of their ids.

    Attributes:
        file: Where they are kept over a restart; None for nowhere. It holds digests alone.
        clock: The time, in seconds since 1970.
    """

    file: Path | None = None
    clock: Callable[[], float] = time.time
    # The one that was used last is the last.
    _sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.file is None:
            return
        try:
            rows = json.loads(self.file.read_text(encoding="utf-8"))
            read = {
                str(k): Session(str(r["owner"]), str(r["token"]), float(r["began"])) for k, r in rows.items()
            }
        # Whoever is not in comes in again with the token.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        self._sessions = read

    def begin(self, owner: str, token: str) -> str:
        """Lets somebody in; returns the id for the cookie, 256 random bits.

        Args:
            owner: Whose session it is.
            token: The digest of the token.
        """
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[digest(name)] = Session(owner, token, self.clock())
            own = [key for key, one in self._sessions.items() if one.owner == owner]
            for key in own[:-MOST_OF_ONE]:
                del self._sessions[key]
            self._keep()
        return name

    def get(self, key: str) -> Session | None:
        """The session whose id has this digest; None if there is none, or it has ended."""
        with self._lock:
            one = self._sessions.pop(key, None)
            if one is None or self.clock() - one.began > MOST_SECONDS:
                return None
            self._sessions[key] = one
            return one

    def end(self, owners: Callable[[str], bool]) -> int:
        """Ends the sessions of the owners for whom this is true; returns how many."""
        with self._lock:
            before = len(self._sessions)
            self._sessions = {key: one for key, one in self._sessions.items() if not owners(one.owner)}
            self._keep()
            return before - len(self._sessions)

    def _keep(self) -> None:
        if self.file is not None:
            folder.write_json(self.file, {key: asdict(one) for key, one in self._sessions.items()})
