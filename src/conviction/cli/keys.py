"""``conviction keys``: every key of a specification, with what it takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from conviction.cli.options import Json, print_json
from conviction.errors import RequestError, did_you_mean


def keys(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only keys in whose names this occurs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every key: what it is, what it takes, its default."""
    from conviction.config.key_table import all_keys
    from conviction.reporting import Table, print_table

    listed = [key for key in all_keys() if name is None or name in key.name]
    if not listed:
        known = [key.name for key in all_keys()]
        raise RequestError(f"keys: no key has '{name}' in its name.{did_you_mean(str(name), known)}")
    if as_json:
        print_json({"keys": [asdict(key) for key in listed]})
        return
    rows = tuple((key.name, key.default, key.values, key.what) for key in listed)
    print_table(Table(("key", "default", "takes", "what it is"), rows, whole=True))
    print(
        "\nDefaults are those of recipe=lab. config.yaml in a run folder has the value of every key in that run."
    )
