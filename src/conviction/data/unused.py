"""What a user supplied and conviction does not use: one kind of record, counted in the same way for every source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal[
    "other_file",
    "loose_picture",
    "unlabelled_picture",
    "picture_to_predict",
    "hidden_picture",
    "empty_folder",
    "repeated_folder",
    "broken_link",
    "special_file",
    "archive_link",
    "nested_archive",
    "replaced_member",
    "unknown_array",
    "unknown_column",
    "second_file",
    "beside_idx",
]
# A kind and a name. Tuples, because there can be a million of them.
PassedOver = tuple[Kind, str]
# Enough to find the others.
MOST_EXAMPLES = 5
# What one of a kind is called, and why it is not used; the reason fits both one and many.
_WORDS: dict[Kind, tuple[str, str]] = {
    "other_file": ("file", "without the ending of a picture file"),
    "loose_picture": ("picture", "outside every class folder"),
    "unlabelled_picture": ("picture", "without a label in labels.csv"),
    "picture_to_predict": ("picture", "in a folder of pictures to predict, where no class is known"),
    "hidden_picture": ("picture", "hidden by its name or its folder's name"),
    "empty_folder": ("folder", "without a picture, so not taken for a class"),
    "repeated_folder": ("linked folder", "to a folder that is read already or that contains this source"),
    "broken_link": ("link", "to nothing that can be read"),
    "special_file": ("special file", "such as a pipe or a device"),
    "archive_link": (
        "link in the archive",
        "not followed: pack the files instead (tar --dereference --hard-dereference)",
    ),
    "nested_archive": ("archive in the source", "not opened: unpack it to use what it holds"),
    "replaced_member": ("file in the archive", "replaced by a later one of the same name"),
    "unknown_array": ("array", "with a name that does not stand for images, labels or class names"),
    "unknown_column": ("column", "with a name that does not stand for files, labels, parts or groups"),
    "second_file": ("IDX file", "with images or labels that another file holds too"),
    "beside_idx": ("file or folder", "without the name of an IDX file of images or labels"),
}


@dataclass(frozen=True, kw_only=True)
class Unused:
    """Things of one kind that were supplied and are not used.

    Attributes:
        kind: A stable name.
        count: How many there are.
        examples: The first few names.
        reason: Why they are not used, as a clause.
    """

    kind: Kind
    count: int
    examples: tuple[str, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``data.json`` and ``--json``."""
        return asdict(self) | {"examples": list(self.examples)}


def count_unused(passed: Iterable[PassedOver]) -> tuple[Unused, ...]:
    """The record of what was passed over, a kind at a time, in the order of ``Kind``."""
    names: dict[Kind, list[str]] = {}
    for kind, name in passed:
        names.setdefault(kind, []).append(name)
    return tuple(
        Unused(
            kind=kind, count=len(names[kind]), examples=tuple(sorted(names[kind])[:MOST_EXAMPLES]), reason=why
        )
        for kind, (_, why) in _WORDS.items()
        if kind in names
    )


def unused_sentence(unused: Sequence[Unused]) -> str:
    """All of it in one sentence; empty where everything is used."""
    if not unused:
        return ""
    return f"Not used: {'; '.join(map(_clause, unused))}."


def _clause(one: Unused) -> str:
    noun, within, rest = _WORDS[one.kind][0].partition(" in")
    noun = " or ".join(f"{n}{'' if one.count == 1 else 's'}" for n in noun.split(" or ")) + within + rest
    more = one.count - len(one.examples)
    names = ", ".join(_printable(name) for name in one.examples) + (f" and {more:,} more" if more else "")
    return f"{one.count:,} {noun} {one.reason} ({names})"


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)
