"""Sessions: pictures of one burst, video or sitting, which are not independent of each other.

Within a class, pictures are put in order by the time and camera of their EXIF data, or by the numbers in their names.
Neighbours in that order are compared with pictures far apart in it: at least half of the class lies between those,
so that hardly any two of them are of one session. If the order said nothing, neighbours would be as alike as pictures
far apart. A limit of similarity is therefore sought above which few enough neighbours would lie by chance (Benjamini &
Hochberg, "Controlling the False Discovery Rate", 1995, with the pictures far apart as the null distribution).
Neighbours above it are linked, and what is linked is a session. Where no limit will do, there are no sessions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from conviction.data.group import join
from conviction.data.image_set import ImageSet
from conviction.data.layout import PART_WORDS
from conviction.data.likeness import Likeness

METHOD = 1
"""Version of the method: it changes whenever the sessions may differ, because runs keep them."""

Eyes = Literal["features", "pixels"]

REACH = 3
"""Neighbours are at most this far apart in the order: one odd picture must not cut a session in two."""
FALSE_LINKS = 0.02
"""Largest expected share of links that chance explains. The target for precision is 0.95."""
FAR_PAIRS = 20_000
"""Pictures far apart that are compared, at most: enough to see what one neighbour in a thousand does."""
SCREENED = 2_000
"""Neighbours that are compared first in large sets: if they show nothing, the others are not looked at."""
BURST_SECONDS = 2
"""Pictures of one class that a camera took this close together are one burst, whatever they look like."""
SITTING_SECONDS = 3600
"""After a longer pause, the next picture is of another sitting."""
MOST_A_SECOND = 30
"""A camera with more pictures of one second has a clock that stands still."""

MOST_ASKED = 2_000
"""Pictures of sessions whose most similar picture is looked for: enough for half a percent."""
_BLOCK = 256

_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Nearest:
    """How often the most similar other picture has the right class, for pictures in sessions outside the test set.

    Attributes:
        pictures: How many were asked.
        right: How many were right, counting all other pictures outside the test set.
        right_apart: The same, without the pictures of their own session.
    """

    pictures: int
    right: int
    right_apart: int


@dataclass(frozen=True)
class Sessions:
    """Pictures that were taken together.

    Attributes:
        groups: Indices of at least two images each, in their order; the largest first.
        eyes: What decided how alike two pictures are.
        neighbours: How many pairs of neighbours were compared.
        near: How many of them are linked because they look alike.
        by_chance: How many of as many pairs that are far apart look as alike.
        bursts: How many pairs are linked by the time at which they were taken alone.
        nearest: What sessions do to accuracy; None where it was not asked.
    """

    groups: tuple[tuple[int, ...], ...] = ()
    eyes: Eyes = "pixels"
    neighbours: int = 0
    near: int = 0
    by_chance: float = 0.0
    bursts: int = 0
    nearest: Nearest | None = None

    @property
    def pictures(self) -> int:
        """How many images are in a session."""
        return sum(map(len, self.groups))

    def numbers(self, n: int) -> np.ndarray:
        """(n,) int64, the number of each image's session; -1 for images in none."""
        out = np.full(n, -1, np.int64)
        for number, group in enumerate(self.groups):
            out[list(group)] = number
        return out

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All but ``eyes`` and ``nearest``, as ``from_arrays`` takes it."""
        lengths = np.array([len(group) for group in self.groups], np.int64)
        members = np.array([i for group in self.groups for i in group], np.int64)
        counts = np.array([self.neighbours, self.near, self.by_chance, self.bursts], np.float64)
        return {"lengths": lengths, "members": members, "counts": counts}

    @classmethod
    def from_arrays(
        cls, eyes: Eyes, lengths: np.ndarray, members: np.ndarray, counts: np.ndarray
    ) -> Sessions:
        """What ``to_arrays`` made arrays of."""
        groups = np.split(members, np.cumsum(lengths)[:-1]) if len(lengths) else []
        neighbours, near, by_chance, bursts = counts.tolist()
        return cls(
            tuple(tuple(g.tolist()) for g in groups), eyes, int(neighbours), int(near), by_chance, int(bursts)
        )

    def to_json(self, images: ImageSet) -> dict[str, Any]:
        """Plain values for ``data.json``; images as content hashes by name, as the split has them."""
        nearest = None if self.nearest is None else vars(self.nearest)
        counts = {k: getattr(self, k) for k in ("eyes", "neighbours", "near", "by_chance", "bursts")}
        groups = [
            dict(zip((images.names[i] for i in g), images.hex_hashes(np.array(g)), strict=True))
            for g in self.groups
        ]
        return {"method": METHOD, **counts, "nearest": nearest, "groups": groups}


def find_sessions(images: ImageSet, left_out: np.ndarray, likeness: Likeness) -> Sessions:
    """Finds the sessions of a set of picture files.

    Args:
        images: All images; arrays have no names or times of their own, and so no sessions.
        left_out: (n,) bool, images that do not count.
        likeness: How alike two pictures of a class are.
    """
    if not images.headers:
        return Sessions(eyes=likeness.eyes)
    order = _Order(images, left_out)
    bursts = _pairs(order.bursts())
    close, distant = order.neighbours(), order.far_apart()
    links, near, by_chance = _linked(close, distant, likeness)
    numbers = join(len(images), bursts, links)
    return Sessions(
        _groups(numbers, order.sequences), likeness.eyes, len(close), near, by_chance, len(bursts)
    )


def nearest_right(
    images: ImageSet, sessions: Sessions, seen: np.ndarray, likeness: Likeness
) -> Nearest | None:
    """What sessions do to the accuracy of a classifier that answers with the class of the most similar picture.

    Args:
        images: All images.
        sessions: Of these images.
        seen: (n,) bool, images whose labels may be looked at: none of the test set.
        likeness: Its ``vectors`` say which picture is the most similar.

    Returns:
        None where no picture of a session may be looked at.
    """
    numbers = sessions.numbers(len(images))
    asked, others = np.flatnonzero(seen & (numbers >= 0)), np.flatnonzero(seen)
    if not len(asked) or len(np.unique(numbers[others])) < 2:
        return None
    if len(asked) > MOST_ASKED:
        asked = np.sort(_generator().choice(asked, MOST_ASKED, replace=False))
    right = np.zeros(2, np.int64)
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        similar = likeness.vectors[rows] @ likeness.vectors[others].T
        similar[rows[:, None] == others] = -np.inf
        for k in range(2):
            answers = images.labels[others[similar.argmax(1)]]
            right[k] += int((answers == images.labels[rows]).sum())
            similar[numbers[rows][:, None] == numbers[others]] = -np.inf
    return Nearest(len(asked), int(right[0]), int(right[1]))


def _linked(close: np.ndarray, distant: np.ndarray, likeness: Likeness) -> tuple[np.ndarray, int, float]:
    """(the (k, 2) neighbours that look alike, how many, how many of them chance would make)."""
    nothing = np.empty((0, 2), np.int64), 0, 0.0
    if not len(close) or not len(distant):
        return nothing
    if len(close) > 10 * SCREENED:
        some, others = (_generator().permutation(len(p))[:SCREENED] for p in (close, distant))
        far = np.sort(likeness.of(distant[others]))
        if limit_of(likeness.of(close[some]), far, likeness.least) is None:
            return nothing
    far = np.sort(likeness.of(distant))
    values = likeness.of(close)
    limit = limit_of(values, far, likeness.least)
    if limit is None:
        return nothing
    links = close[values >= limit]
    return links, len(links), len(close) * float(np.mean(far >= limit))


def limit_of(close: np.ndarray, far: np.ndarray, least: float) -> float | None:
    """The smallest similarity above which at most ``FALSE_LINKS`` of the neighbours are there by chance.

    Args:
        close: (m,) of neighbours.
        far: (k,) of pictures far apart, sorted.
        least: The limit is never below it.

    Returns:
        None if there is no such limit.

    >>> far = np.linspace(-0.5, 0.5, 1000)
    >>> limit_of(np.concatenate([np.full(50, 0.9), far[::10]]), far, least=0.3)
    0.9
    >>> limit_of(far[::5], far, least=0.3) is None
    True
    """
    ranked = np.sort(close)[::-1]
    # One more than were seen, so that no limit is trusted beyond what this many pairs can show.
    chance = (1 + len(far) - np.searchsorted(far, ranked, side="left")) / (1 + len(far))
    expected = chance * len(close) / np.arange(1, len(close) + 1)
    enough = np.flatnonzero((expected <= FALSE_LINKS) & (ranked >= least))
    return float(ranked[enough[-1]]) if len(enough) else None


class _Order:
    """The pictures of each class in the order in which they were taken, as far as times and names tell."""

    def __init__(self, images: ImageSet, left_out: np.ndarray) -> None:
        trusted = _trusted_clocks(images)
        classes: dict[int, list[tuple[tuple[Any, ...], int]]] = defaultdict(list)
        self.track: dict[int, tuple[str, ...]] = {}
        self.taken: dict[int, int] = {}
        for i in np.flatnonzero(~left_out).tolist():
            header = images.headers[i]
            skeleton, numbers = _parted_name(images.names[i], bool(images.parts[i]))
            if header.taken is not None and header.camera in trusted:
                self.track[i], self.taken[i] = ("taken by", header.camera), header.taken
                numbers = (header.taken, *numbers)
            elif numbers:
                self.track[i] = ("named", skeleton)
            else:
                continue
            classes[int(images.labels[i])].append(((self.track[i], numbers, images.names[i]), i))
        self.sequences = [np.array([i for _, i in sorted(classes[c])], np.int64) for c in sorted(classes)]

    def bursts(self) -> list[tuple[int, int]]:
        """Neighbours that one camera took within moments."""
        gaps = ((a, b, self._gap(a, b)) for q in self.sequences for a, b in _steps(q, 1))
        return [(a, b) for a, b, gap in gaps if gap is not None and gap <= BURST_SECONDS]

    def neighbours(self) -> np.ndarray:
        """(m, 2) pairs that may be of one session."""
        pairs = (pair for q in self.sequences for reach in range(1, REACH + 1) for pair in _steps(q, reach))
        return _pairs((a, b) for a, b in pairs if self._may_join(a, b))

    def far_apart(self) -> np.ndarray:
        """(k, 2) pairs of a class with half of it between them, at most ``FAR_PAIRS``."""
        generator = _generator()
        total = sum(len(q) ** 2 for q in self.sequences)
        parts = [np.empty((0, 2), np.int64)]
        for q in self.sequences:
            half, share = len(q) // 2, -(-FAR_PAIRS * len(q) ** 2 // total)
            rest = len(q) - half
            if half < 2:
                continue
            if rest * (rest + 1) // 2 <= share:
                first, second = np.triu_indices(rest)
            else:  # of a large class there are too many to list
                first, second = np.sort(generator.integers(0, rest, (2, share)), axis=0)
            parts.append(np.stack([q[first], q[second + half]], axis=1))
        return np.concatenate(parts)

    def _gap(self, a: int, b: int) -> int | None:
        if self.track[a] != self.track[b] or a not in self.taken:
            return None
        return self.taken[b] - self.taken[a]

    def _may_join(self, a: int, b: int) -> bool:
        gap = self._gap(a, b)
        return self.track[a] == self.track[b] and (gap is None or gap <= SITTING_SECONDS)


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(METHOD))


def _steps(sequence: np.ndarray, reach: int) -> Iterable[tuple[int, int]]:
    return zip(sequence[:-reach].tolist(), sequence[reach:].tolist(), strict=True)


def _pairs(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(pairs), np.int64).reshape(-1, 2)


def _parted_name(name: str, has_part: bool) -> tuple[str, tuple[int, ...]]:
    """A path without its numbers, and these. The folders of a split are no part of it: sessions may cross them.

    >>> _parted_name("test/cat/IMG_0012.jpg", True)
    ('cat/IMG_#', (12,))
    """
    path = PurePosixPath(name).with_suffix("")
    kept = [p for p in path.parts if not (has_part and p.lower() in PART_WORDS)]
    text = "/".join(kept)
    return _NUMBERS.sub("#", text), tuple(int(n) for n in _NUMBERS.findall(text))


def _trusted_clocks(images: ImageSet) -> set[str]:
    """Cameras whose times tell pictures apart."""
    moments = Counter((h.camera, h.taken) for h in images.headers if h.taken is not None)
    still = {camera for (camera, _), n in moments.items() if n > MOST_A_SECOND}
    return {camera for camera, _ in moments} - still


def _groups(numbers: np.ndarray, sequences: list[np.ndarray]) -> tuple[tuple[int, ...], ...]:
    groups: dict[int, list[int]] = defaultdict(list)
    for sequence in sequences:
        for i in sequence.tolist():
            groups[int(numbers[i])].append(i)
    several = [tuple(g) for g in groups.values() if len(g) > 1]
    return tuple(sorted(several, key=lambda g: (-len(g), g)))
