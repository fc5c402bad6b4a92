"""Which pictures the report shows, and what is written beside them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.data import Finding, ImageSet, Split
from conviction.evaluation import Part

SAMPLES_PER_CLASS = 10
MOST_CLASSES = 100
CORRECT_SHOWN = 12
WRONG_SHOWN = 24
GROUPS_SHOWN = 12
GROUP_SHOWN = 4


@dataclass(frozen=True)
class Sample:
    """A class, how many training images it has, and a few of them: (k, h, w, c) uint8."""

    class_name: str
    count: int
    pixels: np.ndarray


@dataclass(frozen=True)
class PictureAnswer:
    """A picture with its true class and the likeliest ones, (name, probability), highest first."""

    name: str
    pixels: np.ndarray
    truth: str
    likeliest: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Exhibit:
    """A finding and pictures that show it: groups of (name, class, part, pixels)."""

    finding: Finding
    groups: tuple[tuple[tuple[str, str, str, np.ndarray], ...], ...]


def exhibits(images: ImageSet, findings: Sequence[Finding]) -> list[Exhibit]:
    """Every finding with its first few groups, and the first few pictures of each."""

    def shown(i: int) -> tuple[str, str, str, np.ndarray]:
        name = images.class_names[images.labels[i]]
        return images.names[i], name, str(images.parts[i]), images.pixels[i]

    return [
        Exhibit(f, tuple(tuple(shown(i) for i in g[:GROUP_SHOWN]) for g in f.groups[:GROUPS_SHOWN]))
        for f in findings
    ]


def samples(images: ImageSet, split: Split) -> list[Sample]:
    """The first few training images of every class, in canonical order, which is as good as random."""
    counts = images.counts(split.train)
    labels = images.labels[split.train]
    return [
        Sample(
            name,
            counts[i],
            images.pixels[split.train[labels == i][:SAMPLES_PER_CLASS]],
        )
        for i, name in enumerate(images.class_names[:MOST_CLASSES])
    ]


def guesses(images: ImageSet, part: Part) -> tuple[list[PictureAnswer], list[PictureAnswer]]:
    """(wrong, correct) predictions: the most confident mistakes, and correct ones as they come."""
    confidence = part.probabilities.max(axis=1)
    right = part.probabilities.argmax(axis=1) == images.labels[part.index]
    wrong_rows = np.flatnonzero(~right)
    # Ties in confidence (several at 1.0) are settled by position, so that reports are reproducible.
    wrong_rows = wrong_rows[np.argsort(-confidence[wrong_rows], kind="stable")][:WRONG_SHOWN]
    correct_rows = np.flatnonzero(right)[:CORRECT_SHOWN]
    return [make_guess(images, part, r) for r in wrong_rows], [
        make_guess(images, part, r) for r in correct_rows
    ]


def make_guess(images: ImageSet, part: Part, row: int | np.intp) -> PictureAnswer:
    """The picture in this row of the part, and the network's answer."""
    index = part.index[row]
    top = np.argsort(-part.probabilities[row], kind="stable")[:3]
    return PictureAnswer(
        images.names[index],
        images.pixels[index],
        images.class_names[images.labels[index]],
        tuple((images.class_names[k], float(part.probabilities[row, k])) for k in top),
    )
