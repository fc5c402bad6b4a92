"""The images of a run in its source as it is read now: they are known by content, whatever they are called today."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from conviction.audience import typed
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.runs import folder
from conviction.runs.run import RunFolder


def fit_again(run: RunFolder) -> str:
    """The command that starts a new run like this one."""
    return f"conviction fit {typed(run.data.source)} --config {typed(run.path / folder.CONFIG)}"


def rows_of_part(run: RunFolder, images: ImageSet, part: str) -> np.ndarray:
    """The rows of the images of "train", "validation" or "test", in the run's order; as ``rows_of_run``."""
    split = run.split.of(part)
    return rows_of_run(run, images, split.values(), split)


def rows_of_run(
    run: RunFolder, images: ImageSet, hashes: Iterable[str], names: Iterable[str] = ()
) -> np.ndarray:
    """The rows of images of a run, as ``ImageSet.rows_of`` gives them; (n,) int64.

    Raises:
        RequestError: Some are gone or changed.
    """
    rows = images.rows_of(hashes, names)
    present = [row for row in rows if row is not None]
    if len(present) < len(rows):
        raise RequestError(
            f"{images.location}: the data has changed since the run started: {len(rows) - len(present)} of "
            f"{len(rows)} images of the run are gone or changed. Put them back, or start a new run with: "
            f"{fit_again(run)}"
        )
    return np.array(present, np.int64)
