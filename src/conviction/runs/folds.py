"""``folds.npz``: the answers of networks to images that they had not seen, fold by fold as they are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.config.evaluation import MOST_REPETITIONS
from conviction.config.text import open_regular
from conviction.data import ImageSet
from conviction.runs.arrays import check_answers, read_arrays
from conviction.runs.data_content import RunData
from conviction.runs.folder import DATA, FOLDS, replacing
from conviction.runs.reading import read_run_file
from conviction.runs.run import RunFolder


@dataclass(frozen=True)
class OutOfFold:
    """Answers to all images outside the test set, in the order of their index in the set.

    Attributes:
        key: Of what decides the answers: the specification, and which image is in which fold.
        probabilities: (repetitions, n, classes) float32, not a number where a fold is still missing.
        labels: (n,) int64.
        hashes: (n, 16) uint8, the contents of the images.
        fold: (repetitions, n) int64 from 0: in which fold an image is.
        learned: (repetitions, folds) int64: how many images the network that answers a fold learns from.
    """

    key: str
    probabilities: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    fold: np.ndarray
    learned: np.ndarray

    @property
    def done(self) -> list[tuple[int, int]]:
        """The repetition and number of each fold that has been answered."""
        answered = np.isfinite(self.probabilities).all(axis=2)
        return [
            (r, k)
            for r in range(len(self.fold))
            for k in range(self.learned.shape[1])
            if answered[r][self.fold[r] == k].all()
        ]

    def is_of(self, images: ImageSet, index: np.ndarray) -> bool:
        """Whether these are answers to these images, (n,) in ascending order."""
        return np.array_equal(self.hashes, contents(images, index))


def contents(images: ImageSet, index: np.ndarray) -> np.ndarray:
    """(n, 16) uint8: the content hashes of images."""
    return np.frombuffer(images.hashes[index].tobytes(), np.uint8).reshape(len(index), -1)


def write_folds(run: Path, answers: OutOfFold) -> None:
    """Writes the file.

    Raises:
        StorageError, OutputError: It cannot be written; the one before is untouched.
    """
    with replacing(run / FOLDS) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **vars(answers) | {"key": np.array(answers.key)})


def read_folds(run: Path) -> OutOfFold:
    """Reads the file.

    Raises:
        RunFileError: It is missing, or cannot be read.
    """
    data = RunFolder(run).data if os.path.lexists(run / DATA) else None
    return read_run_file(run / FOLDS, lambda path: _answers(path, data))


def _answers(path: Path, data: RunData | None) -> OutOfFold:
    most = 2**30
    if data is not None:
        # Probabilities and a fold for each repetition; the label and the hash.
        most = 2 * data.images * (MOST_REPETITIONS * (4 * len(data.class_names) + 8) + 8 + 16) + 2**20
    with open_regular(path) as file:
        arrays = read_arrays(file, most)
    classes = len(data.class_names) if data is not None else arrays["probabilities"].shape[-1]
    key = arrays.pop("key")
    names = ("probabilities", "labels", "hashes", "fold", "learned")
    answers = OutOfFold(key=str(key), **{name: arrays[name] for name in names})
    check_answers(answers.probabilities, answers.labels, answers.hashes, classes, missing=True)
    n, fold, learned = len(answers.labels), answers.fold, answers.learned
    whole = fold.dtype.kind in "iu" and learned.dtype.kind in "iu" and key.dtype.kind == "U"
    shapes = (answers.probabilities.shape[:-1], fold.shape, len(learned))
    if not whole or fold.ndim != 2 or learned.ndim != 2 or shapes != (fold.shape, (len(fold), n), len(fold)):
        raise ValueError("its arrays do not belong together")
    if not n or not len(fold) or not 0 <= fold.min() <= fold.max() < learned.shape[1] or learned.min() < 1:
        raise ValueError("its folds are not those of its images")
    return answers
