"""Pictures that arrive together share one call of the network."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from dataclasses import dataclass

import numpy as np

from conviction.artefacts.artefact import Answer
from conviction.server.limits import Limits
from conviction.server.measures import Measures


@dataclass(frozen=True)
class Waiting:
    """Pixels (n, height, width, channels) uint8, and the future that waits for their (n, classes)."""

    pixels: np.ndarray
    future: asyncio.Future[np.ndarray]


class Batcher:
    """Joins waiting pictures into batches, in a thread of its own.

    A picture alone is answered at once. While one batch is calculated, the next one gathers; if other pictures are
    being decoded, it waits for them a moment. Between the network and a waiting request there is only one step of the
    event loop, because each step takes long under load.

    Args:
        answer: (n, height, width, channels) uint8 -> (n, classes) float32.
        limits: ``batch`` and ``linger_seconds``.
        measures: Receives the size of each batch.
    """

    def __init__(self, answer: Answer, limits: Limits, measures: Measures) -> None:
        self._answer = answer
        self._limits = limits
        self._measures = measures
        self._queue: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._held: Waiting | None = None
        self._coming = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name="answer", daemon=True).start()

    def expect(self, change: int) -> None:
        """Announces pictures that will come (1), or one that has come or never will (-1)."""
        with self._lock:
            self._coming += change

    def put(self, pixels: np.ndarray, future: asyncio.Future[np.ndarray]) -> None:
        """Queues (n, height, width, channels) uint8, from any thread; the future gets (n, classes)."""
        self._queue.put(Waiting(pixels, future))

    def _work(self) -> None:
        while True:
            batch = self._gather()
            answers: list[np.ndarray] | Exception
            try:
                pixels = np.concatenate([one.pixels for one in batch]) if len(batch) > 1 else batch[0].pixels
                self._measures.batch(len(pixels))
                ends = np.cumsum([len(one.pixels) for one in batch])
                answers = np.split(self._answer(pixels), ends[:-1])
            except Exception as failure:  # whatever the runtime raises, each request gets it
                answers = failure
            try:
                batch[0].future.get_loop().call_soon_threadsafe(_deliver, batch, answers)
            except RuntimeError:
                return  # the loop is closed: the server ends

    def _gather(self) -> list[Waiting]:
        first = self._held or self._queue.get()
        self._held = None
        batch, images = [first], len(first.pixels)
        until = time.monotonic() + self._limits.linger_seconds
        while images < self._limits.batch:
            try:
                left = until - time.monotonic() if self._coming else 0.0
                one = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if one.future.cancelled():  # its request was cancelled
                continue
            images += len(one.pixels)
            if images > self._limits.batch:
                self._held = one
                break
            batch.append(one)
        return batch


def _deliver(batch: list[Waiting], answers: list[np.ndarray] | Exception) -> None:
    for i, one in enumerate(batch):
        if one.future.done():
            continue
        if isinstance(answers, Exception):
            one.future.set_exception(answers)
        else:
            one.future.set_result(answers[i])
