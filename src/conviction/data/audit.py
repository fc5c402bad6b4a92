"""The audit: what is wrong with images and labels, found before anything is trained on them.

It looks at pixels, names and headers of all parts, the test set included; it scores nothing, so the seal holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conviction.audience import Remedy, by_key
from conviction.config import DataSpec
from conviction.data import cache
from conviction.data.darkness import light, too_dark
from conviction.data.duplicates import METHOD, NearPairs, find_near_duplicates
from conviction.data.feature_audit import LEAST_SIDE, FeatureAudit, audit_features
from conviction.data.feature_findings import altered_copies, doubtful_label_findings, unlike_findings
from conviction.data.findings import (
    Finding,
    balance,
    blank_pictures,
    class_folders,
    few_to_learn_from,
    misnamed,
    plural,
    shapes,
    unreadable,
)
from conviction.data.group import AUTO, excluded, join, user_groups
from conviction.data.image_set import ImageSet, number_equals
from conviction.data.likeness import Likeness, by_pixels
from conviction.data.naming import doubtful_folders, similar_classes
from conviction.data.session_findings import one_session, session_findings
from conviction.data.sessions import METHOD as SESSIONS
from conviction.data.sessions import Sessions, find_sessions, nearest_right
from conviction.data.split import Split


@dataclass(frozen=True)
class KeptAudit:
    """What a run keeps of its audit, so that its images are split in the same way wherever they are read again.

    Attributes:
        sessions: None for a new search, by pixels.
        features: None for pixels alone.
    """

    sessions: Sessions | None = None
    features: FeatureAudit | None = None


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Attributes:
        findings: The most severe first.
        groups: (n,) int64, equal numbers for images that must stay together.
        excluded: (n,) bool, images that do not count.
        sessions: Pictures that were taken together.
        likeness: By which pictures were compared; None for the images of a run.
        kept_together: Whether a session stays in one part.
        features: What was seen by features; None for pixels alone.
    """

    findings: tuple[Finding, ...]
    groups: np.ndarray
    excluded: np.ndarray
    sessions: Sessions = field(default_factory=Sessions)
    likeness: Likeness | None = None
    kept_together: bool = False
    features: FeatureAudit | None = None

    @property
    def compared(self) -> str:
        """By what pictures were compared, in a sentence."""
        if self.features is None:
            return "Pictures were compared by their pixels alone, which miss crops and recolouring."
        sentence = f"Pictures were compared by their pixels and by the features of {self.features.network}."
        if not self.features.sought:
            sentence += (
                f" Altered copies were not sought: arrays, pictures of fewer than {LEAST_SIDE} pixels a side and "
                "pictures that are all much alike do not show which are copies."
            )
        return sentence

    def kept_json(self, images: ImageSet) -> dict[str, Any]:
        """What ``KeptAudit`` is read from, for ``data.json``."""
        kept = {}
        if self.kept_together or self.features is not None:
            kept["sessions"] = self.sessions.to_json(images)
        if self.features is not None:
            kept["features"] = self.features.to_json(images)
        return kept

    def after_split(self, images: ImageSet, split: Split) -> Audit:
        """Adds what only the split shows: classes with few images left, what sessions do to accuracy, and what is seen
        by features and looks at labels, which those of the test set are sealed for.
        """
        sessions, features = self.sessions, self.features
        if self.likeness is not None:
            seen = np.zeros(len(images), bool)
            seen[np.concatenate([split.train, split.validation])] = True
            nearest = nearest_right(images, sessions, seen, self.likeness)
            sessions = replace(sessions, nearest=nearest)
            if features is not None:
                together = join(len(images), self.groups, sessions.numbers(len(images)))
                features = features.after_split(images, self.likeness, np.flatnonzero(seen), together)
        findings = [f for f in self.findings if f.kind != "sessions"]
        findings += session_findings(sessions, self.kept_together)
        findings += few_to_learn_from(images, split.train)
        findings += doubtful_label_findings(images, features)
        findings += unlike_findings(images, features)
        return replace(self, findings=_ranked(findings), sessions=sessions, features=features)


def audit_images(
    images: ImageSet,
    spec: DataSpec,
    likeness: Callable[[], Likeness] | None = None,
    kept: KeptAudit = KeptAudit(),
) -> Audit:
    """Audits all images that ``spec.exclude`` does not leave out.

    Args:
        images: All images.
        spec: What to leave out, and which images belong together.
        likeness: Makes what pictures are compared by; by default, pixels.
        kept: Of a run whose images are audited again.

    Raises:
        RequestError: ``spec.group`` or ``spec.exclude`` cannot be used.
    """
    out = excluded(images, spec.exclude)
    own = user_groups(images, spec.group)
    together, view = spec.group == AUTO, None
    sessions, features = kept.sessions, kept.features
    if sessions is None:
        view = likeness() if likeness is not None else by_pixels(images)
        sessions = _sessions(images, out, view)
    if together:
        own = sessions.numbers(len(images))
    near = near_duplicates(images)
    keep = ~(out[near.first] | out[near.second])
    pairs = np.stack([near.first, near.second], axis=1)[keep]
    blank, brightest = light(images)
    blank &= ~out
    dark, concerned = too_dark(images, brightest, ~out)
    # Pictures that show nothing all look alike; putting them in one group would mean nothing.
    equal = number_equals(images.pixel_hashes)
    equal[out] = -1
    near_copies = join(len(images), np.where(blank, -1, equal), pairs)
    if features is None and view is not None and view.network:
        features = audit_features(images, np.flatnonzero(~out & ~blank), view)
    looks = near_copies if features is None else join(len(images), near_copies, features.pairs())
    groups = join(len(images), looks, own, number_equals(images.hashes))
    findings = [
        *class_folders(images, ~out),
        *doubtful_folders(images),
        *similar_classes(images),
        *_leak(images, looks, own, out),
        *_conflicts(images, equal, looks, blank),
        *_duplicates(images, equal, near_copies, blank),
        *altered_copies(images, near_copies, features),
        *unreadable(images),
        *dark,
        *blank_pictures(images, blank & ~concerned),
        *misnamed(images, ~out),
        *balance(images, ~out),
        *shapes(images),
        *session_findings(sessions, together),
        *one_session(images, sessions, out),
    ]
    return Audit(_ranked(findings), groups, out, sessions, view, together, features)


def _ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    rank = {"serious": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda f: rank[f.severity]))


def near_duplicates(images: ImageSet) -> NearPairs:
    """The confirmed near-duplicates of all images, from the cache if these images were searched before."""
    rule = images.rule  # what is black and white changes the small copies
    key = cache.key_of(
        "pairs", METHOD, images.hashes.tobytes().hex(), images.thumbs.shape, rule.array_range, rule.deep_range
    )
    cached = cache.load_note("pairs", key)
    if cached is not None:
        return NearPairs(**cached)
    pairs = find_near_duplicates(images.thumbs)
    cache.save_note(
        "pairs",
        key,
        first=pairs.first,
        second=pairs.second,
        similarity=pairs.similarity,
        mirrored=pairs.mirrored,
    )
    return pairs


def _sessions(images: ImageSet, out: np.ndarray, view: Likeness) -> Sessions:
    """The sessions of all images that count, from the cache if they were sought in these images before."""
    if not images.headers:
        return find_sessions(images, out, view)
    order = [(n, header.taken, header.camera) for n, header in zip(images.names, images.headers, strict=True)]
    contents = (images.hashes, images.labels, images.parts, out)
    key = cache.key_of("sessions", SESSIONS, view.eyes, order, *(a.tobytes().hex() for a in contents))
    cached = cache.load_note("sessions", key)
    if cached is not None:
        return Sessions.from_arrays(view.eyes, **cached)
    sessions = find_sessions(images, out, view)
    cache.save_note("sessions", key, **sessions.to_arrays())
    return sessions


def _members(numbers: np.ndarray, wanted: np.ndarray) -> list[tuple[int, ...]]:
    """The groups with at least two members, of those at ``wanted``; larger ones first."""
    order = np.flatnonzero(wanted & (numbers >= 0))
    order = order[np.argsort(numbers[order], kind="stable")]
    starts = np.flatnonzero(np.diff(numbers[order])) + 1
    members = [tuple(g.tolist()) for g in np.split(order, starts) if len(g) > 1]
    return sorted(members, key=lambda g: (-len(g), g))


def _several(images: ImageSet, values: np.ndarray, groups: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [g for g in groups if len({values[i] for i in g}) > 1]


def _leak(images: ImageSet, looks: np.ndarray, own: np.ndarray, out: np.ndarray) -> list[Finding]:
    findings = []
    for higher, lower in (("test", ("train", "validation")), ("validation", ("train",))):
        inside = np.isin(images.parts, (higher, *lower)) & ~out
        for numbers, how in (
            (looks, "the same, or nearly the same, as"),
            (own, f"of the same group{by_key('data.group')} as"),
        ):
            groups = _several(images, images.parts == higher, _members(numbers, inside))
            leaked = tuple(sorted(i for g in groups for i in g if images.parts[i] in lower))
            held = sum(images.parts[i] == higher for g in groups for i in g)
            if not leaked:
                continue
            findings.append(
                Finding(
                    "leak",
                    "serious",
                    f"{plural(len(leaked), 'image')} to learn from {'is' if len(leaked) == 1 else 'are'} {how} "
                    f"{plural(held, higher + ' image')}: {held / (images.parts == higher).sum():.1%} of that part is "
                    "not unseen, and accuracy on it is too good.",
                    "Images that the network learned from cannot test it.",
                    len(leaked),
                    tuple(_in_turn(g, images.parts == higher) for g in groups),
                    leave_out=leaked,
                    remedy=Remedy.DROP_LEAKS,
                )
            )
    return findings


def _in_turn(group: tuple[int, ...], held: np.ndarray) -> tuple[int, ...]:
    """One of the part that must be unseen, one to learn from, and so on, so that the first few show both."""
    first, second = [i for i in group if held[i]], [i for i in group if not held[i]]
    turns = sorted([(k, 0, i) for k, i in enumerate(first)] + [(k, 1, i) for k, i in enumerate(second)])
    return tuple(i for _, _, i in turns)


def _conflicts(images: ImageSet, equal: np.ndarray, looks: np.ndarray, blank: np.ndarray) -> list[Finding]:
    every = np.ones(len(images), bool)
    exact = _several(images, images.labels, _members(equal, every & ~blank))
    inside = {i for g in exact for i in g}
    near = [g for g in _several(images, images.labels, _members(looks, every)) if not inside & set(g)]
    findings = []
    if exact:
        n = sum(map(len, exact))
        findings.append(
            Finding(
                "label_conflict",
                "serious",
                f"{plural(len(exact), 'picture')} {'has' if len(exact) == 1 else 'have'} more than one class: the "
                f"same pixels have different labels ({n:,} images). At most one of each can be right.",
                "Look at them, keep the right one and leave out the others.",
                n,
                tuple(exact),
                leave_out=tuple(sorted(inside)),
                remedy=Remedy.LEAVE_OUT,
            )
        )
    if near:
        n = sum(map(len, near))
        findings.append(
            Finding(
                "near_label_conflict",
                "warning",
                f"{plural(len(near), 'group')} of nearly equal pictures {'has' if len(near) == 1 else 'have'} more "
                f"than one class ({n:,} images).",
                "Look at them: either a label is wrong, or the classes differ in something very small.",
                n,
                tuple(near),
            )
        )
    return findings


def _duplicates(images: ImageSet, equal: np.ndarray, looks: np.ndarray, blank: np.ndarray) -> list[Finding]:
    """Copies of one class, within one part: they weigh more than they should, and narrow every interval."""
    findings = []
    alike = images.labels.astype(np.int64) * 4 + np.unique(images.parts, return_inverse=True)[1]
    numbers = {}
    for kind, source in (("duplicates", np.where(blank, -1, equal)), ("near_duplicates", looks)):
        numbers[kind] = np.where(source >= 0, source * (alike.max() + 1) + alike, -1)
    every = np.ones(len(images), bool)
    exact = _members(numbers["duplicates"], every)
    same = {i for g in exact for i in g}
    near = [g for g in _members(numbers["near_duplicates"], every) if not set(g) <= same]
    for kind, groups, word in (("duplicates", exact, "exact"), ("near_duplicates", near, "near")):
        surplus = tuple(sorted(i for g in groups for i in g[1:]))
        if groups:
            findings.append(
                Finding(
                    kind,
                    "warning" if kind == "duplicates" else "note",
                    f"{plural(len(surplus), 'image')} {'is a' if len(surplus) == 1 else 'are'} {word} "
                    f"{'copy' if len(surplus) == 1 else 'copies'} of another image of the same class and part "
                    f"({plural(len(groups), 'group')}, the largest of {len(groups[0])}).",
                    "Splits keep copies together, so they do no harm to the test; they only weigh more. One of each "
                    "is enough.",
                    sum(map(len, groups)),
                    tuple(groups),
                    leave_out=surplus,
                    remedy=Remedy.LEAVE_OUT,
                )
            )
    return findings
