"""``predictions.npz``: what a run answered for its own images, so that nothing need be predicted twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.audience import call
from conviction.data import ImageSet, Split
from conviction.errors import RunError
from conviction.runs.folder import PREDICTIONS, replacing
from conviction.runs.reading import read_run_file


@dataclass(frozen=True)
class Answers:
    """The answers for one part, image by image in the order of the split.

    Attributes:
        probabilities: (n, classes) float32.
        labels: (n,) int64.
        hashes: n content hashes, in hex.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    hashes: list[str]


def write_predictions(
    run: Path, probabilities: Mapping[str, np.ndarray], images: ImageSet, split: Split
) -> None:
    """Writes the file.

    Args:
        run: The run folder.
        probabilities: (n, classes) by part.
        images: The data.
        split: Which image is in which part.
    """
    content: dict[str, np.ndarray] = {}
    for part, values in probabilities.items():
        index = split.of(part)
        content[f"{part}_probabilities"] = values.astype(np.float32)
        content[f"{part}_labels"] = images.labels[index]
        content[f"{part}_hashes"] = np.frombuffer(images.hashes[index].tobytes(), np.uint8).reshape(
            len(index), -1
        )
    with replacing(run / PREDICTIONS) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def read_predictions(run: Path) -> dict[str, Answers]:
    """By part; "test" is missing if the test set is sealed.

    Raises:
        RunError: There is no such file, or it cannot be read.
    """
    path = run / PREDICTIONS
    if not path.exists():
        raise RunError(f"{run}: it has no predictions. Make them with: {call('evaluate', run)}")
    return read_run_file(path, _answers)


def _answers(path: Path) -> dict[str, Answers]:
    with np.load(path, allow_pickle=False) as archive:
        parts = [name.removesuffix("_labels") for name in archive.files if name.endswith("_labels")]
        return {
            part: Answers(
                archive[f"{part}_probabilities"],
                archive[f"{part}_labels"],
                [row.tobytes().hex() for row in archive[f"{part}_hashes"]],
            )
            for part in parts
        }
