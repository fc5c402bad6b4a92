"""Predictions for picture files, folders and archives of them, and what comes on standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from conviction.audience import option
from conviction.data.decode import SUFFIXES, UnreadableImageError, decode
from conviction.data.image_set import Unreadable
from conviction.data.tree import MAX_FILE_BYTES, UnreadableFileError, is_archive, open_tree
from conviction.deploy.artefact import Predictor
from conviction.errors import RequestError, SourceNotFoundError

# Decoded pictures in memory at a time.
BATCH = 500
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Prediction:
    """One picture: its file, the class, and the probability of each class.

    ``label`` is None where the highest probability is below the threshold: the network abstains.
    """

    file: str
    label: str | None
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class PictureFile:
    """A picture that has not been read yet; ``read`` raises ``UnreadableFileError`` or ``OSError``."""

    name: str
    read: Callable[[], bytes]


def predict_files(
    predictor: Predictor, paths: Sequence[Path], threshold: float = 0.0
) -> tuple[list[Prediction], list[Unreadable]]:
    """Classifies picture files.

    Args:
        predictor: A run with a trained model, or an artefact.
        paths: Files; folders, ``.zip`` or ``.tar`` files of them, which are searched for pictures at every depth; or
            ``-``, a picture on standard input.
        threshold: In [0, 1]; below it the label is None.

    Returns:
        (predictions in the order of the paths, files that could not be read).

    Raises:
        SourceNotFoundError: A path does not exist.
        RequestError: The threshold is out of range, or there is no picture at all.
    """
    with picture_files(paths) as files:
        found = list(classify(predictor, files, threshold))
    return (
        [f for f in found if isinstance(f, Prediction)],
        [f for f in found if isinstance(f, Unreadable)],
    )


@contextmanager
def picture_files(paths: Sequence[Path]) -> Iterator[list[PictureFile]]:
    """All pictures of some paths, in order; archives stay open meanwhile, and nothing of them is unpacked.

    Raises:
        SourceNotFoundError: A path does not exist.
        RequestError: There is no picture at all, or an archive cannot be read.
    """
    with ExitStack() as stack:
        files = [file for path in paths for file in _files(path, stack)]
        if not files:
            raise RequestError(
                f"{', '.join(map(str, paths))}: found no picture ({', '.join(SUFFIXES)}) there."
            )
        yield files


def classify(
    predictor: Predictor, files: Sequence[PictureFile], threshold: float = 0.0
) -> Iterator[Prediction | Unreadable]:
    """What each picture is, or why it cannot be read, in order; ``BATCH`` of them are in memory at a time.

    Raises:
        RequestError: The threshold is out of range.
    """
    check_threshold(threshold)
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        decoded = [_decode(predictor, file) for file in some]
        pixels = [d for d in decoded if isinstance(d, np.ndarray)]
        rows = iter(predictor.predict_pixels(np.stack(pixels)).probabilities if pixels else ())
        for file, found in zip(some, decoded, strict=True):
            if isinstance(found, Unreadable):
                yield found
            else:
                yield _prediction(predictor.class_names, file.name, next(rows), threshold)


def check_threshold(threshold: float) -> None:
    """Refuses what is no probability.

    Raises:
        RequestError: It is out of range.
    """
    if not 0.0 <= threshold <= 1.0:
        raise RequestError(f"{option('threshold')}: expected a probability from 0 to 1; got {threshold:g}.")


def _files(path: Path, stack: ExitStack) -> Iterator[PictureFile]:
    if str(path) == STANDARD_INPUT:
        yield PictureFile(STANDARD_INPUT, _standard_input)
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        yield from (PictureFile(str(p), p.read_bytes) for p in found)
    elif not path.exists():
        raise SourceNotFoundError(f"{path}: there is no such file or folder.")
    elif is_archive(path):
        tree = stack.enter_context(open_tree(path))
        names = [name for name in tree.sizes if name.lower().endswith(SUFFIXES)]
        yield from (PictureFile(f"{path}/{name}", partial(tree.read, name)) for name in names)
    else:
        yield PictureFile(str(path), path.read_bytes)


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableFileError(f"larger than {MAX_FILE_BYTES:,} bytes")
    return content


def _decode(predictor: Predictor, file: PictureFile) -> np.ndarray | Unreadable:
    try:
        return decode(file.read(), predictor.rule)
    except (UnreadableImageError, UnreadableFileError) as failure:
        return Unreadable(name=file.name, reason=str(failure))
    except OSError as failure:
        return Unreadable(name=file.name, reason=failure.strerror or str(failure))


def _prediction(class_names: Sequence[str], file: str, row: np.ndarray, threshold: float) -> Prediction:
    best = int(row.argmax())
    probability = float(row[best])
    label = class_names[best] if probability >= threshold else None
    every = {name: float(p) for name, p in zip(class_names, row, strict=True)}
    return Prediction(file, label, probability, every)
