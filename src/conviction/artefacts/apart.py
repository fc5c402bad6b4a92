"""Opening a model file in a process of its own, with limits: what it does to that process, it does not do to this one.

    python -P -m conviction.artefacts.apart FORMAT PATH

The process opens the file as any other would, with all checks, and answers a black image. Of SavedModel and Keras files
it goes on answering, so that TensorFlow is imported once, and there. ONNX and LiteRT are then opened here as well,
because their answers must come fast.

Both sides send a line of JSON and as many bytes as it says; nothing that arrives is more than numbers and text.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np

from conviction.artefacts import limits
from conviction.artefacts.artefact import Artefact
from conviction.artefacts.bounds import MOST_CARD_BYTES
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats import FORMATS
from conviction.backend import BACKEND_VARIABLE, backend_of_exports
from conviction.errors import ArtefactError, ConvictionError, RequestError, SourceNotFoundError
from conviction.process import own_process

# The card is text within text, so that each of its letters may become six.
MOST_LINE = 6 * MOST_CARD_BYTES
MOST_MESSAGE = 2_000
REFUSALS = {kind.__name__: kind for kind in (ArtefactError, RequestError, SourceNotFoundError)}


def open_apart(form: str, path: Path) -> Artefact:
    """An artefact whose answers come from a process with limits.

    Args:
        form: The name of its format.
        path: Its file or folder.

    Raises:
        ArtefactError: It was refused there, or the process has not survived it.
        RequestError: A package that is an extra is missing.
    """
    process = _Apart(form, path)
    return Artefact(path, process.open(), process.answer)


def try_apart(form: str, path: Path) -> None:
    """Opens the file in a process with limits, and ends that; raises as ``open_apart`` does."""
    process = _Apart(form, path)
    process.open()
    process.end()


class _Apart:
    """The process, started when it is first needed, and again after an answer was interrupted or in a forked copy."""

    def __init__(self, form: str, path: Path) -> None:
        self._form, self._path = form, path
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._classes = 0
        self.end: Any = lambda: None

    def open(self) -> Card:
        """The card of the file, once the process has opened it."""
        self._process = start(self._form, self._path)
        self._pid = os.getpid()
        self.end = weakref.finalize(self, _end, self._process, self._pid)
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.end()

        watch = threading.Timer(limits.SECONDS, stop)
        watch.start()
        try:
            head, _ = self._reply(0)
        except BaseException:
            self.end()
            if late.is_set():
                raise ArtefactError(
                    f"{self._path}: not opened; that took more than {limits.SECONDS} seconds. Export it again from "
                    "its run, or open it when this machine has less to do."
                ) from None
            raise
        finally:
            watch.cancel()
        card = parse_card(str(head.get("card")), self._path)
        self._classes = len(card.class_names)
        return card

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        """(n, height, width, channels) uint8 -> (n, classes) float32."""
        with self._one_at_a_time:
            if self._process is None or self._pid != os.getpid():
                self.open()
            assert self._process is not None
            assert self._process.stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # why it ended, its silence says
                    send(self._process.stdin, {"shape": pixels.shape}, np.ascontiguousarray(pixels).tobytes())
                _, content = self._reply(4 * len(pixels) * self._classes)
            except BaseException:
                self._process = None
                self.end()  # what it may still say belongs to no question
                raise
            return np.frombuffer(content, np.float32).reshape(len(pixels), self._classes).copy()

    def _reply(self, size: int) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            head, content = receive(self._process.stdout, size)
        except (EOFError, ValueError, OSError):
            self.end()
            raise ArtefactError(f"{self._path}: not opened; {_ending(self._process.returncode)}") from None
        if "refused" in head:
            self.end()
            kind = REFUSALS.get(str(head["refused"]), ArtefactError)
            raise kind(str(head.get("message"))[:MOST_MESSAGE])
        return head, content


def start(form: str, path: Path) -> subprocess.Popen[bytes]:
    """Starts the process; ``main`` is what it does."""
    environment = {
        **os.environ,
        BACKEND_VARIABLE: backend_of_exports(),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # The memory of a GPU belongs to the program that asks; and a limit of memory is none there.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    # -P: a module that lies beside the model is not imported.
    command = [sys.executable, "-P", "-m", __name__, form, str(path)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the program that asks, which ends this one
    )


def _end(process: subprocess.Popen[bytes], pid: int) -> None:
    if os.getpid() != pid:  # a forked copy: the process is not its own
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _ending(code: int | None) -> str:
    try:
        how = f"by {signal.Signals(-(code or 0)).name}"
    except ValueError:
        how = f"with exit code {code}"
    return (
        f"the process that opened it ended {how}. It is damaged or made to do harm, or needs more memory than a "
        "network of its size; export it again from its run."
    )


def send(pipe: IO[bytes], head: dict[str, Any], content: bytes = b"") -> None:
    """A line of JSON, which says how many bytes follow, and these bytes."""
    pipe.write(json.dumps({**head, "bytes": len(content)}).encode() + b"\n")
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes], most: int) -> tuple[dict[str, Any], bytes]:
    """What ``send`` has sent.

    Raises:
        EOFError: The other side has gone.
        ValueError: It sends something else, or more than ``most`` bytes.
    """
    line = pipe.readline(MOST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        head = json.loads(line)
    except RecursionError:
        raise ValueError(line[:100]) from None
    size = head.get("bytes") if isinstance(head, dict) else None
    if type(size) is not int or not 0 <= size <= most:
        raise ValueError(line[:100])
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return head, content


def main(form: str, path: str) -> None:
    """Opens the file and answers until standard input ends."""
    own_process()
    asked, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what a runtime prints is no reply
    tempfile.gettempdir()  # tries a file in each folder, and there will be none of any size
    limits.limit_process(Path(path))
    try:
        artefact = FORMATS[form].read(Path(path), None)
    except ConvictionError as failure:
        send(replies, {"refused": type(failure).__name__, "message": str(failure)})
        return
    except MemoryError:
        needed = limits.most_bytes(Path(path))
        message = f"{path}: needs more than {needed:,} bytes of memory to be opened, so it is not a network of ours."
        send(replies, {"refused": "ArtefactError", "message": message})
        return
    send(replies, {"card": artefact.card.model_dump_json()})
    limits.relax()
    while True:
        try:
            head, content = receive(asked, sys.maxsize)
        except EOFError:
            return
        pixels = np.frombuffer(content, np.uint8).reshape(head["shape"])
        send(replies, {}, np.ascontiguousarray(artefact.answer(pixels), np.float32).tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
