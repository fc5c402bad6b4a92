"""The program of a process that reads and decodes the pictures of one request after another."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import traceback

from conviction.data.rule import DecodingRule
from conviction.server.decoding import decoded_request, exactly, receive, send
from conviction.server.limits import Limits
from conviction.server.problem import Problem


def main() -> None:
    """Answers until its input is closed, which also happens when the server is gone, however it went."""
    settings = json.loads(sys.argv[1])
    rule, limits = DecodingRule.model_validate(settings["rule"]), Limits(**settings["limits"])
    # The server ends when it has answered; a signal to all its processes must not take this one away before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _bound_memory(limits.decoding_bytes)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is no answer
    while True:
        try:
            head = receive(requests)
            body = exactly(requests, head["bytes"])
        except ValueError:
            return
        if hasattr(signal, "alarm"):  # if the server is gone by then, nobody else ends this
            signal.alarm(math.ceil(limits.decoding_seconds) + 1)
        try:
            pictures = decoded_request(body, head["content_type"], rule, limits)
        except Problem as problem:
            send(answers, {"problem": [problem.kind, problem.detail, problem.headers]})
        except MemoryError:
            detail = "There is not enough memory to read the pictures."
            send(answers, {"problem": ["unreadable-picture", detail, {}]})
        except Exception:  # a fault of ours, for the log of the server
            send(answers, {"failure": traceback.format_exc()})
        else:
            heads = [
                [name, [outcome.kind, outcome.detail] if isinstance(outcome, Problem) else None]
                for name, outcome in pictures
            ]
            pixels = b"".join(
                outcome.tobytes() for _, outcome in pictures if not isinstance(outcome, Problem)
            )
            send(answers, {"pictures": heads}, pixels)
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def _bound_memory(most: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    with contextlib.suppress(ValueError, OSError):  # macOS has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
