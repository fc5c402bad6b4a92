"""One line of JSON on standard error for each request; never what a picture holds, and never a key."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import traceback
from datetime import UTC, datetime

STDERR = 2
# POSIX writes so much to a pipe in one piece; a longer line may be mixed with that of another worker.
MOST_BYTES = 4096


def log(**fields: object) -> None:
    """Writes the line, with the time, in one piece: workers share the stream. Long texts lose their beginning."""
    # Requests are answered even if no process reads the log any more.
    with contextlib.suppress(OSError):
        os.write(STDERR, line_of(fields))


def line_of(fields: dict[str, object]) -> bytes:
    """One line of JSON, of at most ``MOST_BYTES``, whatever the fields hold."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    most = MOST_BYTES
    while True:
        line = json.dumps({"time": now, **fields}, default=repr).encode() + b"\n"
        if len(line) <= MOST_BYTES:
            return line
        if most < 16:
            return _SHORTEST
        most //= 2
        # The end of a traceback says most.
        fields = {k: v[-most:] if isinstance(v, str) else v for k, v in fields.items()}


_SHORTEST = b'{"message": "a line of the log was too long"}\n'


def log_everything() -> None:
    """From here on, what libraries log or warn of, and errors that nobody catches, are lines of JSON too."""
    root = logging.getLogger()
    root.handlers[:] = [_JsonLines()]
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # some libraries bring handlers of their own
            logger.handlers.clear()
            logger.propagate = True
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, trace: _uncaught(error)
    threading.excepthook = lambda args: _uncaught(args.exc_value)
    sys.unraisablehook = lambda args: _uncaught(args.exc_value)


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            failure = {"failure": _trace(record.exc_info[1])} if record.exc_info else {}
            log(level=record.levelname.lower(), logger=record.name, message=record.getMessage(), **failure)
        except Exception:  # a record whose message cannot be made must not end what it is about
            log(level="error", logger=record.name, message="a message that cannot be formatted")


def _uncaught(error: BaseException | None) -> None:
    log(level="error", message="an error that nobody caught", failure=_trace(error))


def _trace(error: BaseException | None) -> str:
    return "" if error is None else "".join(traceback.format_exception(error))
