"""Image folders: class subfolders, with or without train/test/validation above; or flat with labels.csv."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from conviction.audience import by_key
from conviction.config import DataSpec
from conviction.data.decode import SUFFIXES, Probe
from conviction.data.decoded import load_decoded
from conviction.data.depth import FULL_RANGE, is_deep
from conviction.data.image_set import ImageSet, Unreadable, sorted_order
from conviction.data.layout import PART_WORDS, Doubt, as_text, common_depth, read_layout
from conviction.data.listing import LABELS_FILE, Listing, kind_of, list_pictures
from conviction.data.rule import DecodingRule
from conviction.data.size import auto_size, size_sentence
from conviction.data.tree import PictureFiles, Tree
from conviction.data.unused import PassedOver, count_unused, unused_sentence
from conviction.errors import SourceError

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
    entries, passed, doubts = _entries(tree)
    unused = count_unused(passed)
    if not entries:
        raise SourceError(
            f"{tree.location}: expected one subfolder of pictures per class, or a {LABELS_FILE}; found no "
            f"{', '.join(SUFFIXES)} file there. {unused_sentence(unused)}".rstrip()
        )
    class_names = sorted({e.label for e in entries})
    survey, rule, decoded, cache_warning = load_decoded(
        tree, [e.path for e in entries], lambda probes: saved or _rule(spec, probes)
    )
    good = [i for i in range(len(entries)) if i not in survey.problems]
    unreadable = [Unreadable(name=entries[i].path, reason=why) for i, why in sorted(survey.problems.items())]
    _check_classes_left(tree, class_names, [entries[i] for i in good], unreadable)
    # The cache keeps rows in its own order; equal content is equal pixels, so any pairing of equals will do.
    rows = np.empty(len(good), np.int64)
    rows[sorted_order(decoded.hashes)] = np.array(good)[sorted_order(survey.hashes[good])]
    kept = [entries[i] for i in rows]
    headers = [p for p in (survey.probes[i] for i in rows) if p]
    index = {name: i for i, name in enumerate(class_names)}
    return ImageSet(
        name=as_text(tree.location.name),
        location=str(tree.location),
        origin=PictureFiles(tree.location, tree.container),
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
        conversions=[*_conversions(spec, headers, rule), *([cache_warning] if cache_warning else [])],
        unreadable=unreadable,
        unused=unused,
        doubts=tuple(doubts),
    )


def _entries(tree: Tree) -> tuple[list[_Entry], list[PassedOver], list[Doubt]]:
    """The labelled pictures, what was passed over, and which folders may not have been meant as classes."""
    listing = list_pictures(tree)
    depth = common_depth([*listing.pictures.values(), *listing.tables.values()], LABELS_FILE)
    first = next(iter([*listing.pictures.values(), *listing.tables.values()]), [])
    base = PurePosixPath(*first[:depth])
    table = (base / LABELS_FILE).as_posix()
    others: list[PassedOver] = [("other_file", path) for path in listing.tables if path != table]
    if table in listing.tables:
        entries = _from_csv(tree, base)
        listed = {e.path for e in entries}
        passed = [p for p in [*listing.passed, *others] if p[1] not in listed]
        return entries, passed + [("unlabelled_picture", p) for p in listing.pictures if p not in listed], []
    layout = read_layout(
        tree.location, {path: [as_text(p) for p in parts[depth:]] for path, parts in listing.pictures.items()}
    )
    entries = [_Entry(path, label, part) for path, (label, part) in layout.labels.items()]
    empty = _empty_folders(tree, base, listing) if entries else []
    return entries, [*listing.passed, *others, *layout.passed, *empty], layout.doubts


def _empty_folders(tree: Tree, base: PurePosixPath, listing: Listing) -> list[PassedOver]:
    """Folders on disk that hold no picture, beside those that do: they may have been meant as classes."""
    if not tree.location.is_dir():
        return []
    passed = {name for _, name in listing.passed}
    holding = {path.rpartition("/")[0] for path in listing.pictures}
    holding |= {
        "/".join(parts[:i]) for parts in (f.split("/") for f in holding) for i in range(1, len(parts))
    }
    empty: list[PassedOver] = []
    for above in sorted({folder.rpartition("/")[0] for folder in holding if folder}):
        with os.scandir(tree.location / above) as entries:
            names = {e.name: f"{above}/{e.name}".lstrip("/") for e in entries if e.is_dir()}
        for name, path in sorted(names.items()):
            if path not in holding and path not in passed and kind_of([name]) == "other_file":
                empty.append(("empty_folder", path))
    return empty


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
        if part and part not in PART_WORDS:
            raise SourceError(
                f"{tree.location}: {where} line {number}: expected train, validation or test as split; "
                f"got '{part}'."
            )
        entries.append(_Entry((base / name).as_posix(), label, PART_WORDS.get(part, "")))
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
            f"cannot be read, the first is {first.name}: {first.reason}). Repair the files or remove the class."
        )


def _rule(spec: DataSpec, probes: list[Probe]) -> DecodingRule:
    height, width = spec.image_size or auto_size([(p.height, p.width) for p in probes])
    mode = spec.color_mode
    if mode == "auto":
        mode = "rgb" if any(p.has_color for p in probes) else "grayscale"
    return DecodingRule(color_mode=mode, height=height, width=width, fit=spec.fit, file_range=spec.range)


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
    sentences: list[str] = []
    sizes = {(p.height, p.width) for p in probes}
    sentences += size_sentence(sizes, rule, asked=spec.image_size is not None)
    colors = sum(p.has_color for p in probes)
    if rule.color_mode == "rgb" and colors < len(probes):
        sentences.append(f"{len(probes) - colors} grayscale pictures became RGB with three equal channels.")
    if rule.color_mode == "grayscale" and colors:
        sentences.append(f"{colors} colour pictures became grayscale{by_key('data.color_mode=grayscale')}.")
    deep = sum(is_deep(p.mode) for p in probes)
    if deep:
        low, high = rule.deep_range or FULL_RANGE
        sentences.append(f"{deep} 16-bit pictures: values {low:g} to {high:g} became 0 to 255.")
    return [*sentences, *_fourth_channels(probes)]


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
