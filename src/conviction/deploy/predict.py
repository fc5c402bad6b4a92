"""Predictions for picture files and folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.data.decode import SUFFIXES, UnreadableImageError, decode
from conviction.data.image_set import Unreadable
from conviction.errors import RequestError, SourceNotFoundError
from conviction.runs import Run

# Decoded pictures in memory at a time.
BATCH = 500


@dataclass(frozen=True)
class Prediction:
    """One picture: its file, the class, and the probability of each class.

    ``label`` is None where the highest probability is below the threshold: the network abstains.
    """

    file: str
    label: str | None
    probability: float
    probabilities: dict[str, float]


def predict_files(
    run: Run, paths: Sequence[Path], threshold: float = 0.0
) -> tuple[list[Prediction], list[Unreadable]]:
    """Classifies picture files.

    Args:
        run: With a trained model.
        paths: Files, or folders that are searched for pictures at every depth.
        threshold: In [0, 1]; below it the label is None.

    Returns:
        (predictions in the order of the paths, files that could not be read).

    Raises:
        SourceNotFoundError: A path does not exist.
        RequestError: The threshold is out of range, or there is no picture at all.
    """
    if not 0.0 <= threshold <= 1.0:
        raise RequestError(f"--threshold: expected a probability from 0 to 1; got {threshold:g}.")
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise RequestError(f"{', '.join(map(str, paths))}: found no picture ({', '.join(SUFFIXES)}) there.")
    predictions: list[Prediction] = []
    unreadable: list[Unreadable] = []
    for start in range(0, len(files), BATCH):
        good, pixels, broken = _decode(run, files[start : start + BATCH])
        unreadable += broken
        if good:
            result = run.predict_pixels(pixels)
            predictions += [
                _prediction(run, file, row, threshold)
                for file, row in zip(good, result.probabilities, strict=True)
            ]
    return predictions, unreadable


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    elif path.exists():
        yield path
    else:
        raise SourceNotFoundError(f"{path}: there is no such file or folder.")


def _decode(run: Run, files: Sequence[Path]) -> tuple[list[Path], np.ndarray, list[Unreadable]]:
    good, pixels, broken = [], [], []
    for file in files:
        try:
            pixels.append(decode(file.read_bytes(), run.rule))
            good.append(file)
        except UnreadableImageError as failure:
            broken.append(Unreadable(name=str(file), reason=str(failure)))
        except OSError as failure:
            broken.append(Unreadable(name=str(file), reason=failure.strerror or str(failure)))
    return good, np.array(pixels, np.uint8), broken


def _prediction(run: Run, file: Path, row: np.ndarray, threshold: float) -> Prediction:
    best = int(row.argmax())
    probability = float(row[best])
    label = run.class_names[best] if probability >= threshold else None
    every = {name: float(p) for name, p in zip(run.class_names, row, strict=True)}
    return Prediction(str(file), label, probability, every)
