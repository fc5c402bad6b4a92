"""What every source becomes: labelled uint8 images in memory, and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from conviction.card import card
from conviction.data.decode import Probe
from conviction.data.layout import Doubt
from conviction.data.origin import Origin
from conviction.data.rule import DecodingRule
from conviction.data.unused import Unused

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Relabelled:
    """Labels that were changed.

    Attributes:
        file: Where the changes are from, home being ``~``.
        changes: By the name of an image, the class that the source gives it and the one that it has now.
    """

    file: str
    changes: dict[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageSet:
    """Labelled images, decoded.

    Attributes:
        name: What the data is called in reports.
        location: Where it was found, for people and for ``data.json``.
        origin: What kind of source that is, with all that is needed to read it; None for images without a source.
        pixels: (n, height, width, channels) uint8, 0 black to 255 white.
        labels: (n,) int64 in [0, len(class_names)).
        hashes: (n,) fixed-length bytes: the content of each image, whatever its name and place.
        names: One per image: its path in the source, or ``train/17`` for the rows of an array.
        parts: One per image: "train", "validation" or "test" where the source says so, "" where not.
        groups: One per image: what it belongs together with, "" for nothing; None where the source does not say.
        class_names: In the order of the labels.
        rule: How the images were decoded; the same rule is used again wherever the model predicts.
        stored: How they were stored, e.g. ``(60000, 28, 28) uint8``.
        conversions: One sentence for each thing that was changed on the way in.
        unreadable: Files that were left out.
        unused: What else was supplied and is not used.
        doubts: Folders that were taken for classes and may have been meant otherwise.
        thumbs: (n, 32, 32, 1 or 3) uint8, a small copy of each image whatever ``rule`` says, for the audit.
        pixel_hashes: (n,) of 16 bytes: each row of ``pixels``. Equal ones look equal to the network.
        headers: What the file of each image declares; empty where images were not files.
        relabelled: The labels that ``data.relabel`` has changed; None where it has changed none.
        absent: Whether the pictures themselves are gone: then ``pixels`` has the right shape and means nothing.
    """

    name: str
    location: str
    origin: Origin | None
    pixels: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    names: list[str]
    parts: np.ndarray
    class_names: list[str]
    rule: DecodingRule
    stored: str
    conversions: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    unused: tuple[Unused, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    thumbs: np.ndarray
    pixel_hashes: np.ndarray
    headers: list[Probe] = field(default_factory=list)
    groups: np.ndarray | None = None
    relabelled: Relabelled | None = None
    absent: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.pixels.shape[1:]))
        return f"ImageSet({self.name!r}, {len(self):,} images of {size}, {len(self.class_names)} classes)"

    def _repr_html_(self) -> str:
        counts = zip(self.class_names, self.counts(), strict=True)
        return card(
            f"Images: {self.name}",
            {
                "from": self.location,
                "images": f"{len(self):,}, {' x '.join(map(str, self.pixels.shape[1:]))}",
                "stored as": self.stored,
                "left out": f"{len(self.unreadable)} files that cannot be read" if self.unreadable else "",
            },
            self.conversions,
            head=("class", "images"),
            rows=[(name, f"{count:,}") for name, count in counts],
        )

    @property
    def unpadded(self) -> np.ndarray:
        """``pixels``; where black may lie beside the pictures, ``thumbs``, which have none."""
        return self.thumbs if self.rule.fit == "pad" else self.pixels

    def counts(self, indices: np.ndarray | None = None) -> list[int]:
        """Images per class, of all images or of those at ``indices``."""
        labels = self.labels if indices is None else self.labels[indices]
        return np.bincount(labels, minlength=len(self.class_names)).tolist()

    def hex_hashes(self, indices: np.ndarray | None = None) -> list[str]:
        """The content hashes in hex, as JSON has them, of all images or of those at ``indices``."""
        return [h.tobytes().hex() for h in (self.hashes if indices is None else self.hashes[indices])]

    def rows_of(self, hashes: Iterable[str], names: Iterable[str] = ()) -> list[int | None]:
        """The row of an image of each content; None where there is none.

        Args:
            hashes: In hex.
            names: What these images were called, or nothing. Of images of equal content the one of the same name is
                taken, and otherwise the next one in the order of the rows.
        """
        own, wanted = self.hex_hashes(), list(hashes)
        row_named = dict(zip(self.names, range(len(own)), strict=True))
        named = [row_named.get(name) for name in names] or [None] * len(wanted)
        rows = [
            row if row is not None and own[row] == h else None for row, h in zip(named, wanted, strict=True)
        ]
        taken = set(rows)
        equal: dict[str, list[int]] = {}
        for row in reversed(range(len(own))):
            if row not in taken:
                equal.setdefault(own[row], []).append(row)
        any_row = dict(zip(own, range(len(own)), strict=True))
        return [
            row if row is not None else equal[h].pop() if equal.get(h) else any_row.get(h)
            for row, h in zip(rows, wanted, strict=True)
        ]


HASH_BYTES = 16


def content_hash(content: bytes, context: bytes = b"") -> bytes:
    """BLAKE2b-128 of ``content``; ``context`` separates contents of different shape or kind."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES, key=context).digest()


def array_hashes(images: np.ndarray) -> np.ndarray:
    """One content hash for each image of an array (n, ...); (n,) of fixed-length bytes."""
    # The shape is part of the content: 2x8 and 4x4 pixels can have the same bytes.
    context = repr((images.shape[1:], images.dtype.str)).encode()
    digests = b"".join(content_hash(np.ascontiguousarray(i).tobytes(), context) for i in images)
    # A void type, because NumPy's S type drops trailing zero bytes.
    return np.frombuffer(digests, dtype=f"V{HASH_BYTES}")


def sorted_order(hashes: np.ndarray) -> np.ndarray:
    """The indices that sort (n,) hashes bytewise; equal ones stay in their order."""
    words = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2)  # (n,) of 16 bytes -> (n, 2)
    return np.lexsort((words[:, 1], words[:, 0]))


def number_equals(hashes: np.ndarray) -> np.ndarray:
    """(n,) int64: the same number for equal hashes, numbered by the hashes' own order from 0."""
    order = sorted_order(hashes)
    words = np.ascontiguousarray(hashes[order]).view(">u8").reshape(-1, 2)
    numbers = np.empty(len(hashes), np.int64)
    changes = (words[1:] != words[:-1]).any(axis=1)
    numbers[order] = np.concatenate([[0], np.cumsum(changes)]) if len(hashes) else 0
    return numbers


def labels_hash(images: ImageSet, indices: np.ndarray) -> str:
    """The identity of the labels of some images, whatever their order: hex of the hash of contents with classes."""
    pairs = sorted(
        images.hashes[i].tobytes() + images.class_names[images.labels[i]].encode("utf-8", "surrogateescape")
        for i in indices.tolist()
    )
    return hashlib.blake2b(b"\n".join(pairs), digest_size=HASH_BYTES).hexdigest()


def set_hash(hashes: np.ndarray) -> str:
    """The identity of a set of images, whatever their order: hex of the hash of the sorted hashes."""
    return hashlib.blake2b(b"".join(sorted(h.tobytes() for h in hashes)), digest_size=16).hexdigest()
