"""A table of pictures: a CSV or Parquet file with a row for each, its file or its bytes, its class, and more."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conviction.config import DataSpec
from conviction.config.text import read_bounded, shortened
from conviction.data.image_set import ImageSet
from conviction.data.labelled import Labelled, LabelledFiles, load_labelled
from conviction.data.layout import PART_WORDS
from conviction.data.rule import DecodingRule
from conviction.data.tree import (
    ContentLocation,
    PictureFiles,
    Tree,
    UnreadableFileError,
    check_size,
    stamp_of,
)
from conviction.data.unused import PassedOver
from conviction.errors import SourceError

FILE_COLUMNS = ("file", "filename", "image", "path")
LABEL_COLUMNS = ("label", "class", "category")
PART_COLUMNS, GROUP_COLUMNS = ("split",), ("group",)
_ALL_COLUMNS = {*FILE_COLUMNS, *LABEL_COLUMNS, *PART_COLUMNS, *GROUP_COLUMNS}
# A line for each of ten million pictures.
MOST_BYTES = 2**30
_SEPARATORS = ",;|"


@dataclass(frozen=True)
class Row:
    """A row: where it stands, such as "line 2", and the texts of its columns, "" where it has none."""

    where: str
    file: str
    label: str
    part: str
    group: str


@dataclass(frozen=True)
class PictureTable:
    """The rows of a table, and the columns that are not used."""

    rows: list[Row]
    passed: tuple[PassedOver, ...]


def read_csv(text: str, where: str) -> PictureTable:
    """A CSV with a header.

    Args:
        text: Of the file.
        where: What messages call the file.

    Raises:
        SourceError: It is no CSV, lacks a column, a file or a label, has another word for a part, gives a file two
            labels, or its labels are not one class each.
    """
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        lines = list(reader)
    except csv.Error as failure:
        raise SourceError(f"{where} is not valid CSV ({failure}).") from None
    columns = tuple(reader.fieldnames or ())
    return picture_table(
        columns, [(f"line {number}", line) for number, line in enumerate(lines, start=2)], where
    )


def unknown_columns(columns: Iterable[str]) -> tuple[PassedOver, ...]:
    """Those that ``load_table`` has no use for; one without a name is often the index that pandas writes."""
    return tuple(
        ("unknown_column", c.strip()) for c in columns if c and c.strip().lower() not in _ALL_COLUMNS
    )


def pick_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of the columns that has one of the names, in any case."""
    return next((c for c in columns if c and c.strip().lower() in names), None)


def picture_table(
    columns: Sequence[str], lines: Iterable[tuple[str, Mapping[str, Any]]], where: str
) -> PictureTable:
    """The rows of a table.

    Args:
        columns: Their names.
        lines: Where each row stands, such as "line 2", and its values.
        where: What messages call the table.

    Raises:
        SourceError: As ``read_csv``.
    """
    file, label = pick_column(columns, FILE_COLUMNS), pick_column(columns, LABEL_COLUMNS)
    if not file or not label:
        raise SourceError(
            f"{where} needs a header with a column 'file' and a column 'label'; got "
            f"{shortened(', '.join(map(str, columns))) or 'nothing'}."
        )
    part, group = pick_column(columns, PART_COLUMNS), pick_column(columns, GROUP_COLUMNS)
    rows = []
    for number, line in lines:
        texts = [str(line[c] or "").strip() if c else "" for c in (file, label, part, group)]
        row = Row(number, *texts)
        if not row.file or not row.label:
            raise SourceError(f"{where} {number} lacks a file or a label.")
        word = row.part.lower()
        if word and word not in PART_WORDS:
            raise SourceError(
                f"{where} {number}: expected train, validation or test as split; got '{shortened(row.part)}'."
            )
        rows.append(Row(number, row.file, row.label, PART_WORDS.get(word, ""), row.group))
    _check_labels(rows, where)
    return PictureTable(rows, unknown_columns(columns))


def _check_labels(rows: Sequence[Row], where: str) -> None:
    """Refuses what says plainly that it is not one class of several: fractions, and lists of classes."""
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.file, row)
        if other.label != row.label:
            raise SourceError(
                f"{where} gives '{row.file}' two labels, '{other.label}' and '{row.label}'. Keep one of the lines."
            )
        if _is_fraction(row.label):
            raise SourceError(
                f"{where} {row.where}: the label {row.label} is a measurement, not a class. Conviction learns which of "
                "several classes a picture has; give each row the name of a class, such as the range it is in."
            )
    _refuse_lists(rows, where)


def _is_fraction(label: str) -> bool:
    try:
        value = float(label)
    except ValueError:
        return False
    return math.isfinite(value) and not value.is_integer()


def _refuse_lists(rows: Sequence[Row], where: str) -> None:
    """A class may be called "salt, sea"; where its parts are classes too, or parts of others, they are several."""
    labels = {row.label: row for row in reversed(rows)}
    for separator in _SEPARATORS:
        parts = {label: {p.strip() for p in label.split(separator)} for label in labels}
        counts = Counter(p for several in parts.values() for p in several)
        for label, several in parts.items():
            if len(several) > 1 and any(counts[p] > 1 for p in several):
                raise SourceError(
                    f"{where} {labels[label].where}: the label '{shortened(label)}' names several classes. Conviction "
                    "learns which one of several classes a picture has; give each picture one, or each combination a "
                    "name of its own."
                )


def load_csv(path: Path, spec: DataSpec, saved: DecodingRule | None = None) -> ImageSet:
    """Decodes the pictures that a CSV lists; raises as ``load_table``.

    Args:
        path: A file with the columns file (or path, image) and label (or class, category), and where wanted split
            (train, validation, test) and group.
        spec: How to decode.
        saved: The rule of a run, if there is one.
    """
    return load_table(_read_csv(path), path, spec, saved)


def load_table(table: PictureTable, path: Path, spec: DataSpec, saved: DecodingRule | None) -> ImageSet:
    """Decodes the pictures that a table lists.

    Args:
        table: Its files are named relative to the folder of ``path``, or absolutely.
        path: Where it was read.
        spec: How to decode.
        saved: The rule of a run, if there is one.

    Raises:
        SourceError: The table cannot be read or used, or a class has no readable picture.
        StorageError: As for ``load_labelled``.
    """
    rows = table.rows
    if not rows:
        raise SourceError(f"{path}: expected a row for each picture; the table has none.")
    files = [os.path.normpath(os.path.join(path.parent.resolve(), row.file)) for row in rows]
    base, names = _named(path.parent.resolve(), files)
    once = dict(zip(names, rows, strict=True))  # the labels of a file that is listed twice are the same
    pictures = [Labelled(name, row.label, row.part, row.group) for name, row in once.items()]
    tree = _tree(path, base, [picture.path for picture in pictures])
    return load_labelled(
        tree, LabelledFiles(pictures, table.passed), PictureFiles(base, "folder"), spec, saved
    )


def _named(folder: Path, files: Sequence[str]) -> tuple[Path, list[str]]:
    """(the folder that holds all files, their paths in it): that of the table if they are all inside."""
    base = str(folder)
    if not all(file.startswith(base + os.sep) for file in files):
        base = os.path.commonpath([os.path.dirname(file) for file in files])
    return Path(base), [Path(os.path.relpath(file, base)).as_posix() for file in files]


def _tree(location: Path, base: Path, names: Sequence[str]) -> Tree:
    """Files of the folder ``base`` that the table at ``location`` names; one that is not there is not in ``sizes``."""
    sizes: dict[str, int] = {}
    stamps: dict[str, str] = {}
    special: set[str] = set()
    for name in names:
        try:
            status = os.stat(base / name)
        except (OSError, ValueError):  # a name may hold a zero
            continue
        sizes[name], stamps[name] = status.st_size, stamp_of(status)
        if not stat.S_ISREG(status.st_mode):
            special.add(name)

    def locate(name: str) -> ContentLocation:
        if name in special:  # reading a pipe would block forever
            return UnreadableFileError("it is no file")
        try:
            check_size(sizes[name])
        except UnreadableFileError as failure:
            return failure
        return os.path.join(base, name)

    return Tree(location, "folder", sizes, stamps, locate)


def _read_csv(path: Path) -> PictureTable:
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8-sig", "surrogateescape")
    except (OSError, ValueError) as failure:
        raise SourceError(
            f"{path}: cannot read it ({getattr(failure, 'strerror', None) or failure})."
        ) from None
    return read_csv(text, str(path))
