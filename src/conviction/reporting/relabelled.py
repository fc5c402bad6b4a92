"""What is said about labels that a person has changed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from conviction.audience import by_key
from conviction.data import ImageSet, Split
from conviction.data.image_set import PARTS
from conviction.errors import printable

# Pairs of classes that are named.
MOST_PAIRS = 3


def changed_labels(images: ImageSet) -> list[str]:
    """How many labels were changed by whose file, in a sentence; none if none were."""
    if images.relabelled is None:
        return []
    changes = images.relabelled.changes
    pairs = Counter(changes.values()).most_common(MOST_PAIRS)
    named = [f"{count:,} of {printable(one)} to {printable(other)}" for (one, other), count in pairs]
    rest = len(changes) - sum(count for _, count in pairs)
    named += [f"{rest:,} others"] if rest else []
    return [
        f"{len(changes):,} {'label was' if len(changes) == 1 else 'labels were'} changed, as "
        f"{printable(images.relabelled.file)} asks{by_key('data.relabel')}: {', '.join(named)}."
    ]


def where_labels_changed(images: ImageSet, split: Split) -> list[str]:
    """In which parts labels were changed, and what that means for the test set; none where none were."""
    if images.relabelled is None:
        return []
    changed = np.array([name in images.relabelled.changes for name in images.names], bool)
    train, validation, test = (int(changed[split.of(part)].sum()) for part in PARTS)
    sentences = [
        f"Changed labels: {train:,} in training, {validation:,} in validation, {test:,} in the test set."
    ]
    if test:
        sentences.append(
            "If a network proposed the labels of test images, its accuracy on them proves less: it was asked what the "
            "right answers are. Look at each of these pictures yourself."
        )
    return sentences
