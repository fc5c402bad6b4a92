"""``conviction explore``: change one thing, and know whether it mattered."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from conviction.cli.options import (
    Config,
    CpusPerTrial,
    DataDir,
    GpusPerTrial,
    Json,
    Keys,
    On,
    Quiet,
    Source,
    print_json,
)
from conviction.cli.placing import send_away


def explore(
    source: Source,
    keys: Keys = None,
    question: Annotated[
        list[str] | None,
        typer.Option(
            "--question",
            help="{questions}, or all.",
        ),
    ] = None,
    claim: Annotated[
        str | None,
        typer.Option(
            "--claim",
            metavar="NAME",
            help="Test a claim of the lesson on these images, in the experiment that it was measured with; "
            "'conviction learn claims' asks what you expect first.",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=a,b,c", help="Values of a key, each compared with the base."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each arm, with the same seeds.")] = 5,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget", metavar="IMAGES", help="Training images that a run may see, over all its epochs."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--equal-seconds",
            help="Train each arm for this long, with as many epochs as fit, instead of the same number each.",
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", help="With two --vary: combine every value of one with every value of the other."
        ),
    ] = False,
    fixed_split: Annotated[
        bool, typer.Option("--fixed-split", help="Use the same validation images for every seed.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="How many runs at once; default one per core, on Ray as many as fit."),
    ] = None,
    limit: Annotated[float | None, typer.Option("--limit", help="Seconds that one run may take.")] = None,
    on: On = "local",
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    config: Config = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            help="The folder; default explorations/<source>-<n>. A folder that holds the same request is continued. "
            "An address such as s3://bucket/study keeps a copy there as well.",
        ),
    ] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Change one thing at a time over the same seeds, and say whether it mattered. The test set stays sealed."""
    send_away(on, out, as_json)
    from conviction.experiments import exploration_steps
    from conviction.experiments.explore import explore as run
    from conviction.reporting import Board, Terminal

    done = run(
        source,
        keys or [],
        question=question or [],
        claim=claim,
        vary=vary or [],
        grid=grid,
        seeds=seeds,
        budget=budget,
        equal_seconds=seconds,
        fixed_split=fixed_split,
        jobs=jobs,
        limit=limit,
        on=on,  # type: ignore[arg-type]  # checked there
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        config=config,
        out=out,
        data_dir=data_dir,
        show=None if quiet else Board(sys.stderr if as_json else sys.stdout),
    )
    if as_json:
        print_json({"folder": str(done.path), **done.findings.to_json()})
        return
    if quiet:
        print(done.path)
        return
    show = Terminal(sys.stdout)
    for step in exploration_steps(done.findings):
        show.step(step)
    print(f"\nThe page is {done.path / 'report.html'}.")
