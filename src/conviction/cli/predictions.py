"""Predictions as a table, JSON or CSV, or written to a file as they come."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from conviction.artefacts import FilePrediction
from conviction.artefacts.parquet import prediction_schema, prediction_table, pyarrow_for
from conviction.cli.options import print_json
from conviction.data.image_set import Unreadable
from conviction.data.unused import Unused, unused_sentence
from conviction.errors import RequestError
from conviction.reporting import Table, print_table, printable
from conviction.runs import folder

# The columns of every CSV of predictions; after them comes one for each class.
COLUMNS = ("file", "label", "probability")
ABSTAINED = "(unsure)"
# Rows of a Parquet file that are written together.
ROW_GROUP = 10_000
Outcome = FilePrediction | Unreadable
T = TypeVar("T")


def watched(items: Iterable[T], total: int) -> Iterator[T]:
    """Yields the same items, with a progress bar where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
    else:
        yield from track(items, "classifying", total=total, console=console, transient=True)


def print_predictions(
    class_names: Sequence[str],
    outcomes: Iterable[Outcome],
    unused: Sequence[Unused],
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints predictions on stdout and, for people, unreadable and unused files on stderr.

    Raises:
        RequestError: Not one of the files could be read.
    """
    collected = list(outcomes)
    predictions = [f for f in collected if isinstance(f, FilePrediction)]
    unreadable = [f for f in collected if isinstance(f, Unreadable)]
    check_any_read(len(predictions), unreadable)
    if as_json:
        value = {
            "predictions": [asdict(p) for p in predictions],
            "unreadable": [asdict(u) for u in unreadable],
            "unused": [u.to_json() for u in unused],
        }
        print_json(value)
    elif as_csv:
        text = io.StringIO()
        write = _csv_rows(text, class_names)
        for p in predictions:
            write(p)
        sys.stdout.flush()
        sys.stdout.buffer.write(text.getvalue().encode("utf-8", "surrogateescape"))
    else:
        _print_table(predictions)
    tell_unreadable(unreadable)
    tell_unused(unused)


def write_predictions(
    path: Path, class_names: Sequence[str], outcomes: Iterable[Outcome]
) -> list[Unreadable]:
    """Writes predictions as they come to a ``.csv``, ``.jsonl`` or ``.parquet`` file, which is whole or absent.

    Returns:
        The files that could not be read.

    Raises:
        RequestError: The name ends otherwise, a package is missing, or not one of the files could be read.
        StorageError: No space is left.
    """
    writers = {".csv": _csv_file, ".jsonl": _json_lines, ".parquet": _parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise RequestError(f"--out {path}: expected a name that ends in {', '.join(writers)}.")
    folder.check_file(path)
    count, unreadable = 0, []
    with folder.replacing(path) as beside, writer(beside, class_names) as write:
        for outcome in outcomes:
            if isinstance(outcome, Unreadable):
                unreadable.append(outcome)
            else:
                write(outcome)
                count += 1
        check_any_read(count, unreadable)
    return unreadable


def check_any_read(read: int, unreadable: Sequence[Unreadable]) -> None:
    """Refuses a request none of whose files could be read.

    Raises:
        RequestError: Not one file could be read.
    """
    if not read and unreadable:
        first = unreadable[0]
        raise RequestError(
            f"none of the {len(unreadable)} files could be read; {first.name}: {first.reason}."
        )


def tell_unreadable(unreadable: Sequence[Unreadable]) -> None:
    """On stderr, a line each."""
    for u in unreadable:
        print(f"left out {printable(u.name)}: {u.reason}", file=sys.stderr)


def tell_unused(unused: Sequence[Unused]) -> None:
    """On stderr, in one sentence; nothing where everything is used."""
    if unused:
        print(unused_sentence(unused), file=sys.stderr)


Write = Callable[[FilePrediction], Any]


def class_columns(class_names: Sequence[str]) -> list[str]:
    """A column for the probability of each class: its name, with ``probability_of_`` before it where that is taken."""
    taken = {*COLUMNS, *class_names}
    columns = []
    for name in class_names:
        column = name
        if name in COLUMNS:
            while column in taken:
                column = f"probability_of_{column}"
            taken.add(column)
        columns.append(column)
    return columns


@contextmanager
def _csv_file(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    # Names of files need not be valid Unicode, and must come back as they are.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield _csv_rows(file, class_names)


def _csv_rows(file: IO[str], class_names: Sequence[str]) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*COLUMNS, *class_columns(class_names)])
    return lambda p: writer.writerow([p.file, p.label or "", p.probability, *p.probabilities.values()])


@contextmanager
def _json_lines(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda p: file.write(json.dumps(asdict(p), allow_nan=False) + "\n")


@contextmanager
def _parquet(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    _, pq = pyarrow_for(f"--out {path}")
    waiting: list[FilePrediction] = []

    def flush() -> None:
        if waiting:
            writer.write_table(prediction_table(waiting, class_names))
            waiting.clear()

    def write(prediction: FilePrediction) -> None:
        waiting.append(prediction)
        if len(waiting) == ROW_GROUP:
            flush()

    with pq.ParquetWriter(path, prediction_schema(class_names)) as writer:
        yield write
        flush()


def _print_table(predictions: Sequence[FilePrediction]) -> None:
    rows = []
    for p in predictions:
        others = sorted(p.probabilities.items(), key=lambda item: -item[1])[1:3]
        following = ", ".join(f"{name} {q:.1%}" for name, q in others)
        rows.append((printable(p.file), p.label or ABSTAINED, f"{p.probability:.1%}", following))
    print_table(Table(("file", "class", "probability", "next"), tuple(rows), right=(2,)))
