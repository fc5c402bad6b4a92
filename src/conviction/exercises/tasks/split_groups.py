"""A split without leaks: pictures that belong together stay together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception


def split_groups(groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divides images into training and validation so that no group is in both.

    Args:
        groups: (n,) whole numbers. Images with the same number belong together: one patient, one series of photographs.
        share: The share of the groups that goes to validation, above 0 and below 1; round(share * groups) of them, at
            least 1 and at most all but one.
        seed: Another seed gives another split, the same seed the same one.

    Returns:
        The numbers of the training images and those of the validation images, counted from 0; each image is in one of
        the two.

    >>> train, validation = split_groups(np.array([5, 5, 8, 8]), 0.5, seed=0)
    >>> sorted([train.tolist(), validation.tolist()])
    [[0, 1], [2, 3]]
    """
    names = np.unique(groups)
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:count]
    held_out = np.isin(groups, chosen)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _judge(cases: Sequence[Arguments], answers: Sequence[Any]) -> list[str]:
    names = [_shows(case, answer) for case, answer in zip(cases, answers, strict=False)]
    if any(names) or len(answers) < len(cases):
        return names
    held_out = [tuple(sorted(np.asarray(validation).tolist())) for _, validation in answers]
    # The last case is the one before it again; three seeds of twenty groups do not draw the same five by chance.
    if held_out[-1] != held_out[-2]:
        names[-1] = "unseeded"
    elif len(set(held_out[-4:])) == 1:
        names[-1] = "seed_ignored"
    return names


def _shows(arguments: Arguments, answer: Any) -> str:
    groups, share, _ = arguments
    if not (isinstance(answer, tuple | list) and len(answer) == 2):
        return "not_two"
    try:
        train, validation = (np.asarray(part) for part in answer)
    except ValueError:  # lists of lists of different lengths
        return "lost"
    if bool in (train.dtype, validation.dtype):
        return "masks"
    if not all(part.ndim == 1 and (part.dtype.kind in "iu" or not part.size) for part in (train, validation)):
        return "lost"
    both = np.concatenate([train.ravel(), validation.ravel()])
    if len(np.intersect1d(train, validation)):
        return "overlap"
    if sorted(both.tolist()) != list(range(len(groups))):
        return "lost"
    straddling = np.intersect1d(groups[train.astype(int)], groups[validation.astype(int)])
    if len(straddling):
        return "straddles"
    names = np.unique(groups)
    count = min(max(1, round(share * len(names))), len(names) - 1)
    held_out = len(np.unique(groups[validation.astype(int)]))
    if held_out == len(names) - count != count:
        return "exchanged"
    return "" if held_out == count else "share"


def _cases() -> list[Arguments]:
    chance = np.random.default_rng(0)
    some = [
        ([5, 5, 8, 8], 0.5),
        ([1, 2, 3, 1], 0.34),
        ([7, 7, 7, 9, 9, 4], 0.3),
        ([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], 0.2),
    ]
    cases: list[Arguments] = [(np.array(groups), share, seed) for groups, share in some for seed in (0, 1)]
    many = chance.integers(0, 20, 100)
    return [*cases, *((many, 0.25, seed) for seed in (0, 1, 2, 2))]


EXERCISE = Exercise(
    title="Split without a leak",
    chapter="data",
    task="Ten photographs of one bottle are nearly the same picture. If some of them are in training and some in "
    "validation, the network is asked what it has been told.",
    solution=split_groups,
    cases=_cases,
    judge=_judge,
    misconceptions=(
        Misconception(
            "straddles",
            "A group is on both sides: you divide images instead of groups. Draw from np.unique(groups), then ask of "
            "each image whether its group was drawn.",
        ),
        Misconception(
            "overlap",
            "An image is in both parts. Training and validation must have no image in common.",
        ),
        Misconception(
            "lost",
            "The two parts together are not all images, each once and counted from 0. Perhaps you return the numbers "
            "of groups instead of those of images.",
        ),
        Misconception(
            "share",
            "The validation part must have round(share * groups) groups, with at least 1 and at most all but one. "
            "Yours has more or fewer.",
        ),
        Misconception("exchanged", "You exchanged the two parts: training comes first, validation second."),
        Misconception(
            "unseeded",
            "The same seed gave another split. Draw with np.random.default_rng(seed), and with nothing else.",
        ),
        Misconception(
            "seed_ignored",
            "Every seed gives the same split. Draw the groups at random, with np.random.default_rng(seed).",
        ),
        Misconception(
            "masks",
            "You return arrays of True and False. The numbers of the images are asked for: np.flatnonzero makes them "
            "of such an array.",
        ),
        Misconception("not_two", "Return two arrays: return train, validation."),
    ),
    hints=(
        "Draw groups, not images. np.unique(groups) has each of them once.",
        "np.random.default_rng(seed).permutation(names)[:count] draws count of them.",
        "np.isin(groups, chosen) says for each image whether its group was drawn; np.flatnonzero gives the numbers.",
    ),
)
