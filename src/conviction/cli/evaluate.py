"""``conviction evaluate``: a run's test set again, or new images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Html, Json, Metadata, Moved, print_json, remember
from conviction.errors import RequestError


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]", help="Other images, whose classes have the same names; default the run's own."
        ),
    ] = None,
    metadata: Metadata = None,
    html: Html = None,
    moved: Moved = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run: open its test set again, or score it on new images."""
    from conviction.flow.evaluate import evaluate
    from conviction.flow.evaluate_new import evaluate_new
    from conviction.reporting import Terminal, new_images_step, render_new_images
    from conviction.runs import folder

    remember(run, moved, data_dir)
    show = Terminal(sys.stderr if as_json else sys.stdout)
    metadata_path = None if metadata is None else str(metadata)
    if source is None:
        if html is not None:
            raise RequestError(
                "evaluate: --html is for new images; the run's own test set is in its report.html."
            )
        evaluation = evaluate(run, metadata=metadata_path, data_dir=data_dir, show=show)
        if as_json:
            print_json({"run": str(run), "evaluation": evaluation.to_json()})
        return
    if html is not None:
        folder.check_file(html)
    new_images = evaluate_new(run, source, metadata=metadata_path, data_dir=data_dir, show=show)
    if html is not None:
        step = new_images_step(new_images.part, new_images.images.location, new_images.sentences)
        folder.write_text(html, render_new_images(new_images.images, new_images.part, step, str(run)))
    if as_json:
        print_json({"run": str(run), **new_images.to_json()})
    elif html is not None:
        print(f"\nThe page is {html}.")
