"""Which files of a folder or an archive are pictures: one rule, for what is learned from and what is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conviction.data.decode import SUFFIXES
from conviction.data.tree import TAR_SUFFIXES, ZIP_SUFFIXES, Tree
from conviction.data.unused import PassedOver

LABELS_FILE = "labels.csv"
# Operating systems put these among pictures; users do not need to know that they are ignored.
_OF_SYSTEMS = ("__MACOSX", "Thumbs.db", "desktop.ini", ".DS_Store")


@dataclass(frozen=True)
class Listing:
    """The files of a tree by what they are, each path with its parts.

    Attributes:
        pictures: By their names.
        tables: Files called ``labels.csv``.
        passed: What is neither.
    """

    pictures: dict[str, list[str]]
    tables: dict[str, list[str]]
    passed: list[PassedOver]


def list_pictures(tree: Tree) -> Listing:
    """Sorts the files of a tree by their names; nothing is read."""
    listing = Listing({}, {}, list(tree.passed))
    for path in tree.sizes:
        # Plain text and not PurePosixPath, which costs 10 microseconds per name, and there can be a million names.
        parts = path.split("/")
        kind = kind_of(parts)
        if kind == "picture":
            listing.pictures[path] = parts
        elif kind == "other_file" and parts[-1] == LABELS_FILE:
            listing.tables[path] = parts
        elif kind == "other_file" and tree.sizes[path] < 0:
            listing.passed.append(("broken_link", path))
        elif kind != "system":
            listing.passed.append((kind, path))
    return listing


def kind_of(
    parts: Sequence[str],
) -> Literal["picture", "system", "hidden_picture", "nested_archive", "other_file"]:
    """What a file is by the parts of its path: "picture", "system", or why it is passed over."""
    name = parts[-1].lower()
    is_picture = name.endswith(SUFFIXES)
    if any(p in _OF_SYSTEMS or p.startswith("._") for p in parts):
        return "system"
    if any(p.startswith(".") for p in parts):
        return "hidden_picture" if is_picture else "system"
    if is_picture:
        return "picture"
    return "nested_archive" if name.endswith(ZIP_SUFFIXES + TAR_SUFFIXES) else "other_file"
