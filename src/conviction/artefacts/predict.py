"""Predictions for picture files, for folders and archives of them, and for a picture on standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from conviction.artefacts.artefact import Predictor
from conviction.audience import option
from conviction.data.decision import decide
from conviction.data.decode import SUFFIXES, UnreadableImageError, decode
from conviction.data.image_set import Unreadable
from conviction.data.listing import list_pictures
from conviction.data.tree import MAX_FILE_BYTES, UnreadableFileError, is_archive, open_tree
from conviction.data.unused import PassedOver, Unused, count_unused, unused_sentence
from conviction.errors import RequestError, SourceNotFoundError

# Decoded pictures in memory at a time.
BATCH = 500
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class FilePrediction:
    """One picture: its file, the class, and the probability of each class.

    ``label`` is None where the network abstains, because its highest probability is too low; ``probability`` is then
    that one, and otherwise that of the label.
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


@contextmanager
def picture_files(paths: Sequence[Path]) -> Iterator[tuple[list[PictureFile], tuple[Unused, ...]]]:
    """All pictures of some paths, in order, and what else is there; archives stay open meanwhile, and nothing is
    unpacked. What is passed over in a folder or an archive is what ``fit`` passes over there.

    Raises:
        SourceNotFoundError: A path does not exist.
        RequestError: There is no picture at all, or an archive cannot be read.
    """
    with ExitStack() as stack:
        passed: list[PassedOver] = []
        files = [file for path in paths for file in _files(path, stack, passed)]
        unused = count_unused(passed)
        if not files:
            raise RequestError(
                f"{', '.join(map(str, paths))}: found no picture ({', '.join(SUFFIXES)}) there. "
                f"{unused_sentence(unused)}".rstrip()
            )
        yield files, unused


def classify(
    predictor: Predictor, files: Sequence[PictureFile], abstain_below: float = 0.0
) -> Iterator[FilePrediction | Unreadable]:
    """What each picture is, or why it cannot be read, in order; ``BATCH`` of them are in memory at a time.

    Raises:
        RequestError: ``abstain_below`` is out of range.
    """
    check_abstain_below(abstain_below)
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        decoded = [_decode(predictor, file) for file in some]
        pixels = [d for d in decoded if isinstance(d, np.ndarray)]
        rows = iter(predictor.predict_pixels(np.stack(pixels)).probabilities if pixels else ())
        for file, outcome in zip(some, decoded, strict=True):
            if isinstance(outcome, Unreadable):
                yield outcome
            else:
                yield _prediction(predictor, file.name, next(rows), abstain_below)


def check_abstain_below(abstain_below: float) -> None:
    """Refuses what is not a probability.

    Raises:
        RequestError: It is out of range.
    """
    if not 0.0 <= abstain_below <= 1.0:
        raise RequestError(
            f"{option('abstain-below')}: expected a probability from 0 to 1; got {abstain_below:g}."
        )


def _files(path: Path, stack: ExitStack, passed: list[PassedOver]) -> Iterator[PictureFile]:
    if str(path) == STANDARD_INPUT:
        yield PictureFile(STANDARD_INPUT, _standard_input)
    elif path.is_dir():
        tree = stack.enter_context(open_tree(path))
        listing = list_pictures(tree)
        passed += listing.passed
        # By the parts of the path, so that the files of one folder stay together.
        for name, _ in sorted(listing.pictures.items(), key=lambda item: item[1]):
            yield PictureFile(str(path / name), partial(tree.read, name))
    elif not path.exists():
        raise SourceNotFoundError(f"{path}: there is no such file or folder.")
    elif is_archive(path):
        tree = stack.enter_context(open_tree(path))
        listing = list_pictures(tree)
        passed += listing.passed
        yield from (PictureFile(f"{path}/{name}", partial(tree.read, name)) for name in listing.pictures)
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


def _prediction(predictor: Predictor, file: str, row: np.ndarray, abstain_below: float) -> FilePrediction:
    class_names, highest = predictor.class_names, float(row.max())
    answer = int(decide(row[np.newaxis], class_names, predictor.decision)[0])
    label, probability = (
        (None, highest) if highest < abstain_below else (class_names[answer], float(row[answer]))
    )
    every = {name: float(p) for name, p in zip(class_names, row, strict=True)}
    return FilePrediction(file, label, probability, every)
