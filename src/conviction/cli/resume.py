"""``conviction resume``: continues a run that was stopped or killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import (
    CpusPerWorker,
    DataDir,
    GpusPerWorker,
    Json,
    Moved,
    On,
    Quiet,
    Workers,
    display,
    print_run,
    remember,
)
from conviction.cli.placing import send_away, training_on


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="training.epochs=N", help="Train for more epochs.")
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Go on logging to this MLflow server or database."),
    ] = None,
    on: On = "local",
    workers: Workers = None,
    cpus_per_worker: CpusPerWorker = 1,
    gpus_per_worker: GpusPerWorker = 0,
    moved: Moved = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Continue a run that was stopped or killed, bit for bit, or train it for more epochs."""
    send_away(on, run, as_json)
    from conviction.flow.resume import resume

    remember(run, moved, data_dir)
    show = display(quiet=quiet, as_json=as_json)
    with training_on(on, workers, cpus_per_worker, gpus_per_worker) as trainer:
        done = resume(run, keys or [], mlflow=mlflow, data_dir=data_dir, show=show, trainer=trainer)
    if as_json:
        print_run(done)
    elif quiet:
        print(done.path)
