"""One request's pictures, read and decoded in a process that can be ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from conviction.data.decode import UnreadableImageError, declared_size, decode, probe
from conviction.data.rule import DecodingRule
from conviction.server.limits import Limits
from conviction.server.problem import Problem
from conviction.server.reading import Picture, pictures_of

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# A picture up to these bounds takes a few dozen milliseconds at most, whatever it holds.
_LIGHT_BYTES, _LIGHT_PIXELS, _LIGHT_SCANS = 2**18, 2_000_000, 16
_PROGRAM = "from conviction.server.decoder import main; main()"
# One per core for the libraries of the child too, which would otherwise keep threads and memory that nobody needs.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class DecodedPicture:
    """One picture after its decoding.

    Attributes:
        name: As in ``Picture``.
        outcome: (height, width, channels) uint8, or why the picture has none.
    """

    name: str
    outcome: np.ndarray | Problem


def is_light(content: bytes | None) -> bool:
    """Whether decoding a picture is a matter of milliseconds, by what its first bytes declare.

    JPEG and PNG alone: what a TIFF, a WebP or a GIF costs cannot be told from its header.
    """
    if content is None:
        return True
    if len(content) > _LIGHT_BYTES:
        return False
    if content.startswith(_PNG):
        width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
        return content[12:16] == b"IHDR" and width * height <= _LIGHT_PIXELS
    if not content.startswith(_JPEG) or content.count(b"\xff\xda") > _LIGHT_SCANS:
        return False
    import simplejpeg

    try:
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
    except (ValueError, RuntimeError):
        return False
    return bool(width * height <= _LIGHT_PIXELS)


def decoded(picture: Picture, rule: DecodingRule, limits: Limits) -> np.ndarray | Problem:
    """(height, width, channels) uint8, or why the picture has none."""
    if picture.content is None:
        return Problem("unreadable-picture", "it is not base64")
    try:
        width, height = declared(picture.content)
        if width * height > limits.pixels:
            return Problem(
                "unreadable-picture",
                f"it declares {width}x{height} pixels; at most {limits.pixels:,} are accepted",
            )
        return decode(picture.content, rule)
    except UnreadableImageError as failure:
        return Problem("unreadable-picture", str(failure))
    except MemoryError:
        return Problem("unreadable-picture", "there is not enough memory to decode it")


def declared(content: bytes) -> tuple[int, int]:
    """(width, height) by the header; no pixel is decoded. Raises as ``declared_size``."""
    if content.startswith(_JPEG):  # for which ``probe`` has the quicker way
        header = probe(content)
        return header.width, header.height
    return declared_size(content)


def decoded_request(
    body: bytes, content_type: str, rule: DecodingRule, limits: Limits
) -> list[tuple[str, np.ndarray | Problem]]:
    """The pictures of a body, each with its pixels or why it has none.

    Raises:
        Problem: As ``pictures_of``; or all pictures together declare more than ``limits.request_pixels``.
    """
    pictures = pictures_of(body, content_type, limits.files)
    total = 0
    for picture in pictures:
        with contextlib.suppress(UnreadableImageError):
            width, height = declared(picture.content or b"")
            total += width * height if width * height <= limits.pixels else 0
    if total > limits.request_pixels:
        raise Problem(
            "too-many-pixels",
            f"The pictures declare {total:,} pixels; at most {limits.request_pixels:,} are accepted in one request. "
            "Send several requests.",
        )
    return [(picture.name, decoded(picture, rule, limits)) for picture in pictures]


class Decoders:
    """Processes that read and decode what may take long; a request has one of them at a time.

    Args:
        rule: Of the model.
        limits: ``decoding_seconds``, ``decoding_bytes``, and the bounds of pictures.
        processes: At most; they are started when they are needed.
    """

    def __init__(self, rule: DecodingRule, limits: Limits, processes: int) -> None:
        self._rule = rule
        self._limits = limits
        self._threads = ThreadPoolExecutor(processes, "decoder")
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Where ``read`` is to be called."""
        return self._threads

    def read(self, body: bytes, content_type: str) -> list[DecodedPicture]:
        """The pictures of a body.

        Raises:
            Problem: As ``decoded_request``; or the process took too long, or ended.
        RuntimeError: A fault of ours there; the message has its traceback.
        """
        process = self._process()
        slow = threading.Event()

        def end() -> None:
            slow.set()
            process.kill()

        clock = threading.Timer(self._limits.decoding_seconds, end)
        clock.daemon = True
        clock.start()
        try:
            answer = _ask(process, body, content_type, self._rule)
        except (OSError, ValueError):  # it has ended
            process.kill()
            process.wait()
            _close(process)
            reason = (
                f"reading and decoding took longer than {self._limits.decoding_seconds:g} s"
                if slow.is_set()
                else "decoding ended the process that did it"
            )
            raise Problem("unreadable-picture", f"The pictures cannot be read: {reason}.") from None
        finally:
            clock.cancel()
        if slow.is_set():  # its answer came at the last moment
            process.wait()
            _close(process)
        else:
            self._idle.put(process)
        return answer

    def _process(self) -> subprocess.Popen[bytes]:
        while True:
            try:
                process = self._idle.get_nowait()
            except queue.Empty:
                break
            if process.poll() is None:
                return process
            _close(process)
        settings = {
            "rule": self._rule.model_dump(mode="json"),
            "limits": {name: getattr(self._limits, name) for name in SENT},
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the log is JSON alone
            env={**os.environ, **_ONE_THREAD},
        )


SENT = ("files", "pixels", "request_pixels", "decoding_seconds", "decoding_bytes")


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _ask(
    process: subprocess.Popen[bytes], body: bytes, content_type: str, rule: DecodingRule
) -> list[DecodedPicture]:
    assert process.stdin is not None
    assert process.stdout is not None
    send(process.stdin, {"content_type": content_type, "bytes": len(body)}, body)
    answer = receive(process.stdout)
    if "failure" in answer:
        raise RuntimeError(answer["failure"])
    if "problem" in answer:
        raise Problem(*answer["problem"])
    pictures = []
    for name, problem in answer["pictures"]:
        if problem is not None:
            pictures.append(DecodedPicture(name, Problem(*problem)))
            continue
        pixels = exactly(process.stdout, rule.height * rule.width * rule.channels)
        pictures.append(DecodedPicture(name, np.frombuffer(pixels, np.uint8).reshape(rule.shape)))
    return pictures


def send(pipe: IO[bytes], head: dict[str, Any], content: bytes = b"") -> None:
    """Writes one line of JSON and what follows it."""
    pipe.write(json.dumps(head).encode() + b"\n")
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes]) -> dict[str, Any]:
    """Reads one line of JSON.

    Raises:
        ValueError: The other side has ended.
    """
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise ValueError("the pipe was closed")
    head: dict[str, Any] = json.loads(line)
    return head


def exactly(pipe: IO[bytes], count: int) -> bytes:
    """Reads ``count`` bytes.

    Raises:
        ValueError: The other side has ended.
    """
    content = pipe.read(count)
    if len(content) < count:
        raise ValueError("the pipe was closed")
    return content
