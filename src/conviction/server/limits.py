"""Every bound of the server in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one worker accepts at most.

    Attributes:
        body_bytes: Of one request, counted while it arrives.
        buffered_bytes: Of the bodies of all requests together.
        files: Pictures in one request.
        pixels: That one picture may declare; checked before it is decoded.
        header_seconds: From a request's first byte, or the connection's opening, to its last header.
        header_bytes: Of the headers of one request that have not ended yet.
        body_seconds: For the whole body, however steadily it trickles.
        request_seconds: From the end of the body to the answer.
        connections: Open at once.
        concurrent: Requests that are read or answered at once.
        waiting_images: Being decoded or waiting, over all requests.
        batch: Images that the network gets at once.
        linger_seconds: How long a batch waits for pictures that are just being decoded.
    """

    body_bytes: int = 32 * 2**20
    buffered_bytes: int = 256 * 2**20
    files: int = 64
    pixels: int = 50_000_000
    header_seconds: float = 10.0
    header_bytes: int = 32 * 2**10
    body_seconds: float = 20.0
    request_seconds: float = 30.0
    connections: int = 512
    concurrent: int = 128
    waiting_images: int = 512
    batch: int = 32
    linger_seconds: float = 0.001
