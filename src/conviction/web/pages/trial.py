"""What a finished network says about somebody's own picture; for a helper process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from conviction.data.decode import UnreadableImageError, decode
from conviction.errors import RequestError
from conviction.reporting import image_address, printable
from conviction.runs import RunFolder, folder, open_run

# In bytes, of one picture.
MOST_PICTURE = 20_000_000


@dataclass(frozen=True)
class Trial:
    """An answer.

    Attributes:
        label: What the network says, by the threshold of the run where it has one.
        class_names: For people, in order.
        probabilities: One for each class, as ``conviction predict`` gives them.
        seen: The picture as the network gets it, as an address with its data.
    """

    label: str
    class_names: list[str]
    probabilities: list[float]
    seen: str


def try_picture(path: str, content: bytes) -> Trial:
    """Asks the network of a run about the bytes of a picture file.

    Raises:
        RunError: There is no such run, or it has not ended.
        RequestError: It is not a picture.
    """
    run = _opened(path, (Path(path) / folder.MODEL).stat().st_mtime_ns)
    try:
        pixels = decode(content, run.rule)
    except UnreadableImageError as failure:
        raise RequestError(f"This file cannot be read as a picture: {failure}.") from None
    answer = run.predict_pixels(pixels[np.newaxis])
    return Trial(
        printable(answer.labels[0]),
        [printable(name) for name in answer.class_names],
        [round(float(share), 5) for share in answer.probabilities[0]],
        image_address(pixels),
    )


@lru_cache(maxsize=2)
def _opened(path: str, changed: int) -> RunFolder:
    """The run, read again where training has gone on."""
    return open_run(path)
