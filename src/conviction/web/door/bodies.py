"""The body of a request to the page, counted and timed while it arrives."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

# The largest body is an archive of 200 MiB, which ``uploads`` itself ends earlier, with a reason. Any body that sends
# nothing for so long, or takes longer in all, is ended.
MOST_BYTES = 201 * 2**20
PAUSE_SECONDS = 45.0
WHOLE_SECONDS = 1900.0


def bounded(receive: Receive) -> Receive:
    """For the application it looks as if the client had gone once its body is too large or too slow."""
    until = time.monotonic() + WHOLE_SECONDS
    received = 0
    ended = whole = False

    async def receiving() -> Message:
        nonlocal received, ended, whole
        if whole:  # what comes now is that the client goes away, which may take as long as it likes
            return await receive()
        if not ended:
            try:
                async with asyncio.timeout(min(PAUSE_SECONDS, until - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                ended = True
            else:
                received += len(message.get("body", b""))
                ended = received > MOST_BYTES
                whole = not message.get("more_body", False)
                if not ended:
                    return message
        return {"type": "http.disconnect"}

    return receiving
