"""What the audit sees by the features of a network: altered copies, labels in doubt, pictures unlike their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conviction.data import cache
from conviction.data.copies import METHOD as COPIES
from conviction.data.copies import find_altered_copies
from conviction.data.doubtful_labels import DoubtfulLabel, doubtful_labels
from conviction.data.image_set import ImageSet
from conviction.data.likeness import Likeness
from conviction.data.unlike import unlike_pictures

METHOD = 2
"""Version of all of it: runs keep what it saw."""
LEAST_SIDE = 96
"""Pixels along the shorter side of a picture; smaller ones hold too little to tell copies from look-alikes."""
# Of 2,000 pictures of Fashion-MNIST, 28x28, 445 pairs would be copies.


@dataclass(frozen=True)
class FeatureAudit:
    """What the audit sees by features.

    Attributes:
        network: Whose features they are, for people.
        sought: Among how many images altered copies were sought; 0 where they cannot be told from look-alikes.
        copies: Pairs of images that show one photograph, each (smaller, larger) and in order.
        asked: How many pictures were compared with neighbours and with their class, all outside the test set.
        doubtful: Of their labels, the ones that are probably wrong, the surest first.
        unlike: Numbers of the others that are unlike their class, the most unlike first.
    """

    network: str
    sought: int = 0
    copies: tuple[tuple[int, int], ...] = ()
    asked: int = 0
    doubtful: tuple[DoubtfulLabel, ...] = ()
    unlike: tuple[int, ...] = ()

    def pairs(self) -> np.ndarray:
        """(m, 2) int64: ``copies``."""
        return np.array(self.copies, np.int64).reshape(-1, 2)

    def to_json(self, images: ImageSet) -> dict[str, Any]:
        """Plain values for ``data.json``; images as content hashes by name, as the split has them."""

        def named(rows: Sequence[int]) -> dict[str, str]:
            return dict(zip((images.names[i] for i in rows), images.hex_hashes(np.array(rows)), strict=True))

        return {
            "method": METHOD,
            "network": self.network,
            "sought": self.sought,
            "copies": [named(pair) for pair in self.copies],
            "asked": self.asked,
            "doubtful": [
                {"image": named([d.image]), "likelier": d.likelier, "votes": d.votes} for d in self.doubtful
            ],
            "unlike": [named([image]) for image in self.unlike],
        }

    def after_split(
        self, images: ImageSet, likeness: Likeness, asked: np.ndarray, together: np.ndarray
    ) -> FeatureAudit:
        """Adds the labels in doubt and the pictures unlike their class, sought outside the test set alone.

        Args:
            images: All images.
            likeness: By features.
            asked: (m,) int64, the images outside the test set that count.
            together: (n,) int64, equal numbers for copies and pictures of one session, which are not asked about
                each other.
        """
        doubtful = doubtful_labels(likeness.vectors, images.labels, asked, together)
        doubted = {d.image for d in doubtful}
        unlike = unlike_pictures(likeness.vectors, images.labels, asked)
        # A picture that looks like another class is of course unlike its own: one finding is enough.
        unlike = tuple(image for image in unlike if image not in doubted)
        return replace(self, asked=len(asked), doubtful=doubtful, unlike=unlike)


def audit_features(images: ImageSet, kept: np.ndarray, likeness: Likeness) -> FeatureAudit:
    """Seeks altered copies, or takes them from the cache if they were sought in these images before.

    Args:
        images: All images.
        kept: (k,) int64, those that count.
        likeness: By features, with pictures.
    """
    kept = _large(images, kept)
    contents = (images.hashes.tobytes().hex(), kept.tobytes().hex())
    key = cache.key_of("copies", COPIES, likeness.network, *contents)
    cached = cache.load_note("copies", key)
    if cached is None:
        pairs = find_altered_copies(likeness, kept)
        cached = {
            "sought": np.array(0 if pairs is None else len(kept)),
            "pairs": kept[:0] if pairs is None else pairs,
        }
        cache.save_note("copies", key, **cached)
    copies = tuple((int(a), int(b)) for a, b in cached["pairs"].reshape(-1, 2))
    return FeatureAudit(likeness.network, int(cached["sought"]), copies)


def _large(images: ImageSet, kept: np.ndarray) -> np.ndarray:
    """Those of which the file is large enough; how large the pictures in arrays once were is not known."""
    if not images.headers:
        return kept[:0]
    sides = np.array([min(h.width, h.height) for h in images.headers])
    return kept[sides[kept] >= LEAST_SIDE]
