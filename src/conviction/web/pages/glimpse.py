"""How a network that is still learning answers some validation images, by its last checkpoint; for a helper process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from conviction.explanation import activations
from conviction.flow.again import load_again
from conviction.reporting import image_address, printable
from conviction.runs import open_run
from conviction.runs.rows import rows_of_part
from conviction.web.inside.learning import build_again, take_checkpoint

SHOWN = 8


@dataclass(frozen=True)
class Answer:
    """A picture, what it is and what the network says: names, and the probability of what it says."""

    picture: str
    truth: str
    predicted: str
    sure: float

    @property
    def right(self) -> bool:
        """Whether it says what the picture is."""
        return self.truth == self.predicted


@dataclass(frozen=True)
class Glimpse:
    """The answers after ``epoch`` epochs."""

    epoch: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class _Opened:
    model: Any
    pixels: np.ndarray
    labels: list[str]
    class_names: list[str]


def glimpse(path: str, data_dir: str | None, began: float) -> Glimpse:
    """Asks the network as it was at the last checkpoint.

    Args:
        path: A run folder whose training has begun.
        data_dir: Where to look for named sets first.
        began: When it began, so that another run of this name is loaded again.

    Raises:
        RunError: There is no checkpoint yet.
        RequestError: Its data has changed.
    """
    opened = _opened(path, data_dir, began)
    epoch = take_checkpoint(Path(path), opened.model)
    answers = []
    for pixels, truth in zip(opened.pixels, opened.labels, strict=True):
        output = activations(opened.model, pixels)[-1].output
        probabilities = output if len(output) > 1 else np.array([1 - output[0], output[0]])
        predicted = int(probabilities.argmax())
        answers.append(
            Answer(
                image_address(pixels), truth, opened.class_names[predicted], float(probabilities[predicted])
            )
        )
    return Glimpse(epoch, tuple(answers))


@lru_cache(maxsize=1)
def _opened(path: str, data_dir: str | None, began: float) -> _Opened:
    run = open_run(path)
    images = load_again(run, data_dir)
    validation = rows_of_part(run, images, "validation")
    # One of each class before the second of any.
    seen: Counter[int] = Counter()
    turns = []
    for i in validation:
        turns.append(seen[int(images.labels[i])])
        seen[int(images.labels[i])] += 1
    chosen = [validation[k] for k in np.argsort(turns, kind="stable")[:SHOWN]]
    names = [printable(name) for name in images.class_names]
    return _Opened(
        build_again(run, images),
        images.pixels[chosen],
        [names[images.labels[i]] for i in chosen],
        names,
    )
