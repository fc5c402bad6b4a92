"""``conviction lab``: the whole lab as a workbench in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir


def lab(
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; if others can reach it, a token is required."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any free port.")] = 8080,
    out: Annotated[Path, typer.Option("--out", help="The folder for the runs.")] = Path("runs"),
    jobs: Annotated[
        int, typer.Option("--jobs", help="How many trainings and experiments run at once; others wait.")
    ] = 1,
    course: Annotated[
        Path | None, typer.Option("--course", help="A course file, for a class: learners join with a token.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Open the lab as a page in the browser: data, network, training, evaluation, experiments, step by step."""
    from conviction.artefacts.formats.reading import missing

    try:
        import nicegui  # noqa: F401
    except ImportError as failure:
        raise missing("lab", failure, "lab") from None
    from conviction.web.server import serve_lab

    serve_lab(
        host=host, port=port, out=out, jobs=jobs, data_dir=data_dir, course=course, browser=not no_browser
    )
