"""Checks of names: classes that may be one, and folders that may not have been meant as classes."""

from __future__ import annotations

import unicodedata
from collections import defaultdict

from conviction.data.findings import Finding
from conviction.data.image_set import ImageSet
from conviction.data.layout import Doubt, as_text

# More names would say less, not more.
MOST_NAMED = 5
_DOUBTS = {
    "part_name": (
        "warning",
        "is named like a part of the data or like pictures to predict, and was taken for a class",
        "If it is a part, put every class folder into train/ or test/; if it is not a class, move it out of the "
        "source.",
    ),
    "wrapping": (
        "warning",
        "was taken for a class, although its name says only that images follow",
        "If the folders in it are the classes, give that folder itself as the source.",
    ),
    "classes_inside": (
        "serious",
        "was taken for a class, although it holds folders that are named like classes beside it",
        "It may be a copy of the whole set, or a part of it: move it out of the source, or name the parts train/ and "
        "test/ and put every class folder into one of them.",
    ),
    "parts_inside": (
        "serious",
        "was taken for a class, although it holds parts such as train and test, which were joined",
        "If the folders below those are the classes, give this folder itself as the source; if not, use "
        "train/CLASS/ and test/CLASS/.",
    ),
    "folders_inside": (
        "note",
        "was taken for one class, with all pictures of the folders in it",
        "If those are the classes, give that folder itself as the source.",
    ),
}


def similar_classes(images: ImageSet) -> list[Finding]:
    """Class names that differ only in case, spaces or Unicode form, in one finding."""
    alike: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(images.class_names):
        alike[_plain(name)].append(i)
    groups = [g for g in alike.values() if len(g) > 1]
    if not groups:
        return []
    counts = images.counts()
    names = [" and ".join(repr(images.class_names[i]) for i in g) for g in groups]
    return [
        Finding(
            "similar_classes",
            "warning",
            f"{sum(map(len, groups))} class names differ from another one only in capitals, spaces or the way in which "
            f"accents are stored: {_some(names)}. They were taken for different classes.",
            "If they mean the same, give them one name: one folder, one spelling in labels.csv, or one label in the "
            "arrays.",
            sum(counts[i] for g in groups for i in g),
            names=tuple(images.class_names[i] for g in groups for i in g),
        )
    ]


def _plain(name: str) -> str:
    # Twice, because folding can undo a normal form.
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(unicodedata.normalize("NFKC", folded).split())


def doubtful_folders(images: ImageSet) -> list[Finding]:
    """Folders that were taken for classes and may have been meant otherwise, a finding for each kind of doubt."""
    kinds: dict[str, list[Doubt]] = defaultdict(list)
    for doubt in images.doubts:
        kinds[doubt.kind].append(doubt)
    counts = dict(zip(images.class_names, images.counts(), strict=True))
    findings = []
    for kind, (severity, was, advice) in _DOUBTS.items():
        doubts = kinds.get(kind)
        if not doubts:
            continue
        named = [repr(d.folder) + (f" (with {_some(list(d.inside))})" if d.inside else "") for d in doubts]
        each = "" if len(doubts) == 1 else "each "
        findings.append(
            Finding(
                kind,
                severity,  # type: ignore[arg-type]
                f"The folder{'' if len(doubts) == 1 else 's'} {_some(named)} {each}{was}.",
                advice,
                sum(counts[as_text(d.folder.rpartition("/")[2])] for d in doubts),
                names=tuple(d.folder for d in doubts),
            )
        )
    return findings


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
