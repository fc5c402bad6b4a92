"""``conviction report``: the report again, from what the run keeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Json, Metadata, Moved, print_json, remember


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FOLDER", help="Write the figures as PNG files as well.")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FOLDER", help="Write the figures as PDF files as well.")
    ] = None,
    metadata: Metadata = None,
    moved: Moved = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make the report of a run again, from what the run has kept; on request, figures for a paper too."""
    from conviction.flow.report import report
    from conviction.reporting import Terminal

    remember(run, moved, data_dir)
    show = Terminal(sys.stderr)
    metadata_path = None if metadata is None else str(metadata)
    written = report(run, png=png, pdf=pdf, metadata=metadata_path, data_dir=data_dir, show=show)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        print(path)
