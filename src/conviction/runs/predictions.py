"""``predictions.npz``: what a run answered for its own images, so that nothing need be predicted twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.audience import call
from conviction.config.text import open_regular
from conviction.data import ImageSet, Split
from conviction.data.image_set import PARTS
from conviction.errors import RunError, RunFileError
from conviction.runs.arrays import check_answers, read_arrays
from conviction.runs.data_content import RunData
from conviction.runs.folder import PREDICTIONS, replacing
from conviction.runs.reading import read_run_file
from conviction.runs.run import RunFolder


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
        RunError: There is no such file, it cannot be read, or its numbers cannot be answers of this run.
    """
    path = run / PREDICTIONS
    if not os.path.lexists(path):
        raise RunError(f"{run}: it has no predictions. Make them with: {call('evaluate', run)}")
    try:
        return read_run_file(path, lambda file: _answers(file, RunFolder(run).data))
    except RunFileError as failure:
        if failure.reason != "damaged":
            raise
        raise RunFileError(f"{failure} Make new ones with: {call('evaluate', run)}") from None


def _answers(path: Path, data: RunData) -> dict[str, Answers]:
    classes = len(data.class_names)
    # As they are written; twice that is more than any other way to write them takes.
    most = 2 * data.images * (4 * classes + 8 + 16) + 2**20
    with open_regular(path) as file:
        arrays = read_arrays(file, most)
    parts = [name.removesuffix("_labels") for name in arrays if name.endswith("_labels")]
    names = {f"{part}_{what}" for part in parts for what in ("probabilities", "labels", "hashes")}
    if not {"train", "validation"} <= set(parts) <= set(PARTS) or names != set(arrays):
        raise ValueError("it does not have the answers of each part")
    answers = {}
    for part in parts:
        probabilities, labels, hashes = (
            arrays[f"{part}_{what}"] for what in ("probabilities", "labels", "hashes")
        )
        check_answers(probabilities, labels, hashes, classes)
        answers[part] = Answers(probabilities, labels, [row.tobytes().hex() for row in hashes])
    return answers
