"""``evaluate``, ``report`` and ``compare``: finished runs again, anew, and against one another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Html, Json, Metadata, print_json
from conviction.errors import RequestError


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]", help="Other images, of classes with the same names; default its own."
        ),
    ] = None,
    metadata: Metadata = None,
    html: Html = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run: open its test set again, or score it on new images."""
    from conviction.flow import evaluate as flow
    from conviction.report.page import render_new_images
    from conviction.report.scores import new_images_step
    from conviction.report.terminal import Terminal
    from conviction.runs import folder

    show = Terminal(sys.stderr if as_json else sys.stdout)
    given = None if metadata is None else str(metadata)
    if source is None:
        if html is not None:
            raise RequestError("evaluate: --html is for new images; of its own the run has report.html.")
        evaluation = flow.evaluate(run, metadata=given, data_dir=data_dir, show=show)
        if as_json:
            print_json({"run": str(run), "evaluation": evaluation.to_json()})
        return
    if html is not None:
        folder.check_file(html)
    found = flow.evaluate_new(run, source, metadata=given, data_dir=data_dir, show=show)
    if html is not None:
        step = new_images_step(found.part, found.images.location, found.said)
        folder.write_text(html, render_new_images(found.images, found.part, step, str(run)))
    if as_json:
        print_json({"run": str(run), **found.to_json()})
    elif html is not None:
        print(f"\nThe page is {html}.")


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FOLDER", help="Write the figures as PNG files as well.")
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FOLDER", help="Write the figures as PDF files as well.")
    ] = None,
    metadata: Metadata = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make the report of a run anew, from what the run keeps; figures for a paper on request."""
    from conviction.flow.evaluate import report
    from conviction.report.terminal import Terminal

    show = Terminal(sys.stderr)
    given = None if metadata is None else str(metadata)
    written = report(run, png=png, pdf=pdf, metadata=given, data_dir=data_dir, show=show)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        print(path)


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
    from conviction.report.comparison import comparison_step, contrasts, specification_table
    from conviction.report.page import render_comparison
    from conviction.report.terminal import Terminal, print_table
    from conviction.runs import folder

    if html is not None:
        folder.check_file(html)
    found = compare(runs)
    if html is not None:
        images, missing = find_pictures(found, data_dir)
        pictures = contrasts(found, images) if images is not None else []
        folder.write_text(html, render_comparison(found, pictures, missing))
    if as_json:
        print_json(found.to_json())
        return
    Terminal(sys.stdout).step(comparison_step(found))
    if found.specification:
        print()
        print_table(specification_table(found))
    if html is not None:
        print(f"\nThe page is {html}.")
