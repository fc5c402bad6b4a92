"""``conviction fit``: the whole lab, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import (
    Config,
    CpusPerWorker,
    DataDir,
    GpusPerWorker,
    Json,
    Keys,
    Metadata,
    On,
    Quiet,
    Source,
    Workers,
    display,
    print_run,
)
from conviction.cli.placing import send_away, training_on


def fit(
    source: Source,
    keys: Keys = None,
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; default runs/<source>-<recipe>-<n>.")
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            "--exclude", help="A CSV with a column 'file': these images are left out, as with data.exclude."
        ),
    ] = None,
    relabel: Annotated[
        Path | None,
        typer.Option(
            "--relabel",
            help="A CSV with the columns 'file' and 'proposed', as suspects --out writes it: these images get the "
            "proposed class, as with data.relabel.",
        ),
    ] = None,
    metadata: Metadata = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard as well, in the run folder.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Log to this MLflow server or database as well."),
    ] = None,
    on: On = "local",
    workers: Workers = None,
    cpus_per_worker: CpusPerWorker = 1,
    gpus_per_worker: GpusPerWorker = 0,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train and test a network on labelled images: the whole lab, step by step."""
    send_away(on, out, as_json)
    from conviction.flow.fit import fit

    show = display(quiet=quiet, as_json=as_json)
    files = {"data.exclude": exclude, "data.relabel": relabel, "evaluation.metadata": metadata}
    overrides = [*(keys or []), *(f"{key}={json.dumps(str(path))}" for key, path in files.items() if path)]
    with training_on(on, workers, cpus_per_worker, gpus_per_worker) as trainer:
        run = fit(
            source,
            overrides,
            config=config,
            out=out,
            data_dir=data_dir,
            show=show,
            tensorboard=tensorboard,
            mlflow=mlflow,
            trainer=trainer,
        )
    if as_json:
        print_run(run)
    elif quiet:
        print(run.path)
