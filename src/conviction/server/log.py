"""One line of JSON on standard error for each request; never what a picture holds, and never a key."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime

STDERR = 2


def log(**fields: object) -> None:
    """Writes the line, with the time, in one piece: workers share the stream."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # Requests are answered even if no process reads the log any more.
    with contextlib.suppress(OSError):
        os.write(STDERR, json.dumps({"time": now, **fields}).encode() + b"\n")
