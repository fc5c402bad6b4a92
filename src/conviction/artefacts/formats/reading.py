"""Reading a model file: its answers in bounded memory, and the error where a package is missing."""

from __future__ import annotations

import numpy as np

from conviction.artefacts.artefact import Answer
from conviction.errors import RequestError

# Images at a time: more are no faster, and take memory.
CHUNK = 128


def in_chunks(answer: Answer) -> Answer:
    """The same answers for any number of images, in bounded memory."""

    def whole(pixels: np.ndarray) -> np.ndarray:
        if len(pixels) <= CHUNK:
            return answer(pixels)
        parts = [answer(pixels[start : start + CHUNK]) for start in range(0, len(pixels), CHUNK)]
        return np.concatenate(parts)

    return whole


def missing(what: str, failure: ImportError, extra: str) -> RequestError:
    """The error for a package that is an extra."""
    return RequestError(f"{what}: needs {failure.name or 'a package'}: pip install 'conviction[{extra}]'")
