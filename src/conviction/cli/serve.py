"""``conviction serve``: an exported model behind HTTP, with a page to try it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer


def serve(
    artefact: Annotated[
        Path,
        typer.Argument(
            metavar="ARTEFACT",
            help="An .onnx file that conviction export wrote, or a run folder that has one.",
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; if others can reach it, CONVICTION_API_KEY must be set."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any free port.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the port.")] = 1,
) -> None:
    """Answer HTTP requests with an exported model, with a page to try it. SIGTERM ends it without losing a request."""
    # Garbage collection takes a fifth of the time of the imports and finds nothing; a worker enables it again.
    gc.disable()
    from conviction.server import serve as run

    run(artefact, host=host, port=port, workers=workers)
