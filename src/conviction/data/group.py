"""Which images belong together: by what the user says, and by what the audit found."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from time import monotonic

import numpy as np
import regex

from conviction.audience import option
from conviction.config.text import read_bounded, shortened
from conviction.data.image_set import ImageSet
from conviction.data.table import FILE_COLUMNS
from conviction.errors import RequestError, SourceError, did_you_mean

# The value of ``data.group`` that asks for the sessions which the audit finds.
AUTO = "auto"
# Seconds that a pattern may search, over all names: some would never end, and a run that was sent has a pattern.
MOST_SECONDS = 20.0
# A line for each of ten million pictures.
MOST_CSV = 2**30


def user_groups(images: ImageSet, group: str | None) -> np.ndarray:
    """Numbers the groups that ``data.group`` names; without it, or with ``AUTO``, those of the source.

    Args:
        images: Their ``names`` are what a CSV names and a pattern is searched in.
        group: The path of a CSV with the columns file and group, or a regular expression.

    Returns:
        (n,) int64; -1 for images of no group.

    Raises:
        RequestError: A CSV that cannot be read or names no image, a pattern that is not valid or matches nothing.
    """
    if group == AUTO and not images.headers:
        raise RequestError(
            f"data.group=auto has no effect on {images.location}: sessions are found by the names and times of picture "
            "files, which arrays do not have. Leave the key out, or name the groups in a CSV with the columns file and "
            f"group, whose files are called as here, such as '{images.names[0]}'."
        )
    names: list[str | None]
    if group is None or group == AUTO:
        names = [None] * len(images) if images.groups is None else [str(g) or None for g in images.groups]
    else:
        names = (
            _from_csv(images, Path(group)) if group.lower().endswith(".csv") else _from_pattern(images, group)
        )
    numbers = {name: i for i, name in enumerate(sorted({n for n in names if n is not None}))}
    return np.array([-1 if n is None else numbers[n] for n in names], np.int64)


def _from_pattern(images: ImageSet, pattern: str) -> list[str | None]:
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as failure:
        raise RequestError(
            f"data.group='{shortened(pattern)}': not a valid regular expression ({failure})."
        ) from None
    ends = monotonic() + MOST_SECONDS
    try:
        # Never 0, which would be no limit; other threads go on meanwhile.
        matches = [
            compiled.search(name, timeout=max(ends - monotonic(), 1e-3), concurrent=True)
            for name in images.names
        ]
    except TimeoutError:
        raise RequestError(
            f"data.group='{shortened(pattern)}': searching {len(images):,} names takes longer than {MOST_SECONDS:g} "
            "seconds. A repeated part inside another one, as in (a|aa)+, tries every way to divide a name; name the "
            "part that differs plainly, for example '(patient[0-9]+)', or give a CSV with the columns file and group."
        ) from None
    if not any(matches):
        raise RequestError(
            f"data.group='{shortened(pattern)}': matches none of the {len(images)} names, such as "
            f"'{images.names[0]}'. Give the part that is the same for pictures that belong together, for example "
            "'(patient[0-9]+)'; or the path of a CSV with the columns file and group."
        )
    return [None if m is None else (m.group(1) if compiled.groups else m.group(0)) for m in matches]


def _from_csv(images: ImageSet, path: Path) -> list[str | None]:
    rows = read_file_column(path, "data.group", needed="group")
    groups = {name: row["group"].strip() for name, row in rows}
    check_known(groups, images, f"data.group={path}")
    return [groups.get(name) or None for name in images.names]


def read_file_column(path: Path, what: str, needed: str = "") -> list[tuple[str, dict[str, str]]]:
    """The rows of a CSV by its column 'file' (or filename, image, path); other column names in lower case.

    Raises:
        RequestError: It cannot be read, or lacks the column 'file' or ``needed``.
    """
    try:
        text = read_bounded(path.expanduser(), MOST_CSV).decode("utf-8-sig", "surrogateescape")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = [(c or "").strip().lower() for c in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = list(reader)
    except ValueError as failure:
        raise RequestError(f"{what}={path}: cannot read it ({failure}).") from None
    except OSError as failure:
        raise RequestError(f"{what}={path}: cannot read it ({failure.strerror or failure}).") from None
    except csv.Error as failure:
        raise RequestError(f"{what}={path}: not valid CSV ({failure}).") from None
    file_column = next((c for c in columns if c in FILE_COLUMNS), None)
    if file_column is None or (needed and needed not in columns):
        wanted = f"the columns 'file' and '{needed}'" if needed else "a column 'file'"
        raise RequestError(
            f"{what}={path}: expected a header with {wanted}; got {shortened(', '.join(columns)) or 'nothing'}."
        )
    return [
        (row[file_column] or "", {k: v or "" for k, v in row.items() if isinstance(v, str)}) for row in rows
    ]


def check_known(names: dict[str, str] | set[str], images: ImageSet, what: str) -> None:
    """Refuses names that the source does not have: a list for another folder would silently do nothing.

    Raises:
        RequestError: At least one is unknown; the message names it and the nearest known one.
    """
    known = {*images.names, *(u.name for u in images.unreadable)}
    unknown = [n for n in names if n not in known]
    if unknown:
        raise RequestError(
            f"{what}: {len(unknown)} of its {len(names)} names are not in {images.location}; the first is "
            f"'{unknown[0]}'.{did_you_mean(unknown[0], list(known)[:2000])} Names are relative to the source, such as "
            f"'{images.names[0]}'."
        )


def excluded(images: ImageSet, path: str | None) -> np.ndarray:
    """(n,) bool: the images that the file ``data.exclude`` lists in its column 'file'.

    Raises:
        RequestError: The file cannot be read, or names an image that is not there.
    """
    if path is None:
        return np.zeros(len(images), bool)
    names = {name for name, _ in read_file_column(Path(path), option("exclude", "data.exclude"))}
    check_known(names, images, f"{option('exclude', 'data.exclude')}={path}")
    left_out = np.array([name in names for name in images.names], bool)
    if left_out.all():
        raise SourceError(
            f"{option('exclude', 'data.exclude')}={path}: it lists every image of {images.location}, so none is left."
        )
    return left_out


def join(n: int, *links: np.ndarray) -> np.ndarray:
    """Numbers the connected components of n images.

    Args:
        n: How many images.
        links: Each (n,) int64, equal numbers belong together and -1 to no group; or (m, 2) int64 pairs.

    Returns:
        (n,) int64 from 0, in the order of each group's first member.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [link if link.ndim == 2 else _chain(link) for link in links]
    edges = np.concatenate([np.empty((0, 2), np.int64), *pairs])
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _chain(numbers: np.ndarray) -> np.ndarray:
    """(m, 2) pairs that link each image to the next one with the same number."""
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]
    same = numbers[order][1:] == numbers[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)
