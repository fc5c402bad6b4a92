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
        request_pixels: That all pictures of one request may declare together.
        decoding_seconds: For reading and decoding the pictures of one request in a process of their own, which is then
            ended.
        decoding_bytes: Of memory for that process, where the system can bound it.
        header_seconds: From a request's first byte, or the connection's opening, to its last header.
        header_bytes: Of the request line, headers and trailers of one request.
        header_count: Headers and trailers of one request.
        overhead_bytes: That a body may take beyond its content: sizes of chunks, their extensions, trailers.
        pipelined: Requests of one connection that wait for the answer to the one before.
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
    request_pixels: int = 400_000_000
    decoding_seconds: float = 20.0
    decoding_bytes: int = 3 * 2**30
    header_seconds: float = 10.0
    header_bytes: int = 32 * 2**10
    header_count: int = 100
    overhead_bytes: int = 2**20
    pipelined: int = 16
    body_seconds: float = 20.0
    request_seconds: float = 30.0
    connections: int = 512
    concurrent: int = 128
    waiting_images: int = 512
    batch: int = 32
    linger_seconds: float = 0.001
