"""Options that several commands share, and their JSON answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conviction.audience import JOURNAL
from conviction.version import SCHEMA

if TYPE_CHECKING:
    from conviction.flow.showing import Show
    from conviction.runs import RunFolder

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="{sets}; or the path of {kinds}.",
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys of the specification, such as recipe=lab training.epochs=3 model.filters=[16,32].",
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="A YAML specification; KEY=VALUE overrides it.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where to look for named sets; default CONVICTION_DATA_DIR."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, and everything for people on stderr.")
]
Moved = Annotated[
    str | None,
    typer.Option(
        "--source", help="Where the images of the run are now, if they have been moved; the run remembers it."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show nothing while it works; at the end print the folder alone."),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        "--metadata", help="A CSV with a column 'file': accuracy is broken down by its other columns."
    ),
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="PLACE",
        help="local, or ray: the cluster that RAY_ADDRESS names, or one started here.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="With --on ray: how many processes train together."),
]
CpusPerWorker = Annotated[
    int, typer.Option("--cpus-per-worker", metavar="N", help="CPUs of the cluster that each process takes.")
]
GpusPerWorker = Annotated[
    int,
    typer.Option("--gpus-per-worker", metavar="N", help="GPUs that each process takes; 0 trains on CPUs."),
]
CpusPerTrial = Annotated[
    float | None,
    typer.Option(
        "--cpus-per-trial",
        help="On Ray: CPUs of a node that each trial takes; default as many as it has threads.",
    ),
]
GpusPerTrial = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-trial", help="On Ray: GPUs of a node that each trial takes; 0.5 lets two share one."
    ),
]
Html = Annotated[Path | None, typer.Option("--html", help="Write an HTML page.")]


def display(*, quiet: bool, as_json: bool) -> Show:
    """What shows a run to a person at the command line, and to the page that started it."""
    from conviction.reporting import Journal, Silent, Terminal

    show = Silent() if quiet else Terminal(sys.stderr if as_json else sys.stdout)
    journal = os.environ.get(JOURNAL)
    return Journal(show, Path(journal)) if journal else show


def remember(run: Path, source: str | None, data_dir: Path | None) -> None:
    """Says to a run where its images are now, if ``--source`` does.

    Raises:
        RequestError: They are not the same images.
    """
    if source is not None:
        from conviction.flow.moved import set_source

        set_source(run, source, data_dir)


def print_json(value: Mapping[str, Any]) -> None:
    """One object on stdout, with the number of the schema; NaN is an error, because JSON has none."""
    print(json.dumps({"schema": SCHEMA, **value}, allow_nan=False))


def print_run(run: RunFolder) -> None:
    """What ``fit`` and ``resume`` answer with ``--json``."""
    from conviction.runs import folder

    evaluation = json.loads((run.path / folder.EVALUATION).read_text(encoding="utf-8"))
    evaluation.pop("schema", None)
    unused = [u.model_dump() for u in run.data.unused]
    print_json({"run": str(run.path), "status": run.status, "unused": unused, "evaluation": evaluation})
