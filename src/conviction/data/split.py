"""Training, validation and test: which image belongs where, decided by what it is, not by where it is stored.

Every draw ranks groups of images by a keyed hash of their content. So the same images are split in the same way in
another folder, order or machine. A group (equal and nearly equal images, the pictures of one patient) is never
split up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from conviction.audience import listening
from conviction.config import DataSpec
from conviction.data.image_set import PARTS, ImageSet, number_equals, set_hash
from conviction.errors import SourceError


@dataclass(frozen=True)
class Split:
    """Indices into an ``ImageSet``, each part in a canonical order (by content, not by place).

    ``test_origin`` and ``validation_origin`` are "source" where the source brought that part itself,
    "drawn" where it was drawn here, and "fold" for a fold. ``test_hash`` names the test set, whatever its order.
    ``left_out`` are images in no part, by the reason: "excluded" (``data.exclude``) or "leak"
    (``data.on_leak=drop``). ``leaks`` are those that share a group with a part that ranks higher, left out or not.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    test_origin: str
    validation_origin: str
    test_hash: str
    left_out: dict[str, np.ndarray] = field(default_factory=dict)
    leaks: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of(self, part: str) -> np.ndarray:
        """The indices of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]

    @property
    def all(self) -> np.ndarray:
        """The indices of all parts, one after another."""
        return np.concatenate([self.train, self.validation, self.test])


def split_images(
    images: ImageSet,
    spec: DataSpec,
    seed: int,
    groups: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
) -> Split:
    """Splits by group, stratified by class, shuffled, by content.

    The test set is drawn with a key that does not depend on ``seed``: runs of other seeds never train on
    its images, and its openings can be counted. The validation images are drawn with ``seed``; with
    ``spec.folds`` they are one of that many folds of everything else. The quota of a class is its share
    rounded, at least 1, and is met to within the largest group (groups that hold several classes are
    taken while they bring the sum over the classes nearer to its quota).

    Args:
        images: All images.
        spec: Shares, folds, and what to do about leaks.
        seed: Decides the validation images.
        groups: (n,) int64, equal numbers stay together; default: images of equal content.
        excluded: (n,) bool, images that are in no part.

    Raises:
        SourceError: A class has too few images or groups to be in every part, or is missing from a part of the
            source; test images of a class that training does not have; a leak with ``on_leak=fail``.
    """
    if groups is None:
        groups = number_equals(images.hashes)
    out = np.zeros(len(images), bool) if excluded is None else excluded
    canonical = _canonical_order(images)
    canonical = canonical[~out[canonical]]
    _check_class_names(images, canonical)
    leaks = _leaks(images, canonical, groups)
    if len(leaks) and spec.on_leak == "fail":
        raise SourceError(_leak_message(images, leaks))
    left_out = {"excluded": np.flatnonzero(out)} if out.any() else {}
    if len(leaks) and spec.on_leak == "drop":
        left_out["leak"] = leaks
        canonical = canonical[~np.isin(canonical, leaks)]
    parts = images.parts[canonical]
    test = canonical[parts == "test"]
    validation = canonical[parts == "validation"]
    rest = canonical[(parts == "train") | (parts == "")]
    test_origin = "source" if (images.parts == "test").any() else "drawn"
    validation_origin = "source" if (images.parts == "validation").any() else "drawn"
    if spec.folds:
        # Folds are of everything that is not test: with them, the source's own validation images are like any others.
        rest = canonical[parts != "test"]
        validation_origin = "fold"
    draws = (test_origin == "drawn") + (validation_origin != "source")
    _check_enough(images, rest, draws)
    if test_origin == "drawn":
        rest, test = _draw(images, rest, groups, spec.test, b"test")
    if validation_origin == "fold":
        rest, validation = _fold(images, rest, groups, spec, f"folds {seed}".encode())
    elif validation_origin == "drawn":
        rest, validation = _draw(images, rest, groups, spec.validation, f"validation {seed}".encode())
    hashed = set_hash(images.hashes[test])
    split = Split(rest, validation, test, test_origin, validation_origin, hashed, left_out, leaks)
    for part in PARTS:
        _check_part(images, split.of(part), part)
    return split


def _canonical_order(images: ImageSet) -> np.ndarray:
    """All indices sorted by (content, class): independent of names and order."""
    words = np.ascontiguousarray(images.hashes).view(">u8").reshape(-1, 2)  # (n,) of 16 bytes -> (n, 2)
    return np.lexsort((images.labels, words[:, 1], words[:, 0])).astype(np.int64)


def _leaks(images: ImageSet, pool: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Images of the source's training or validation part that share a group with a part ranking higher.

    Test ranks highest, because it is sealed; then validation. Images that the source put in no part cannot leak:
    the draw keeps their groups together.
    """
    rank = np.select([images.parts[pool] == "test", images.parts[pool] == "validation"], [2, 1], 0)
    highest = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    np.maximum.at(highest, groups[pool], rank)
    return np.sort(pool[rank < highest[groups[pool]]])


def _leak_message(images: ImageSet, leaks: np.ndarray) -> str:
    count = f"{len(leaks)} training or validation image{'s' if len(leaks) > 1 else ''}"
    look = "conviction inspect SOURCE --html page.html"
    if listening() != "terminal":
        look = "conviction.inspect(source, html='page.html')"
    return (
        f"{images.location}: {count} also appear, exactly or nearly, among the test or validation images; the first is "
        f"'{images.names[leaks[0]]}' (data.on_leak=fail). See them with: "
        f"{look}. data.on_leak=drop leaves them out."
    )


@dataclass(frozen=True)
class _Groups:
    """The groups of a pool in their drawn order: members, and (groups, classes) how many of each class."""

    members: list[np.ndarray]
    counts: np.ndarray


def _ranked(images: ImageSet, pool: np.ndarray, groups: np.ndarray, key: bytes) -> _Groups:
    """Groups ranked by a keyed hash of their first member's content (the pool is sorted by content)."""
    order = np.argsort(groups[pool], kind="stable")
    starts = np.flatnonzero(np.diff(groups[pool][order], prepend=-1))
    members = np.split(pool[order], starts[1:])
    ranks = [
        hashlib.blake2b(images.hashes[m[0]].tobytes(), digest_size=16, key=key).digest() for m in members
    ]
    members = [members[i] for i in sorted(range(len(members)), key=lambda i: (ranks[i], members[i][0]))]
    counts = np.zeros((len(members), len(images.class_names)), np.int64)
    sizes = np.array([len(m) for m in members])
    np.add.at(counts, (np.repeat(np.arange(len(members)), sizes), images.labels[np.concatenate(members)]), 1)
    return _Groups(members, counts)


def _draw(
    images: ImageSet, pool: np.ndarray, groups: np.ndarray, share: float, key: bytes
) -> tuple[np.ndarray, np.ndarray]:
    """(what remains, what is drawn), both in the order of ``pool``."""
    ranked = _ranked(images, pool, groups, key)
    totals = ranked.counts.sum(axis=0)
    quota = np.where(totals > 0, np.maximum(1, np.rint(share * totals).astype(np.int64)), 0)
    missing = quota.copy()
    chosen = np.zeros(len(ranked.members), bool)
    for i, counts in enumerate(ranked.counts):
        # A group that would overshoot by more than it fills is passed over.
        if np.abs(missing - counts).sum() < np.abs(missing).sum():
            chosen[i] = True
            missing -= counts
    for label in np.flatnonzero((missing == quota) & (quota > 0)).tolist():
        _draw_one(ranked, chosen, label)
    drawn = np.zeros(len(images), bool)
    for members, is_chosen in zip(ranked.members, chosen, strict=True):
        drawn[members] |= is_chosen
    return pool[~drawn[pool]], pool[drawn[pool]]


def _draw_one(ranked: _Groups, chosen: np.ndarray, label: int) -> None:
    """Takes the smallest group of a class of which all are larger than its quota, unless it is the only one."""
    having = np.flatnonzero(ranked.counts[:, label] > 0)
    if len(having) > 1 and not chosen[having].any():
        chosen[having[ranked.counts[having].sum(axis=1).argmin()]] = True


def _fold(
    images: ImageSet, pool: np.ndarray, groups: np.ndarray, spec: DataSpec, key: bytes
) -> tuple[np.ndarray, np.ndarray]:
    """(the other folds, fold ``spec.fold``)."""
    # As in runs of earlier versions, which can be resumed: of equally good folds the first, not the smallest.
    in_fold = _fold_numbers(images, pool, groups, spec.folds, key, even=False) == spec.fold - 1
    return pool[~in_fold], pool[in_fold]


def _fold_numbers(
    images: ImageSet, pool: np.ndarray, groups: np.ndarray, folds: int, key: bytes, *, even: bool = True
) -> np.ndarray:
    """(len(pool),) from 0: every group goes where its classes are fewest, large ones first."""
    ranked = _ranked(images, pool, groups, key)
    sizes = ranked.counts.sum(axis=1)
    totals = np.maximum(1, ranked.counts.sum(axis=0))
    filled, held = np.zeros((folds, len(totals))), np.zeros(folds, np.int64)
    numbers = np.zeros(len(images), np.int64)
    for i in np.argsort(-sizes, kind="stable"):
        share = ranked.counts[i] / totals
        # The sum of squares over folds grows least where this group's classes are fewest. Of equal ones the smallest
        # fold is taken, if they are to be even, or the first would get the odd image of every class.
        growth = ((2 * filled + share) * share).sum(axis=1)
        fold = int(np.lexsort((held * even, growth))[0])
        filled[fold] += share
        held[fold] += sizes[i]
        numbers[ranked.members[i]] = fold
    return numbers[pool]


def cut_folds(images: ImageSet, split: Split, groups: np.ndarray, folds: int, seed: int) -> list[Split]:
    """Cuts everything outside a sealed test set into folds, each of which other networks can be tested on.

    In fold k, ``test`` is that fold, and the rest is training and validation in the proportion of ``split``: what is
    chosen with validation images, such as the last epoch, is not chosen with images that are tested on.

    Args:
        images: All images.
        split: Of a run; its test images are in none of the folds.
        groups: As for ``split_images``.
        folds: How many, at least 2.
        seed: Decides the folds and the validation images.

    Returns:
        One split for each fold; over all of them each image outside the test set is in ``test`` once.

    Raises:
        SourceError: A class has too few images or groups to be in every part of every fold.
    """
    pool = np.concatenate([split.train, split.validation])
    canonical = _canonical_order(images)
    pool = canonical[np.isin(canonical, pool)]
    share = len(split.validation) / len(pool)
    numbers = _fold_numbers(images, pool, groups, folds, f"folds {seed}".encode())
    cut = []
    for fold in range(folds):
        held_out = pool[numbers == fold]
        train, validation = _draw(images, pool[numbers != fold], groups, share, f"validation {seed}".encode())
        hashed = set_hash(images.hashes[held_out])
        cut.append(Split(train, validation, held_out, "fold", "drawn", hashed))
        for part in PARTS:
            _check_fold(images, pool, cut[-1].of(part), folds)
    return cut


def _check_fold(images: ImageSet, pool: np.ndarray, indices: np.ndarray, folds: int) -> None:
    """Refuses folds in which a class is missing from a part."""
    missing = np.flatnonzero(np.array(images.counts(indices)) == 0)
    if len(missing):
        name, count = images.class_names[missing[0]], images.counts(pool)[missing[0]]
        raise SourceError(
            f"evaluation.folds: {folds} folds are too many for class '{name}', which has {count} "
            f"image{'' if count == 1 else 's'} outside the test set: every fold needs some to test on and others to "
            "learn from and to validate with, and images that belong together stay together. Ask for fewer folds, or "
            "add images."
        )


def _check_class_names(images: ImageSet, pool: np.ndarray) -> None:
    """Classes are matched by name, never by position."""
    parts, labels = images.parts[pool], images.labels[pool]
    train = set(labels[(parts == "") | (parts == "train")].tolist())
    for part in ("test", "validation"):
        extra = sorted(set(labels[parts == part].tolist()) - train)
        if extra:
            names = ", ".join(images.class_names[i] for i in extra)
            known = ", ".join(images.class_names[i] for i in sorted(train)) or "none"
            raise SourceError(
                f"{images.location}: the {part} images have classes that training does not: {names}. Training has: "
                f"{known}. Rename the folders so that the names match, or remove them."
            )


def _check_enough(images: ImageSet, pool: np.ndarray, draws: int) -> None:
    counts = images.counts(pool)
    short = [(name, n) for name, n in zip(images.class_names, counts, strict=True) if n < draws + 1]
    if short:
        name, n = short[0]
        places = {1: "training and validation", 2: "training, validation and test"}.get(draws, "training")
        raise SourceError(
            f"{images.location}: class '{name}' has {n} image{'' if n == 1 else 's'}; at least {draws + 1} are "
            f"needed so that it is in {places}. Add images or remove the class."
        )


def _check_part(images: ImageSet, indices: np.ndarray, part: str) -> None:
    missing = [n for n, c in zip(images.class_names, images.counts(indices), strict=True) if c == 0]
    if missing:
        raise SourceError(
            f"{images.location}: class '{missing[0]}' has no {part} images. Every class needs some in training, "
            "validation and test, and images that belong together (copies, groups) stay together: add different "
            "images, or remove the class."
        )
