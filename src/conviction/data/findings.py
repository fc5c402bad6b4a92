"""What a finding is, and the checks that look at one image, class or header at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from conviction.audience import Audience, Remedy, listening
from conviction.data.image_set import ImageSet

Severity = Literal["serious", "warning", "note"]

# A picture whose values all lie within this many of 256 levels shows nothing.
BLANK_RANGE = 8
# Below this, validation and test hold a handful of images a class, and a network that starts from nothing
# learns little.
FEW_PER_CLASS = 50
# From here on a network gains by favouring the larger class; from ten times, accuracy alone misleads.
IMBALANCE_NOTE, IMBALANCE_WARNING = 3.0, 10.0
# Stretching a picture by more than this changes shapes visibly; cropping or padding it loses a fifth of something.
STRETCH = 1.25
# data.json lists no more groups of one finding than this; the manifest lists all.
LISTED_GROUPS = 100
_NAMED_BY = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        kind: A stable name, such as ``leak``.
        severity: "serious" makes a test accuracy doubtful; "warning" costs accuracy; "note" is good to know.
        sentence: What was found, with numbers.
        advice: What it means, and what helps in the same words for every audience.
        advice_on_page: What to do on the page, where that differs: most keys of ``data`` cannot be set there.
        count: How many images it is about.
        groups: Indices of images that show it; images of one group belong together.
        names: Of files that have no pixels, of folders or of classes.
        remarks: What there is to say of each of the groups; empty where there is nothing.
        leave_out: Indices of the images that a manifest suggests to leave out.
        remedy: What can be done about it, which has other words for each audience.
    """

    kind: str
    severity: Severity
    sentence: str
    advice: str
    count: int
    groups: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    leave_out: tuple[int, ...] = ()
    remedy: Remedy = Remedy.NOTHING
    advice_on_page: str = ""

    def advise(self, audience: Audience | None = None) -> str:
        """What to do, in the words for the current audience."""
        on_page = self.advice_on_page if (audience or listening()) == "page" else ""
        return f"{on_page or self.advice} {self.remedy.words(audience)}".strip()

    def to_json(self, images: ImageSet) -> dict[str, Any]:
        """Plain values for ``data.json`` and ``inspect --json``."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "sentence": self.sentence,
            "advice": self.advise(),
            "count": self.count,
            "groups": [[images.names[i] for i in g] for g in self.groups[:LISTED_GROUPS]],
            "names": list(self.names[:LISTED_GROUPS]),
            "remarks": list(self.remarks[:LISTED_GROUPS]),
        }


def plural(n: int, word: str) -> str:
    """``2 images``, ``1 image``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def unreadable(images: ImageSet) -> list[Finding]:
    """Files that cannot be read."""
    if not images.unreadable:
        return []
    first, several = images.unreadable[0], len(images.unreadable) > 1
    return [
        Finding(
            "unreadable",
            "warning",
            f"{plural(len(images.unreadable), 'file')} cannot be read{', the first' if several else ''} because "
            f"{first.reason}. {'They are' if several else 'It is'} left out.",
            f"Repair or remove {'them' if several else 'it'}.",
            len(images.unreadable),
            names=tuple(u.name for u in images.unreadable),
        )
    ]


def blank_pictures(images: ImageSet, blank: np.ndarray) -> list[Finding]:
    """Pictures that show nothing."""
    which = np.flatnonzero(blank).tolist()
    if not which:
        return []
    return [
        Finding(
            "blank",
            "warning",
            f"{plural(len(which), 'picture')} {'is' if len(which) == 1 else 'are'} blank: all values lie within "
            f"{BLANK_RANGE} of 256 levels.",
            "Nothing can be learned from a picture that shows nothing: leave them out.",
            len(which),
            tuple((i,) for i in which),
            leave_out=tuple(which),
            remedy=Remedy.LEAVE_OUT,
        )
    ]


def misnamed(images: ImageSet, kept: np.ndarray) -> list[Finding]:
    """Files whose content is not what their name says."""
    wrong = [
        i
        for i, header in enumerate(images.headers)
        if kept[i]
        and PurePosixPath(images.names[i]).suffix.lower() not in _NAMED_BY.get(header.format, ())
        and header.format
    ]
    if not wrong:
        return []
    first = wrong[0]
    return [
        Finding(
            "misnamed",
            "note",
            f"{plural(len(wrong), 'file')} {'is' if len(wrong) == 1 else 'are'} not in the format that the name says: "
            f"{images.names[first]} is {images.headers[first].format}.",
            "They are read by their content and do no harm here; other programs may refuse them.",
            len(wrong),
            tuple((i,) for i in wrong),
        )
    ]


def balance(images: ImageSet, kept: np.ndarray) -> list[Finding]:
    """Classes of very different size."""
    findings = []
    learn = kept & (images.parts != "test")
    counts = np.bincount(images.labels[learn], minlength=len(images.class_names))
    present = np.flatnonzero(counts)
    if not len(present):
        return []
    few, most = present[counts[present].argmin()], counts.argmax()
    ratio = counts[most] / counts[few]
    if ratio >= IMBALANCE_NOTE:
        findings.append(
            Finding(
                "imbalance",
                "warning" if ratio >= IMBALANCE_WARNING else "note",
                f"Class '{images.class_names[most]}' has {ratio:.1f} times as many images as "
                f"'{images.class_names[few]}' ({counts[most]:,} and {counts[few]:,}). Always answering with the "
                f"largest class would be right for {counts[most] / counts.sum():.1%} of these images.",
                "Judge by the recall of every class and not by accuracy alone; more images of the small classes help "
                "most.",
                int(counts.sum()),
                remedy=Remedy.BALANCE,
            )
        )
    return findings


def few_to_learn_from(images: ImageSet, learn: np.ndarray) -> list[Finding]:
    """Classes of which the split has left few images to learn from.

    Args:
        images: All images.
        learn: (n,) int64, the indices of the training images.
    """
    counts = np.bincount(images.labels[learn], minlength=len(images.class_names))
    small = [i for i in np.flatnonzero(counts) if counts[i] < FEW_PER_CLASS]
    if not small:
        return []
    fewest = min(small, key=lambda i: counts[i])
    return [
        Finding(
            "few_images",
            "warning",
            f"{plural(len(small), 'class') if len(small) == 1 else f'{len(small)} classes'} "
            f"{'has' if len(small) == 1 else 'have'} fewer than {FEW_PER_CLASS} images to learn from after the split; "
            f"'{images.class_names[fewest]}' has {counts[fewest]}.",
            "Expect wide intervals, and a network that learns its few images by heart: it starts from nothing. More "
            "images help more than any setting; augmentation helps some.",
            int(counts[small].sum()),
        )
    ]


def class_folders(images: ImageSet, kept: np.ndarray) -> list[Finding]:
    """Parts of a source whose classes differ, matched by name."""
    findings = []
    known = {
        p: set(images.labels[kept & (images.parts == p)].tolist()) for p in ("train", "validation", "test")
    }
    for part in ("test", "validation"):
        if not known[part] or not known["train"]:
            continue
        extra, missing = sorted(known[part] - known["train"]), sorted(known["train"] - known[part])
        if not extra and not missing:
            continue
        differences = [
            f"{where} only: {', '.join(images.class_names[i] for i in which)}"
            for where, which in ((part, extra), ("train", missing))
            if which
        ]
        findings.append(
            Finding(
                "class_folders",
                "serious",
                f"train and {part} have different classes ({'; '.join(differences)}). They are matched by name.",
                "Rename the folders so that the names match, or add what is missing; nothing is trained on them as "
                "they are.",
                len(extra) + len(missing),
            )
        )
    return findings


def _ratios(images: ImageSet) -> list[Finding]:
    """Pictures whose shape is far from that of the images, and what the rule does to them."""
    rule = images.rule
    target = rule.width / rule.height
    which = [
        i for i, h in enumerate(images.headers) if not 1 / STRETCH <= h.width / h.height / target <= STRETCH
    ]
    if not which:
        return []
    one, what = len(which) == 1, f"{rule.width}x{rule.height}"
    # A picture whose shape differs by a factor of r covers 1 / r of (height, width), or is covered so far by it.
    share = f"{1 - 1 / STRETCH:.0%}"
    done, means = {
        "stretch": (
            f"{'is' if one else 'are'} stretched by more than {STRETCH:g} to fit {what}",
            "Shapes are part of what the network learns.",
        ),
        "crop": (
            f"{'loses' if one else 'lose'} more than {share} of {'its' if one else 'their'} area to fit {what}",
            "The network never sees what lies outside the middle.",
        ),
        "pad": (
            f"{'leaves' if one else 'leave'} more than {share} of {what} black",
            "Fewer pixels show something; and if the shape depends on the class, the network can learn the shape.",
        ),
    }[rule.fit]
    groups = tuple((i,) for i in which[:LISTED_GROUPS])
    sentence = f"{plural(len(which), 'picture')} {done}."
    return [Finding("aspect_ratios", "note", sentence, means, len(which), groups, remedy=Remedy.FIT)]


def shapes(images: ImageSet) -> list[Finding]:
    """Sizes, modes and aspect ratios that differ."""
    headers = images.headers
    if not headers:
        return []
    findings = []
    sizes = {(h.width, h.height) for h in headers}
    if len(sizes) > 1:
        areas = sorted(sizes, key=lambda s: s[0] * s[1])
        findings.append(
            Finding(
                "sizes",
                "note",
                f"Pictures have {len(sizes):,} sizes, from {areas[0][0]}x{areas[0][1]} to "
                f"{areas[-1][0]}x{areas[-1][1]} pixels; all become "
                f"{images.rule.width}x{images.rule.height} (width x height).",
                "If the size depends on the class, the network can learn the size: look at both.",
                len(headers),
            )
        )
    findings += _ratios(images)
    modes = {h.mode for h in headers}
    if len(modes) > 1:
        counts = ", ".join(f"{sum(h.mode == m for h in headers):,} {m}" for m in sorted(modes))
        findings.append(
            Finding(
                "modes",
                "note",
                f"Pictures have {len(modes)} modes ({counts}); all become {images.rule.color_mode}.",
                "If the mode depends on the class, the network can learn the mode.",
                len(headers),
            )
        )
    return findings
