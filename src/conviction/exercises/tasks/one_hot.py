"""Encode: class numbers as rows with a single 1."""

from __future__ import annotations

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Encodes class numbers as categorical cross-entropy wants them.

    Args:
        labels: (n,) whole numbers from 0 to classes - 1.
        classes: How many classes there are, whether or not all of them occur among the labels.

    Returns:
        (n, classes) numbers: 1 in the column of the class, 0 elsewhere.

    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return np.eye(classes)[labels]


def _classes_seen(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(int(labels.max()) + 1)[labels]


def _classes_counted(labels: np.ndarray, classes: int) -> np.ndarray:
    names = np.unique(labels)
    return np.eye(len(names))[np.searchsorted(names, labels)]


def _from_one(labels: np.ndarray, classes: int) -> np.ndarray:
    out = np.zeros((len(labels), classes))
    out[np.arange(len(labels)), labels - 1] = 1
    return out


def _all_rows(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.tile(np.isin(np.arange(classes), labels).astype(float), (len(labels), 1))


def _extra(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes + 1)[labels]


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    some = [([0, 1], 2), ([2, 0], 3), ([1], 4), ([1, 1, 0], 3), ([3, 1, 3], 5)]
    cases: list[Arguments] = [(np.array(labels), classes) for labels, classes in some]
    return [*cases, (chance.integers(0, 10, 20), 10)]


EXERCISE = Exercise(
    title="One-hot encode labels",
    chapter="data",
    task="Categorical cross-entropy compares two rows of numbers: what the network answers, and the right answer as a "
    "row.",
    solution=one_hot,
    cases=_cases,
    misconceptions=(
        Misconception(
            "classes_seen",
            "You make as many columns as the largest label needs. A batch without the last class would get too few: "
            "the number of columns is the argument classes.",
            _classes_seen,
        ),
        Misconception(
            "classes_counted",
            "You make a column for each label that occurs. A class that is missing in this batch still needs its "
            "column: there are as many as the argument classes says.",
            _classes_counted,
        ),
        Misconception(
            "from_one",
            "You count classes from 1. They begin at 0, so label 0 has its 1 in the first column.",
            _from_one,
        ),
        Misconception(
            "extra",
            "You make one column too many. Labels go from 0 to classes - 1, which are as many columns as classes.",
            _extra,
        ),
        Misconception(
            "all_rows",
            "Every row has a 1 for every label of the batch. Each row is about one image: name the place by row and "
            "column, out[np.arange(len(labels)), labels], and make the rows separate lists.",
            _all_rows,
        ),
        Misconception(
            "columns",
            "Your rows are classes and your columns images. It is the other way round.",
            lambda labels, classes: one_hot(labels, classes).T,
        ),
    ),
    hints=(
        "np.zeros((len(labels), classes)) is a good beginning.",
        "out[np.arange(len(labels)), labels] names one place in each row.",
        "Row k of np.eye(classes) is the code of class k, and an array of labels can choose rows.",
    ),
)
