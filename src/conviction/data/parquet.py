"""Parquet files with a row for each picture: its path, or the content of its file, as data sets are published."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conviction.config import DataSpec
from conviction.config.text import shortened
from conviction.data.datasets import part_of
from conviction.data.folder import load_folder
from conviction.data.image_set import ImageSet
from conviction.data.kept import Example, named_class, text_of, write_examples
from conviction.data.layout import as_text
from conviction.data.rule import DecodingRule
from conviction.data.table import (
    FILE_COLUMNS,
    GROUP_COLUMNS,
    LABEL_COLUMNS,
    PART_COLUMNS,
    load_table,
    pick_column,
    picture_table,
    unknown_columns,
)
from conviction.data.tree import open_tree, stamp_of
from conviction.errors import RequestError, SourceError

# Rows that are in memory at once.
_BATCH = 64


def load_parquet(path: Path, spec: DataSpec, saved: DecodingRule | None = None) -> ImageSet:
    """Decodes the pictures of a Parquet file.

    Args:
        path: A file with the columns of ``load_csv``. A picture is a path, relative to its folder or absolute, the
            content of a file, or as Hugging Face writes both: ``{"bytes": ..., "path": ...}``.
        spec: How to decode.
        saved: The rule of a run, if there is one.

    Raises:
        SourceError: The table cannot be read or used, or a class has no readable picture.
        RequestError: PyArrow is not installed.
        StorageError: As for ``load_labelled``, or the contents do not fit into the cache.
    """
    with _reading(path) as file:
        schema = file.schema_arrow
        columns = [n for n in schema.names if n not in dict(unknown_columns(schema.names)).values()]
        picture = pick_column(schema.names, FILE_COLUMNS)
        if picture is None or not _holds_contents(schema.field(picture).type):
            rows = [(f"row {i}", line) for i, line in enumerate(_lines(file, columns), start=1)]
            table = picture_table(columns, rows, str(path))
            return load_table(replace(table, passed=unknown_columns(schema.names)), path, spec, saved)
    stamp = f"{path.resolve()} {stamp_of(path.stat())}"
    written = write_examples(
        _examples(path), [name for _, name in unknown_columns(schema.names)], identity=stamp
    )
    with open_tree(written) as tree:
        return replace(load_folder(tree, spec, saved), name=as_text(path.stem), location=str(path))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile``, whose errors become ours."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise RequestError(f"{path}: needs PyArrow: pip install 'conviction[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (OSError, pyarrow.ArrowException) as failure:
        raise SourceError(f"{path}: not a readable Parquet file ({shortened(str(failure))}).") from None


def _lines(file: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(_BATCH, columns=columns):
        yield from batch.to_pylist()


def _holds_contents(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def _examples(path: Path) -> Iterator[Example]:
    """The contents, with the names of classes where the file tells them."""
    with _reading(path) as file:
        names = file.schema_arrow.names
        picture, label = pick_column(names, FILE_COLUMNS), pick_column(names, LABEL_COLUMNS)
        part, group = pick_column(names, PART_COLUMNS), pick_column(names, GROUP_COLUMNS)
        if picture is None or label is None:
            raise SourceError(
                f"{path}: expected a column 'image' and a column 'label'; got {', '.join(names)}."
            )
        classes = _class_names(file.schema_arrow.metadata or {}, label)
        columns = [c for c in (picture, label, part, group) if c]
        for number, line in enumerate(_lines(file, columns), start=1):
            content = line[picture]
            if isinstance(content, dict):
                content = content["bytes"]
            if content is None or line[label] is None:
                raise SourceError(f"{path} row {number} lacks a picture or a label.")
            known = named_class(line[label], classes)
            part_word, group_name = (line[c] if c else None for c in (part, group))
            yield Example(content, known, part_of(part_word), text_of(group_name))


def _class_names(metadata: dict[bytes, bytes], label: str) -> list[str] | None:
    """What Hugging Face writes beside the schema; None where it is not there."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None
