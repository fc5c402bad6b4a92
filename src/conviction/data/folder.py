"""Image folders: class subfolders, with or without train/test/validation above; or flat with labels.csv."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from conviction.config import DataSpec
from conviction.data.decode import SUFFIXES
from conviction.data.image_set import ImageSet
from conviction.data.labelled import Labelled, LabelledFiles, load_labelled
from conviction.data.layout import as_text, common_depth, read_layout
from conviction.data.listing import LABELS_FILE, Listing, kind_of, list_pictures
from conviction.data.rule import DecodingRule
from conviction.data.table import read_csv
from conviction.data.tree import PictureFiles, Tree
from conviction.data.unused import PassedOver, count_unused, unused_sentence
from conviction.errors import SourceError


def load_folder(tree: Tree, spec: DataSpec, saved: DecodingRule | None = None) -> ImageSet:
    """Decodes every readable picture of an image folder or an archive of one.

    Broken pictures are listed in ``unreadable`` and left out. ``saved`` is the rule of a run, if there is one.

    Raises:
        SourceError: No pictures, an unknown layout, a class without a readable picture.
        StorageError: The pixels are too many for memory, and the cache cannot be written.
    """
    files = _labelled(tree)
    if not files.pictures:
        raise SourceError(
            f"{tree.location}: expected one subfolder of pictures per class, or a {LABELS_FILE}; found no "
            f"{', '.join(SUFFIXES)} file there. {unused_sentence(count_unused(files.passed))}".rstrip()
        )
    return load_labelled(tree, files, PictureFiles(tree.location, tree.container), spec, saved)


def _labelled(tree: Tree) -> LabelledFiles:
    """The labelled pictures, what was passed over, and which folders may not have been meant as classes."""
    listing = list_pictures(tree)
    depth = common_depth([*listing.pictures.values(), *listing.tables.values()], LABELS_FILE)
    first = next(iter([*listing.pictures.values(), *listing.tables.values()]), [])
    base = PurePosixPath(*first[:depth])
    table = (base / LABELS_FILE).as_posix()
    others: list[PassedOver] = [("other_file", path) for path in listing.tables if path != table]
    if table in listing.tables:
        pictures, columns = _from_csv(tree, base)
        listed = {p.path for p in pictures}
        passed = [p for p in [*listing.passed, *others] if p[1] not in listed]
        unlabelled: list[PassedOver] = [
            ("unlabelled_picture", p) for p in listing.pictures if p not in listed
        ]
        return LabelledFiles(pictures, [*passed, *unlabelled, *columns])
    layout = read_layout(
        tree.location, {path: [as_text(p) for p in parts[depth:]] for path, parts in listing.pictures.items()}
    )
    pictures = [Labelled(path, label, part) for path, (label, part) in layout.labels.items()]
    empty = _empty_folders(tree, base, listing) if pictures else []
    return LabelledFiles(pictures, [*listing.passed, *others, *layout.passed, *empty], layout.doubts)


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


def _from_csv(tree: Tree, base: PurePosixPath) -> tuple[list[Labelled], Sequence[PassedOver]]:
    name = (base / LABELS_FILE).as_posix()
    where = f"{tree.location}: {name}"
    pictures = []
    listed = read_csv(tree.read_text(name), where)
    for row in listed.rows:
        path = PurePosixPath(row.file)
        if path.is_absolute() or ".." in path.parts:
            raise SourceError(f"{where} {row.where} leads out of the folder: '{row.file}'.")
        pictures.append(Labelled((base / path).as_posix(), row.label, row.part, row.group))
    return pictures, listed.passed
