"""What the audit says of what it has seen by features."""

from __future__ import annotations

import numpy as np

from conviction.data.doubtful_labels import LEAST_VOTES, VOTERS
from conviction.data.feature_audit import FeatureAudit
from conviction.data.findings import Finding, plural
from conviction.data.group import join
from conviction.data.image_set import ImageSet


def altered_copies(images: ImageSet, near: np.ndarray, features: FeatureAudit | None) -> list[Finding]:
    """Pictures of one class and part that show one photograph and are not nearly equal.

    Args:
        images: All images.
        near: (n,) int64, equal numbers for exact and near copies.
        features: What was seen by features; None if nothing was.
    """
    if features is None:
        return []
    pairs = features.pairs()
    one, other = pairs.T
    alike = (images.labels[one] == images.labels[other]) & (images.parts[one] == images.parts[other])
    pairs = pairs[alike & (near[one] != near[other])]
    if not len(pairs):
        return []
    numbers = join(len(images), pairs)
    used = np.unique(pairs)
    groups = [tuple(used[numbers[used] == number].tolist()) for number in np.unique(numbers[used])]
    groups.sort(key=lambda g: (-len(g), g))
    surplus = tuple(sorted(i for g in groups for i in g[1:]))
    several = len(surplus) != 1
    return [
        Finding(
            "altered_copies",
            "note",
            f"{plural(len(surplus), 'image')} {'show' if several else 'shows'} the same photograph as another image of "
            f"the same class and part, cropped, mirrored, lit or coloured in another way "
            f"({plural(len(groups), 'group')}, the largest of {len(groups[0])}).",
            "Splits keep them together, so they do no harm to the test; they only weigh more.",
            sum(map(len, groups)),
            tuple(groups),
        )
    ]


def doubtful_label_findings(images: ImageSet, features: FeatureAudit | None) -> list[Finding]:
    """Labels in doubt."""
    if features is None or not features.doubtful:
        return []
    doubtful = features.doubtful
    first = doubtful[0]
    one = len(doubtful) == 1
    return [
        Finding(
            "doubtful_labels",
            "warning",
            f"{plural(len(doubtful), 'label')} of {features.asked:,} outside the test set {'is' if one else 'are'} in "
            f"doubt: of the {VOTERS} pictures that are most like such a picture in the features of {features.network}, "
            f"at least {LEAST_VOTES} have one other class and none has its own. The surest is "
            f"{images.names[first.image]}: '{images.class_names[images.labels[first.image]]}', where "
            f"{first.votes} of {VOTERS} have '{images.class_names[first.likelier]}'.",
            "Look at each: some labels will be wrong and some pictures only unusual, so nothing is left out by itself.",
            len(doubtful),
            tuple((d.image,) for d in doubtful),
            remarks=tuple(
                f"{images.class_names[d.likelier]}? ({d.votes} of {VOTERS} neighbours)" for d in doubtful
            ),
        )
    ]


def unlike_findings(images: ImageSet, features: FeatureAudit | None) -> list[Finding]:
    """Pictures unlike their class."""
    if features is None or not features.unlike:
        return []
    unlike = features.unlike
    one = len(unlike) == 1
    return [
        Finding(
            "unlike_class",
            "note",
            f"{plural(len(unlike), 'picture')} of {features.asked:,} outside the test set {'is' if one else 'are'} "
            f"unlike the others of {'its' if one else 'their'} class in the features of {features.network}. "
            f"{'It' if one else 'The most unlike'} is {images.names[unlike[0]]} of "
            f"'{images.class_names[images.labels[unlike[0]]]}'.",
            "Look at each: something that does not belong to the class should go; a rare view of the right thing "
            "should stay, and more pictures like it help.",
            len(unlike),
            tuple((image,) for image in unlike),
        )
    ]
