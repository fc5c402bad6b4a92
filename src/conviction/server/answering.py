"""From the bytes of pictures to predictions: bounded admission, decoding in threads, batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.backend import usable_cores
from conviction.data.decode import UnreadableImageError, decode, probe
from conviction.data.rule import DecodingRule
from conviction.server.batching import Batcher
from conviction.server.limits import Limits
from conviction.server.measures import Measures
from conviction.server.occlusion import Patches
from conviction.server.problem import Problem, busy
from conviction.server.reading import Picture, pictures_of

# More threads decode no faster, and each may hold a large picture.
MOST_THREADS = 4
# A body below this many bytes is read faster than it is handed to a thread.
SMALL_BODY = 2**18


class Answering:
    """Answers requests with one artefact.

    Args:
        artefact: Open.
        limits: ``files``, ``pixels``, ``waiting_images`` and those of the batches.
        measures: Receives the number of images that wait.
    """

    def __init__(self, artefact: Artefact, limits: Limits, measures: Measures) -> None:
        self.artefact = artefact
        self._limits = limits
        self._measures = measures
        self._batcher = Batcher(artefact.answer, limits, measures)
        self._threads = ThreadPoolExecutor(min(MOST_THREADS, usable_cores()), "decode")
        self._images = 0

    async def read(self, body: bytes, content_type: str) -> list[Picture]:
        """The pictures in a body; raises as ``pictures_of``."""
        if len(body) < SMALL_BODY:
            return pictures_of(body, content_type, self._limits.files)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, pictures_of, body, content_type, self._limits.files)

    async def predict(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """What the network says of each picture, in the order of the pictures.

        Raises:
            Problem: 422 if none of them can be read, 503 if too many images wait.
        """
        with self._admitted(len(pictures)):
            waiting = [self._classified(picture) for picture in pictures]
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

    async def occlusion(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """Where a grey patch makes the likeliest class of one picture less probable.

        Raises:
            Problem: 413 for several pictures, 422 if it cannot be read, 503 if too many images wait.
        """
        if len(pictures) > 1:
            raise Problem("too-many-pictures", "An occlusion map is made of one picture at a time.")
        rule = self.artefact.rule
        patches = Patches.over(rule.height, rule.width)
        with self._admitted(1 + patches.rows * patches.columns):
            loop = asyncio.get_running_loop()
            pixels = await loop.run_in_executor(
                self._threads, decoded, pictures[0], rule, self._limits.pixels
            )
            if isinstance(pixels, Problem):
                raise _unreadable(pictures, pixels)
            future: asyncio.Future[np.ndarray] = loop.create_future()
            self._batcher.put(np.concatenate([pixels[None], patches.occluded(pixels)]), future)
            answers = await future
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

    def _classified(self, picture: Picture) -> asyncio.Future[Any]:
        """A future of (1, classes) float32, or of the problem with the picture."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._batcher.expect(1)
        self._threads.submit(self._decode, picture, future)
        return future

    def _decode(self, picture: Picture, future: asyncio.Future[Any]) -> None:
        """In a thread: on to the batches, without another turn of the event loop."""
        try:
            if future.cancelled():  # its request was cancelled
                return
            pixels = decoded(picture, self.artefact.rule, self._limits.pixels)
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
        best = int(row.argmax())
        values: list[float] = row.tolist()
        if not np.isfinite(row).all():
            raise Problem(
                "internal-error", f"For {file[:200]} the network gives values that are not numbers."
            )
        names = self.artefact.card.class_names
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


def decoded(picture: Picture, rule: DecodingRule, most_pixels: int) -> np.ndarray | Problem:
    """(height, width, channels) uint8, or why the picture has none."""
    if picture.content is None:
        return Problem("unreadable-picture", "it is not base64")
    try:
        header = probe(picture.content)
        if header.width * header.height > most_pixels:
            return Problem(
                "unreadable-picture",
                f"it declares {header.width}x{header.height} pixels; at most {most_pixels:,} are accepted",
            )
        return decode(picture.content, rule)
    except UnreadableImageError as failure:
        return Problem("unreadable-picture", str(failure))
    except MemoryError:
        return Problem("unreadable-picture", "there is not enough memory to decode it")


def _unreadable(pictures: Sequence[Picture], first: Problem) -> Problem:
    which = "" if len(pictures) == 1 else f"None of the {len(pictures)} pictures can be read. "
    return Problem("unreadable-picture", f"{which}{pictures[0].name[:200]}: {first.detail}.")
