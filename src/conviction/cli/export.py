"""``conviction export``: a run's model in other formats, and as a program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Json, Moved, print_json, remember


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT,...",
            help="Any of {formats}.",
        ),
    ] = "onnx",
    quantize: Annotated[
        str | None,
        typer.Option("--quantize", help="float16 or int8: smaller numbers, for {quantizing}."),
    ] = None,
    most_lost: Annotated[
        float,
        typer.Option(
            "--most-lost", help="The largest share of validation images that a quantized model may lose."
        ),
    ] = 0.01,
    out: Annotated[Path | None, typer.Option("--out", help="The folder; default RUN/exports.")] = None,
    moved: Moved = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write a run's model in other formats; each is kept only if it answers test images as the run did."""
    from conviction.flow.export import export as make
    from conviction.reporting import Terminal

    remember(run, moved, data_dir)
    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    made = make(
        run,
        wanted,
        quantize=quantize,
        most_lost=most_lost,
        out=out,
        data_dir=data_dir,
        show=Terminal(sys.stderr),
    )
    if as_json:
        print_json({"exports": [e.to_json() | {"path": str(e.path)} for e in made]})
        return
    for e in made:
        print(e.sentence)
    print(f"The model card is {made[0].path.parent / 'MODEL_CARD.md'}.")
