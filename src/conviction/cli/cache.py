"""``conviction cache``: decoded pictures, what frozen networks make of them, and what was given in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from conviction.cli.options import Json, print_json


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in the cache.")] = False,
    as_json: Json = False,
) -> None:
    """See or clear the cache: decoded pictures, their features, and what was given to a run in Python.

    A run that was given arrays or a data set reads its images there again; clearing the cache removes them.
    """
    from conviction.data.cache import clear as clear_cache

    freed = clear_cache() if clear else None
    contents = cache_contents()
    if as_json:
        print_json(contents if freed is None else {**contents, "freed_bytes": freed})
    else:
        print_cache(contents, freed)


def cache_contents() -> dict[str, Any]:
    """Where the cache is, how large it may grow, and what it holds."""
    from dataclasses import asdict

    from conviction.data.cache import cache_root, entries, in_memory_files, limit_bytes

    return {
        "cache": str(cache_root()),
        "limit_bytes": limit_bytes(),
        "entries": [asdict(entry) for entry in entries()],
        "in_memory": [{"file": str(path), "bytes": path.stat().st_size} for path in in_memory_files()],
    }


def print_cache(contents: dict[str, Any], freed: int | None) -> None:
    """The same for people, on stdout."""
    from conviction.reporting import Table, print_table, printable

    if freed is not None:
        print(f"Removed {freed / 1e6:,.1f} MB from {contents['cache']}.")
        return
    total = sum(entry["bytes"] for entry in contents["entries"])
    print(f"{contents['cache']}: {total / 1e6:,.1f} MB of at most {contents['limit_bytes'] / 1e9:,.1f} GB.")
    rows = tuple(
        (
            printable(entry["name"]),
            "x".join(map(str, entry["shape"])),
            f"{entry['bytes'] / 1e6:,.1f}",
            datetime.fromtimestamp(entry["last_used"]).astimezone().strftime("%Y-%m-%d %H:%M"),
        )
        for entry in contents["entries"]
    )
    if rows:
        print_table(
            Table(("source", "images x height x width x channels", "MB", "last used"), rows, right=(2,))
        )
    files = contents["in_memory"]
    if files:
        size = sum(file["bytes"] for file in files)
        print(f"{size / 1e6:,.1f} MB besides were given in Python, and runs read their images there:")
        for file in files:
            print(f"  {printable(file['file'])}")
