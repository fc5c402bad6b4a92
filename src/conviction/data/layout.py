"""What the folders above pictures stand for: a class, a part of the data, a wrapping, or pictures to predict."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from conviction.data.unused import PassedOver
from conviction.errors import SourceError

# What folders and arrays are called in place of the names in ``PARTS``.
PART_WORDS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_TO_PREDICT = {"pred", "predict", "prediction", "predictions", "inference", "unlabeled", "unlabelled"}
# Words that say only that pictures follow, not which class they have or what they are for.
_GENERAL = {"data", "dataset", "datasets", "set", "sets", "split", "splits", "folder"}
_GENERAL |= {"image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d])(?=\d)")
_SUFFIX = re.compile(r"(?<=[a-z])(set|sets|data|images|imgs)$")
# People do have classes of trains, or of valid (as opposed to invalid) things.
_PLAIN_CLASSES = {"train", "valid"}

Parts = Sequence[str]


@dataclass(frozen=True)
class Doubt:
    """A folder that was taken for a class, and may have been meant otherwise.

    Attributes:
        folder: Its path.
        kind: Its name is that of a part; its name says that pictures follow; it holds folders named as other classes
            are; it holds parts of its own; or it alone has all its pictures in folders of its own.
        inside: The names of the folders in it.
    """

    folder: str
    kind: Literal["part_name", "wrapping", "classes_inside", "parts_inside", "folders_inside"]
    inside: tuple[str, ...] = ()


@dataclass
class Layout:
    """The class and part of every picture that has a class, the pictures without one, and doubtful folders."""

    labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    passed: list[PassedOver] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)


def as_text(name: str) -> str:
    """A name as a class can have it: bytes that are not UTF-8 become escapes, such as ``K\\xe4fer``."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def part_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """(part, the other words) of a folder named after a part: ``seg_train`` is ("train", ("seg",)); else None."""
    words = _words(name)
    parts = [w for w in words if w in PART_WORDS]
    if len(parts) != 1:
        return None
    return PART_WORDS[parts[0]], tuple(w for w in words if w not in PART_WORDS and w not in _GENERAL)


def _words(name: str) -> list[str]:
    words = (_SUFFIX.sub("", w) or w for w in re.split(r"[\W_]+", _CAMEL.sub(" ", name).lower()))
    return [w for w in words if w and not w.isdigit()]


def _is_to_predict(name: str) -> bool:
    return part_of(name) is None and not _TO_PREDICT.isdisjoint(_words(name))


def _is_general(name: str) -> bool:
    words = _words(name)
    return bool(words) and all(w in _GENERAL for w in words)


def common_depth(paths: Sequence[Parts], table: str) -> int:
    """How many folders to step into, each of which holds everything, while classes stay below.

    Args:
        paths: Of pictures and tables of labels, in parts.
        table: What a table of labels is called.
    """
    depth = 0
    while paths:
        tops = {parts[depth] for parts in paths}
        deeper = any(len(parts) - depth > 2 or parts[-1] == table for parts in paths)
        # An archive may hold a file and a folder of one name.
        if len(tops) != 1 or not deeper or any(len(parts) == depth + 1 for parts in paths):
            return depth
        only = part_of(next(iter(tops)))
        if only is not None and not only[1]:
            return depth
        depth += 1
    return depth


def read_layout(location: object, pictures: dict[str, Parts]) -> Layout:
    """Labels pictures by the folders above them.

    Args:
        location: Of the source, for messages.
        pictures: Path to its parts below the folder that holds the classes or parts.

    Raises:
        SourceError: Some folders are named like parts, and others beside them are neither parts nor pictures to
            predict.
    """
    layout = Layout()
    tops: dict[str, list[str]] = defaultdict(list)
    for path, parts in pictures.items():
        if len(parts) > 1:
            tops[parts[0]].append(path)
        else:
            layout.passed.append(("loose_picture", path))
    named = _named_parts(location, list(tops))
    inner = _parts_in_classes(pictures) if not named else {}
    for top, paths in tops.items():
        if not named:
            layout.labels |= {p: (top, inner.get((top, pictures[p][1]), "")) for p in paths}
        elif top in named:
            _label_part(layout, named[top], top, {p: pictures[p][1:] for p in paths})
        else:
            layout.passed += [("picture_to_predict", p) for p in paths]
    if not inner:
        layout.doubts += _doubts(layout, pictures, 1 if named else 0)
    return layout


def _label_part(layout: Layout, part: str, top: str, below: dict[str, Parts]) -> None:
    """Labels the pictures of one part, of which ``below`` has the path inside it."""
    skip = 0
    while True:
        inside = {parts[skip] for parts in below.values() if len(parts) > skip + 1}
        loose = any(len(parts) == skip + 1 for parts in below.values())
        only = next(iter(inside), "")
        deeper = any(len(parts) > skip + 2 for parts in below.values())
        again = only.lower() == top.lower() or (part_of(only) or ("",))[0] == part
        # seg_train/seg_train/sea/1.jpg, train/images/sea/1.jpg; and test/test/1.jpg, which has no class.
        if len(inside) != 1 or loose or not (again or (_is_general(only) and deeper)):
            break
        skip += 1
    for path, parts in below.items():
        if len(parts) > skip + 1:
            layout.labels[path] = (parts[skip], part)
        else:
            layout.passed.append(("loose_picture", path))


def _named_parts(location: object, tops: Sequence[str]) -> dict[str, str]:
    """Folder to part if the folders are parts of the data; empty if they are classes."""
    known = {top: part_and_words for top in tops if (part_and_words := part_of(top))}
    to_predict = [top for top in tops if _is_to_predict(top)]
    by_words: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for part, words in known.values():
        by_words[words].add(part)
    several = any(len(parts) > 1 for parts in by_words.values())
    exact = all(top.lower() in PART_WORDS for top in known)
    others = [top for top in tops if top not in known and top not in to_predict]
    # train1 and train2 might be classes; train_1 alone, or with test_1, is a part.
    sure = several or exact or (len(known) == 1 and () in by_words)
    if known and not others and len(by_words) == 1 and sure:
        return {top: part for top, (part, _) in known.items()}
    if several:
        parts, beside = sorted(known), others or to_predict
        if len(by_words) > 1 and not others:
            raise SourceError(
                f"{location}: the folders {_some(parts)} each name a part of the data and something else. Expected "
                "train/CLASS/picture and test/CLASS/picture: make one folder for each part, with a folder for each "
                "class in it."
            )
        raise SourceError(
            f"{location}: the folders {_some(parts)} are named like parts of the data, but beside them is "
            f"{_some(sorted(beside))}. If it holds images to learn from, move its class folders into one of the "
            "parts; if not, move it out of the source."
        )
    return {}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(repr(n) for n in names[:4]) + more


def _parts_in_classes(pictures: dict[str, Parts]) -> dict[tuple[str, str], str]:
    """(class folder, folder in it) to part, for cat/train/1.png and the like; empty for any other layout."""
    inside = {(parts[0], parts[1]) for parts in pictures.values() if len(parts) == 3}
    known = {both: part_and_words for both in inside if (part_and_words := part_of(both[1]))}
    usual = all(len(parts) in (1, 3) for parts in pictures.values()) and len(known) == len(inside)
    if not usual or len({part for part, _ in known.values()}) < 2 or len({w for _, w in known.values()}) > 1:
        return {}
    return {both: part for both, (part, _) in known.items()}


def _is_plain(name: str) -> bool:
    words = set(re.split(r"[\W_]+", name.lower()))
    return bool(words & _PLAIN_CLASSES) and not words & _GENERAL


def _doubts(layout: Layout, pictures: dict[str, Parts], at: int) -> Iterator[Doubt]:
    """Folders that may not be meant as classes; ``at`` is where in the parts of a path classes begin, at least."""
    inside: dict[str, set[str]] = defaultdict(set)
    direct = set()
    folders: dict[str, str] = {}
    for path, (label, _) in layout.labels.items():
        parts = list(pictures[path])
        position = parts.index(label, at)
        folders.setdefault(label, path.rsplit("/", len(parts) - 1 - position)[0])
        if len(parts) > position + 2:
            inside[label].add(parts[position + 1])
        else:
            direct.add(label)
    for label, folder in folders.items():
        names = tuple(sorted(inside[label]))
        parts_inside = {part_and_words[0] for name in names if (part_and_words := part_of(name))}
        like_part = part_of(label) or _is_to_predict(label)
        if inside[label] & (folders.keys() - {label}):
            yield Doubt(folder, "classes_inside", names)
        elif len(parts_inside) > 1:
            yield Doubt(folder, "parts_inside", names)
        elif like_part and (names or not _is_plain(label)):
            yield Doubt(folder, "part_name", names)
        elif names and _is_general(label):
            yield Doubt(folder, "wrapping", names)
        elif len(names) > 1 and label not in direct and direct:
            yield Doubt(folder, "folders_inside", names)
