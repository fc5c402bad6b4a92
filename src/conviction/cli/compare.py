"""``conviction compare``: runs on the same images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Html, Json, print_json


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders; the first is the base.")
    ],
    html: Html = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Compare runs on the same test images: difference with interval, McNemar's test, specification."""
    from conviction.flow.compare import compare, find_pictures
    from conviction.reporting import (
        Terminal,
        comparison_step,
        contrasts,
        print_table,
        render_comparison,
        specification_table,
    )
    from conviction.runs import folder

    if html is not None:
        folder.check_file(html)
    comparison = compare(runs)
    if html is not None:
        images, missing = find_pictures(comparison, data_dir)
        pictures = contrasts(comparison, images) if images is not None else []
        folder.write_text(html, render_comparison(comparison, pictures, missing))
    if as_json:
        print_json(comparison.to_json())
        return
    Terminal(sys.stdout).step(comparison_step(comparison))
    if comparison.specification:
        print()
        print_table(specification_table(comparison))
    if html is not None:
        print(f"\nThe page is {html}.")
