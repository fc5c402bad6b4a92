"""What the audit says of sessions."""

from __future__ import annotations

import numpy as np

from conviction.audience import Remedy
from conviction.data.findings import Finding, plural
from conviction.data.image_set import ImageSet
from conviction.data.sessions import Nearest, Sessions

# What is compared by pixels alone misses more.
_EYES = {
    "features": "by what a network that has learned on other photographs sees in them",
    "pixels": "by their pixels alone, which miss sessions in which much moves",
}


def session_findings(sessions: Sessions, kept_together: bool) -> list[Finding]:
    """Pictures that were taken together.

    Args:
        sessions: Those that were found.
        kept_together: Whether each stays in one part.
    """
    if not sessions.groups:
        return []
    sentences = [
        f"{sessions.pictures:,} pictures seem to be of {plural(len(sessions.groups), 'session')}, such as one burst, "
        f"video or sitting; the largest has {len(sessions.groups[0]):,}."
    ]
    if sessions.near:
        sentences.append(
            f"Of {sessions.neighbours:,} pairs that are close in the order of names or times, {sessions.near:,} look "
            f"alike ({_EYES[sessions.eyes]}); of as many pairs far apart in that order, "
            f"{_rounded(sessions.by_chance)} would."
        )
    if sessions.bursts:
        sentences.append(f"{plural(sessions.bursts, 'pair')} were taken by one camera within moments.")
    if sessions.nearest is not None:
        sentences.append(_with_and_without(sessions.nearest))
    return [
        Finding(
            "sessions",
            "note" if kept_together else "warning",
            " ".join(sentences),
            "Each session stays in one part of the split, so the test set shows what new sessions can be expected to "
            "show."
            if kept_together
            else "Pictures of one session are not independent: where some are learned from "
            "and others tested on, the accuracy is too good for pictures of a new session.",
            sessions.pictures,
            sessions.groups,
            remedy=Remedy.NOTHING if kept_together else Remedy.GROUP_SESSIONS,
        )
    ]


def _with_and_without(nearest: Nearest) -> str:
    share, apart = nearest.right / nearest.pictures, nearest.right_apart / nearest.pictures
    return (
        f"For {plural(nearest.pictures, 'picture')} of sessions outside the test set, the most similar other picture "
        f"has the right class in {share:.1%} of cases; where the pictures of the same session do not count, in "
        f"{apart:.1%}."
    )


def _rounded(expected: float) -> str:
    return f"{expected:,.0f}" if expected >= 1 or expected == 0 else "fewer than 1"


def one_session(images: ImageSet, sessions: Sessions, left_out: np.ndarray) -> list[Finding]:
    """Classes that consist of one session, which nothing can test.

    Args:
        images: All images.
        sessions: Those that were found.
        left_out: (n,) bool, images that do not count.
    """
    counts = images.counts(np.flatnonzero(~left_out))
    whole = [g for g in sessions.groups if len(g) == counts[images.labels[g[0]]]]
    if not whole:
        return []
    names = [images.class_names[images.labels[g[0]]] for g in whole]
    return [
        Finding(
            "one_session",
            "serious",
            f"All pictures of {'class' if len(whole) == 1 else 'each of the classes'} "
            f"{', '.join(repr(n) for n in names[:5])}{' and others' if len(names) > 5 else ''} seem to be of one "
            "session.",
            "Nothing in these images can show how well a network does on another session: add pictures of another day "
            "or place.",
            sum(map(len, whole)),
            tuple(whole),
            tuple(names),
        )
    ]
