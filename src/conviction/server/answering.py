"""From the bytes of pictures to predictions: bounded admission, decoding in threads, batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.backend import usable_cores
from conviction.data.decision import decide
from conviction.server.batching import Batcher
from conviction.server.decoding import DecodedPicture, Decoders, decoded, is_light
from conviction.server.limits import Limits
from conviction.server.measures import Measures
from conviction.server.occlusion import Patches
from conviction.server.problem import Problem, busy
from conviction.server.reading import Picture, pictures_of

# More threads decode no faster, and each may hold a large picture.
MOST_THREADS = 4
# A body up to this many bytes is read faster than it is handed on.
SMALL_BODY = 2**18
# One request has one process that decodes, so with two of them a slow one does not stop the next.
LEAST_DECODERS = 2
# Of an occlusion map, so many images are calculated between those of other requests.
OCCLUDED_AT_ONCE = 8


class Answering:
    """Answers requests with one artefact.

    Args:
        artefact: Open.
        limits: ``files``, ``pixels``, ``waiting_images``, those of decoding and those of the batches.
        measures: Receives the number of images that wait.
    """

    def __init__(self, artefact: Artefact, limits: Limits, measures: Measures) -> None:
        self.artefact = artefact
        self._limits = limits
        self._measures = measures
        self._batcher = Batcher(artefact.answer, limits, measures)
        self._width = min(MOST_THREADS, usable_cores())
        self._threads = ThreadPoolExecutor(self._width, "decode")
        self._decoders = Decoders(artefact.rule, limits, max(LEAST_DECODERS, self._width))
        self._images = 0

    async def read(self, body: bytes, content_type: str) -> Sequence[Picture | DecodedPicture]:
        """The pictures in a body: those that are decoded within milliseconds as they are, any others decoded.

        Raises:
            Problem: As ``decoded_request``; 503 if too many images wait.
        """
        if len(body) <= SMALL_BODY:
            pictures = pictures_of(body, content_type, self._limits.files)
            if all(is_light(picture.content) for picture in pictures):
                return pictures
        with self._admitted(1):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._decoders.threads, self._decoders.read, body, content_type)

    async def predict(self, pictures: Sequence[Picture | DecodedPicture]) -> dict[str, Any]:
        """What the network says of each picture, in the order of the pictures.

        Raises:
            Problem: 422 if none of them can be read, 503 if too many images wait.
        """
        with self._admitted(len(pictures)):
            waiting = self._classified(pictures)
            # One picture needs no gathering, which would take another turn of the loop; several are cancelled together.
            outcomes = [await waiting[0]] if len(waiting) == 1 else await asyncio.gather(*waiting)
        problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
        if len(problems) == len(outcomes):
            raise _unreadable(pictures, problems[0])
        predictions = [
            {"file": picture.name, "error": outcome.members()}
            if isinstance(outcome, Problem)
            else self._prediction(picture.name, outcome[0])
            for picture, outcome in zip(pictures, outcomes, strict=True)
        ]
        return {"model": self.artefact.card.name, "predictions": predictions}

    async def occlusion(self, pictures: Sequence[Picture | DecodedPicture]) -> dict[str, Any]:
        """Where a grey patch makes the likeliest class of one picture less probable.

        Raises:
            Problem: 413 for several pictures, 422 if it cannot be read, 503 if too many images wait.
        """
        if len(pictures) > 1:
            raise Problem("too-many-pictures", "An occlusion map is made of one picture at a time.")
        rule = self.artefact.rule
        patches = Patches.over(rule.height, rule.width)
        with self._admitted(1 + patches.rows * patches.columns):
            picture = pictures[0]
            loop = asyncio.get_running_loop()
            pixels = (
                picture.outcome
                if isinstance(picture, DecodedPicture)
                else await loop.run_in_executor(self._threads, decoded, picture, rule, self._limits)
            )
            if isinstance(pixels, Problem):
                raise _unreadable(pictures, pixels)
            images = np.concatenate([pixels[None], patches.occluded(pixels)])
            rows = []
            for at in range(0, len(images), OCCLUDED_AT_ONCE):
                future: asyncio.Future[np.ndarray] = loop.create_future()
                self._batcher.put(images[at : at + OCCLUDED_AT_ONCE], future)
                rows.append(await future)
            answers = np.concatenate(rows)
        drops = patches.drops(answers[0], answers[1:])
        return {
            "model": self.artefact.card.name,
            **self._prediction(pictures[0].name, answers[0]),
            "cell": list(patches.cell),
            "drops": drops.tolist(),
        }

    @contextmanager
    def _admitted(self, images: int) -> Iterator[None]:
        # A request larger than the whole queue is admitted when nothing waits; otherwise it never could be.
        if self._images and self._images + images > self._limits.waiting_images:
            raise busy(f"{self._images} images are already waiting.")
        self._images += images
        self._measures.waiting(self._images)
        try:
            yield
        finally:
            self._images -= images
            self._measures.waiting(self._images)

    def _classified(self, pictures: Sequence[Picture | DecodedPicture]) -> list[asyncio.Future[Any]]:
        """A future for each picture, of (1, classes) float32 or of the problem with it."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in pictures]
        waiting: deque[tuple[Picture, asyncio.Future[Any]]] = deque()
        for picture, future in zip(pictures, futures, strict=True):
            if isinstance(picture, Picture):
                waiting.append((picture, future))
            elif isinstance(picture.outcome, Problem):
                future.set_result(picture.outcome)
            else:
                self._batcher.put(picture.outcome[None], future)
        self._batcher.expect(len(waiting))
        for _ in range(min(len(waiting), self._width)):
            self._threads.submit(self._decode_next, waiting)
        return futures

    def _decode_next(self, waiting: deque[tuple[Picture, asyncio.Future[Any]]]) -> None:
        """In a thread: one picture of a request; its next one goes behind those of other requests."""
        try:
            picture, future = waiting.popleft()
        except IndexError:
            return
        self._decode(picture, future)
        if waiting:
            self._threads.submit(self._decode_next, waiting)

    def _decode(self, picture: Picture, future: asyncio.Future[Any]) -> None:
        """In a thread: on to the batches, without another turn of the event loop."""
        try:
            if future.cancelled():  # its request was cancelled
                return
            pixels = decoded(picture, self.artefact.rule, self._limits)
            if isinstance(pixels, Problem):
                future.get_loop().call_soon_threadsafe(_settle, future, pixels)
            else:
                self._batcher.put(pixels[None], future)
        except Exception as failure:  # no error is expected here, but the request that waits must get it
            future.get_loop().call_soon_threadsafe(_settle, future, failure)
        finally:
            self._batcher.expect(-1)

    def _prediction(self, file: str, row: np.ndarray) -> dict[str, Any]:
        """The answer for one picture, from its (classes,) probabilities."""
        card = self.artefact.card
        best = int(decide(row[np.newaxis], card.class_names, card.decision)[0])
        values: list[float] = row.tolist()
        if not np.isfinite(row).all():
            raise Problem(
                "internal-error", f"For {file[:200]} the network gives values that are not numbers."
            )
        names = card.class_names
        return {
            "file": file,
            "label": names[best],
            "probability": values[best],
            "probabilities": dict(zip(names, values, strict=True)),
        }


def _settle(future: asyncio.Future[Any], outcome: Problem | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Problem):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


def _unreadable(pictures: Sequence[Picture | DecodedPicture], first: Problem) -> Problem:
    which = "" if len(pictures) == 1 else f"None of the {len(pictures)} pictures can be read. "
    return Problem("unreadable-picture", f"{which}{pictures[0].name[:200]}: {first.detail}.")
