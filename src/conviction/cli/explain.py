"""``conviction explain``: why a run gives its answer to a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conviction.cli.options import Json, print_json
from conviction.errors import RequestError

if TYPE_CHECKING:
    from conviction.reporting import Step


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")],
    layer: Annotated[
        str | None, typer.Option("--layer", help="With --at: show the numbers of one value of this layer.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="ROW,COLUMN,CHANNEL or UNIT of that value, counted from 0.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class to explain; default the most likely.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with maps and filters.")] = None,
    as_json: Json = False,
) -> None:
    """Show why a run gives its answer to a picture: Grad-CAM, activations, filters, numbers."""
    from conviction.artefacts import explain as explain_picture
    from conviction.reporting import explanation_steps, render_explanation
    from conviction.runs import folder

    if html is not None:
        folder.check_file(html)
    explanation = explain_picture(
        run,
        image,
        class_name=class_name,
        layer=layer,
        position=None if at is None else position(at),
    )
    steps = explanation_steps(explanation, str(image))
    if html is not None:
        folder.write_text(html, render_explanation(explanation, steps, str(run), str(image)))
    if as_json:
        print_json({"file": str(image), **explanation.to_json()})
        return
    print_steps(steps)
    if html is not None:
        print(f"\nThe page is {html}.")


def position(text: str) -> tuple[int, ...]:
    """``3,4,5`` as (3, 4, 5).

    Raises:
        RequestError: It holds something other than whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            f"--at: expected ROW,COLUMN,CHANNEL or UNIT, whole numbers from 0 such as 3,4,5; got {text!r}."
        ) from None


def print_steps(steps: Sequence[Step]) -> None:
    """Prints on stdout."""
    from conviction.reporting import Terminal

    show = Terminal(sys.stdout)
    for step in steps:
        show.step(step)
