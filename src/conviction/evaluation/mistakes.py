"""Where it fails: confused pairs of classes, and labels that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PAIRS = 3
# Fewer confusions of a pair are no pattern.
LEAST = 3


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong.

    Attributes:
        row: Its position among the images.
        label: As it is.
        likelier: The class that the network believes it to be.
        margin: Probability of the likelier class minus that of the label.
    """

    row: int
    label: int
    likelier: int
    margin: float


def confused_pairs(confusion: Sequence[Sequence[int]], class_names: Sequence[str]) -> str:
    """The pairs of classes that are taken for one another most often, in a sentence; empty if there is no pattern."""
    matrix = np.array(confusion)
    both = np.triu(matrix + matrix.T, k=1)
    mistakes = int(both.sum())
    order = np.argsort(-both, axis=None, kind="stable")[:PAIRS]
    phrases = []
    for first, second in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[first, second] < LEAST:
            break
        one, other = (first, second) if matrix[first, second] >= matrix[second, first] else (second, first)
        there, back = matrix[one, other], matrix[other, one]
        reverse = f", {back:,} the other way" if back else ", none the other way"
        phrases.append(f"{class_names[one]} mistaken for {class_names[other]} ({there:,}{reverse})")
    if not phrases:
        return ""
    if len(class_names) == 2:
        return f"Confused most often: {phrases[0]}."
    share = both.ravel()[order[: len(phrases)]].sum() / mistakes
    return f"Confused most often: {'; '.join(phrases)}. These are {share:.0%} of its {mistakes:,} mistakes."


def suspect_labels(probabilities: np.ndarray, labels: np.ndarray) -> list[Suspect]:
    """Images whose label is probably wrong, the surest first, by confident learning.

    Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels": a class is
    believed of an image if its probability reaches the mean that the images labelled so have; counting the likeliest of
    the classes that are believed, by label, estimates how many images of each label are of another class (section 3.1).
    That many are suspect: those with the largest margins (section 3.2, "prune by noise rate").

    Args:
        probabilities: (n, classes) of images that the network has not learned from.
        labels: (n,) integers.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    joint = _confident_joint(probabilities, labels)
    suspects: dict[int, Suspect] = {}
    for label in range(classes):
        rows, counted = np.flatnonzero(labels == label), joint[label].sum()
        for other in np.flatnonzero(joint[label]).tolist() if counted else []:
            if other == label:
                continue
            most = round(len(rows) * joint[label, other] / counted)
            margins = probabilities[rows, other] - own[rows]
            for k in np.argsort(-margins, kind="stable")[:most].tolist():
                suspect = Suspect(int(rows[k]), label, other, float(margins[k]))
                before = suspects.get(suspect.row)
                if suspect.margin > max(0.0, before.margin if before else 0.0):
                    suspects[suspect.row] = suspect
    return sorted(suspects.values(), key=lambda s: (-s.margin, s.row))


def _confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(classes, classes): of the images with each label, how many are believed to be of each class."""
    classes = probabilities.shape[1]
    size = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(len(labels)), labels]
    # A class without images has no mean, and is believed of none.
    mean = np.where(size > 0, np.bincount(labels, own, classes) / np.maximum(size, 1), np.inf)
    believed = np.where(probabilities >= mean, probabilities, -1.0)
    some = believed.max(axis=1) >= 0
    cells = labels[some] * classes + believed.argmax(axis=1)[some]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)
