"""Reading a model file: its bytes, its answers in bounded memory, and the error where a package is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conviction.artefacts.artefact import Answer
from conviction.errors import ArtefactError, RequestError, SourceNotFoundError

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


def read_bytes(path: Path) -> bytes:
    """The content of a model file.

    Raises:
        SourceNotFoundError: There is none.
        ArtefactError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceNotFoundError(f"{path}: there is no such file.") from None
    except OSError as failure:
        raise ArtefactError(f"{path}: cannot be read ({failure.strerror or failure}).") from None


def missing(what: str, failure: ImportError, extra: str) -> RequestError:
    """The error for a package that is an extra."""
    return RequestError(f"{what}: needs {failure.name or 'a package'}: pip install 'conviction[{extra}]'")
