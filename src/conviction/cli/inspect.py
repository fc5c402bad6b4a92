"""``conviction inspect``: the audit without training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import (
    Config,
    DataDir,
    Json,
    Keys,
    Source,
    print_json,
)


def inspect(
    source: Source,
    keys: Keys = None,
    config: Config = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write a manifest: a CSV of images to leave out, for fit --exclude."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page that shows the pictures.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Audit images and labels without training: copies, leaks, contradictions, broken files, balance."""
    from conviction.flow.inspect import inspect
    from conviction.reporting import Terminal, audit_step, load_step

    inspection = inspect(
        source, keys or [], config=config, data_dir=data_dir, out=out, html=html, show=Terminal(sys.stderr)
    )
    if as_json:
        print_json(inspection.to_json())
        return
    show = Terminal(sys.stdout)
    show.step(load_step(inspection.images))
    show.step(audit_step(inspection.audit.findings, inspection.audit.compared))
    for path, what in ((out, "The manifest"), (html, "The page")):
        if path:
            print(f"\n{what} is {path}.")
