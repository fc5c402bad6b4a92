"""Image folders: class subfolders, with or without train/test/validation above; or flat with labels.csv."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from conviction.config import DataSpec
from conviction.data.decode import SUFFIXES, Probe
from conviction.data.decoded import load_decoded
from conviction.data.depth import FULL_RANGE, is_deep
from conviction.data.image_set import ImageSet, Unreadable, sorted_order
from conviction.data.rule import DecodingRule
from conviction.data.size import auto_size, size_sentence
from conviction.data.tree import Tree
from conviction.errors import SourceError

LABELS_FILE = "labels.csv"
_PART_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_FILE_COLUMNS = ("file", "filename", "image", "path")
_LABEL_COLUMNS = ("label", "class", "category")


@dataclass(frozen=True)
class _Entry:
    path: str
    label: str
    part: str


def load_folder(tree: Tree, spec: DataSpec, saved: DecodingRule | None = None) -> ImageSet:
    """Decodes every readable picture of an image folder or an archive of one.

    Broken pictures are listed in ``unreadable`` and left out. ``saved`` is the rule of a run, if there is one.

    Raises:
        SourceError: No pictures, an unknown layout, a class without a readable picture.
        StorageError: The pixels are too many for memory, and the cache cannot be written.
    """
    entries, passed_over = _entries(tree)
    if not entries:
        raise SourceError(
            f"{tree.location}: expected one subfolder of pictures per class, or a {LABELS_FILE}; found no "
            f"{', '.join(SUFFIXES)} file in that place."
        )
    class_names = sorted({e.label for e in entries})
    survey, rule, decoded, said = load_decoded(
        tree, [e.path for e in entries], lambda found: saved or _rule(spec, found)
    )
    good = [i for i in range(len(entries)) if i not in survey.problems]
    unreadable = [Unreadable(name=entries[i].path, reason=why) for i, why in sorted(survey.problems.items())]
    _check_classes_left(tree, class_names, [entries[i] for i in good], unreadable)
    # The cache has rows of its own order; equal content is equal pixels, so any pairing of equals will do.
    rows = np.empty(len(good), np.int64)
    rows[sorted_order(decoded.hashes)] = np.array(good)[sorted_order(survey.hashes[good])]
    kept = [entries[i] for i in rows]
    headers = [p for p in (survey.probes[i] for i in rows) if p]
    index = {name: i for i, name in enumerate(class_names)}
    return ImageSet(
        name=tree.location.name,
        location=str(tree.location),
        pixels=decoded.pixels,
        thumbs=decoded.thumbs,
        pixel_hashes=decoded.pixel_hashes,
        headers=headers,
        labels=np.array([index[e.label] for e in kept], np.int64),
        hashes=decoded.hashes,
        names=[e.path for e in kept],
        parts=np.array([e.part for e in kept]),
        class_names=class_names,
        rule=rule,
        stored=_stored(headers),
        conversions=[*passed_over, *_conversions(spec, headers, rule), *([said] if said else [])],
        unreadable=unreadable,
    )


def _entries(tree: Tree) -> tuple[list[_Entry], list[str]]:
    """The labelled pictures, and what was passed over, in sentences."""
    # Plain text and not PurePosixPath, which costs 10 microseconds a name, of which there can be a million.
    visible = {p: p.split("/") for p in tree.sizes}
    visible = {p: parts for p, parts in visible.items() if not _hidden(parts)}
    depth = _common_depth(list(visible.values()))
    base = PurePosixPath(*next(iter(visible.values()), [])[:depth])
    if (base / LABELS_FILE).as_posix() in visible:
        return _from_csv(tree, base), []
    pictures = {p: parts[depth:] for p, parts in visible.items() if p.lower().endswith(SUFFIXES)}
    skipped = len(visible) - len(pictures)
    tops = {parts[0].lower() for parts in pictures.values() if len(parts) > 1}
    in_parts = bool(tops) and tops <= set(_PART_NAMES)
    entries = [
        _Entry(p, parts[in_parts], _PART_NAMES[parts[0].lower()] if in_parts else "")
        for p, parts in pictures.items()
        if len(parts) > 1 + in_parts
    ]
    above = {base / parts[0] if in_parts else base for parts in pictures.values()}
    said = [f"{skipped} other files, not pictures by their name, were passed over."] if skipped else []
    return entries, said + _bare_folders(tree, above, {e.label for e in entries})


def _bare_folders(tree: Tree, above: set[PurePosixPath], classes: set[str]) -> list[str]:
    """Folders on disk beside those of the classes that hold no picture: somebody may have meant them as classes."""
    if not tree.location.is_dir():
        return []
    beside = [p for place in above for p in (tree.location / place).iterdir() if p.is_dir()]
    bare = sorted({p.name for p in beside if p.name not in classes and not _hidden([p.name])})
    return [f"The folder '{name}' holds no picture, so that it is no class." for name in bare]


def _hidden(parts: list[str]) -> bool:
    """MacOS and Windows put files of their own among pictures."""
    return any(p.startswith(".") or p in ("__MACOSX", "Thumbs.db", "desktop.ini") for p in parts)


def _common_depth(paths: list[list[str]]) -> int:
    """Archives often hold one folder that holds everything: how many such to step into, while classes stay below."""
    depth = 0
    while True:
        tops = {parts[depth] for parts in paths}
        deeper = any(len(parts) - depth > 2 or parts[-1] == LABELS_FILE for parts in paths)
        only = next(iter(tops), "")
        # An archive may hold a file and a folder of one name.
        if any(len(parts) == depth + 1 for parts in paths):
            return depth
        if len(tops) != 1 or not deeper or only.lower() in _PART_NAMES or only == LABELS_FILE:
            return depth
        depth += 1


def _from_csv(tree: Tree, base: PurePosixPath) -> list[_Entry]:
    where = (base / LABELS_FILE).as_posix()
    try:
        rows = list(csv.DictReader(io.StringIO(tree.read_text(where), newline=""), strict=True))
    except csv.Error as failure:
        raise SourceError(f"{tree.location}: {where} is not valid CSV ({failure}).") from None
    columns = list(rows[0]) if rows else []
    file_column = next((c for c in columns if c and c.strip().lower() in _FILE_COLUMNS), None)
    label_column = next((c for c in columns if c and c.strip().lower() in _LABEL_COLUMNS), None)
    part_column = next((c for c in columns if c and c.strip().lower() == "split"), None)
    if not file_column or not label_column:
        raise SourceError(
            f"{tree.location}: {where} needs a header with a column 'file' and a column 'label'; got "
            f"{', '.join(map(str, columns)) or 'no rows'}."
        )
    entries = []
    for number, row in enumerate(rows, start=2):
        name, label = (row[file_column] or "").strip(), (row[label_column] or "").strip()
        if not name or not label:
            raise SourceError(f"{tree.location}: {where} line {number} lacks a file or a label.")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise SourceError(f"{tree.location}: {where} line {number} leads out of the folder: '{name}'.")
        part = (row[part_column] or "").strip().lower() if part_column else ""
        if part and part not in _PART_NAMES:
            raise SourceError(
                f"{tree.location}: {where} line {number}: expected train, validation or test as split; "
                f"got '{part}'."
            )
        entries.append(_Entry((base / name).as_posix(), label, _PART_NAMES.get(part, "")))
    _check_once(tree, where, entries)
    return entries


def _check_once(tree: Tree, where: str, entries: list[_Entry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        if seen.setdefault(entry.path, entry.label) != entry.label:
            raise SourceError(
                f"{tree.location}: {where} gives '{entry.path}' two labels, '{seen[entry.path]}' and "
                f"'{entry.label}'. Keep one of the lines."
            )


def _check_classes_left(
    tree: Tree, class_names: list[str], kept: list[_Entry], unreadable: list[Unreadable]
) -> None:
    empty = sorted(set(class_names) - {e.label for e in kept})
    if empty:
        first = unreadable[0]
        raise SourceError(
            f"{tree.location}: class '{empty[0]}' has no readable picture left ({len(unreadable)} files "
            f"cannot be read, the first is {first.name}: {first.reason}). Mend the files or remove the class."
        )


def _rule(spec: DataSpec, probes: list[Probe]) -> DecodingRule:
    height, width = spec.image_size or auto_size([(p.height, p.width) for p in probes])
    mode = spec.color_mode
    if mode == "auto":
        mode = "rgb" if any(p.has_color for p in probes) else "grayscale"
    return DecodingRule(color_mode=mode, height=height, width=width, file_range=spec.range)


def _stored(probes: list[Probe]) -> str:
    sizes = {(p.width, p.height) for p in probes}
    modes = ", ".join(sorted({p.mode for p in probes}))
    if len(sizes) == 1:
        width, height = sizes.pop()
        return f"{len(probes)} picture files of {width}x{height} pixels, mode {modes}"
    widths, heights = zip(*sizes, strict=True)
    return (
        f"{len(probes)} picture files from {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)} "
        f"pixels (width x height), mode {modes}"
    )


def _conversions(spec: DataSpec, probes: list[Probe], rule: DecodingRule) -> list[str]:
    said: list[str] = []
    sizes = {(p.height, p.width) for p in probes}
    said += size_sentence(sizes, rule, asked=spec.image_size is not None)
    colors = sum(p.has_color for p in probes)
    if rule.color_mode == "rgb" and colors < len(probes):
        said.append(f"{len(probes) - colors} grayscale pictures became RGB with three equal channels.")
    if rule.color_mode == "grayscale" and colors:
        said.append(f"{colors} colour pictures became grayscale (data.color_mode=grayscale).")
    deep = sum(is_deep(p.mode) for p in probes)
    if deep:
        low, high = rule.deep_range or FULL_RANGE
        said.append(f"{deep} 16-bit pictures: values {low:g} to {high:g} became 0 to 255.")
    return [*said, *_fourth_channels(probes)]


def _fourth_channels(probes: list[Probe]) -> list[str]:
    """What the channels beyond red, green and blue were taken for."""
    modes = [p.mode.removesuffix(";16") for p in probes]
    taken = (
        (("LA", "La", "PA", "RGBA", "RGBa"), "with transparency (alpha) were laid over white"),
        (("CMYK",), "in four inks (CMYK) became red, green and blue"),
        (("RGBX",), "have a fourth channel that their file does not name; it was left out"),
    )
    counts = [(sum(m in names for m in modes), what) for names, what in taken]
    return [f"{n} pictures {what}." for n, what in counts if n]
