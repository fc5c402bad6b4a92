"""Training, validation and test: who belongs where, decided by what an image is, not by where it lies.

Every draw ranks the images of a class by a keyed hash of their content. So the same images are split in
the same way in another folder, order or machine, and adding an image moves no other by more than the
changed quota asks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from conviction.config import DataSpec
from conviction.data.image_set import ImageSet, set_hash
from conviction.errors import SourceError


@dataclass(frozen=True)
class Split:
    """Indices into an ``ImageSet``, each part in a canonical order (by content, not by place).

    ``test_origin`` and ``validation_origin`` are "source" where the source brought that part itself, and
    "drawn" where it was drawn here. ``test_hash`` names the test set, whatever its order.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    test_origin: str
    validation_origin: str
    test_hash: str

    def of(self, part: str) -> np.ndarray:
        """The indices of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def split_images(images: ImageSet, spec: DataSpec, seed: int) -> Split:
    """Splits stratified by class, shuffled, by content.

    The test set is drawn with a key that does not depend on ``seed``: runs of other seeds never train on
    its images, and its openings can be counted. The validation images are drawn with ``seed``. The quota
    of a class is its share rounded, at least 1; equal images (same hash, same class) stay together.

    Raises:
        SourceError: A class has too few images to be in every part, or misses in a part of the source.
    """
    canonical = _canonical_order(images)
    parts = images.parts[canonical]
    test = canonical[parts == "test"]
    validation = canonical[parts == "validation"]
    rest = canonical[(parts == "train") | (parts == "")]
    test_origin = "source" if len(test) else "drawn"
    validation_origin = "source" if len(validation) else "drawn"
    draws = (test_origin == "drawn") + (validation_origin == "drawn")
    _check_enough(images, rest, draws)
    if test_origin == "drawn":
        rest, test = _draw(images, rest, spec.test, b"test")
    if validation_origin == "drawn":
        rest, validation = _draw(images, rest, spec.validation, f"validation {seed}".encode())
    split = Split(rest, validation, test, test_origin, validation_origin, set_hash(images.hashes[test]))
    for part in ("train", "validation", "test"):
        _check_part(images, split.of(part), part)
    return split


def _canonical_order(images: ImageSet) -> np.ndarray:
    """All indices sorted by (content, class): independent of names and order."""
    keys = [(h.tobytes(), int(label)) for h, label in zip(images.hashes, images.labels, strict=True)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def _draw(images: ImageSet, pool: np.ndarray, share: float, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(what remains, what is drawn), both in the order of ``pool``."""
    drawn = np.zeros(len(images), bool)
    for label in range(len(images.class_names)):
        members = pool[images.labels[pool] == label]
        quota = max(1, round(share * len(members)))
        groups: dict[bytes, list[int]] = {}
        for index in members:
            groups.setdefault(images.hashes[index].tobytes(), []).append(int(index))
        ranked = sorted(groups, key=lambda h: hashlib.blake2b(h, digest_size=16, key=key).digest())
        taken = 0
        for content in ranked:
            # A group of equal images too large for what is left of the quota is passed over.
            if taken and taken + len(groups[content]) > quota:
                continue
            if taken >= quota:
                break
            drawn[groups[content]] = True
            taken += len(groups[content])
    return pool[~drawn[pool]], pool[drawn[pool]]


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
            "validation and test: add different images, or remove the class."
        )
