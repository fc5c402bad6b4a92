"""``conviction tune``: a search whose winner is run again before it is believed."""

from __future__ import annotations

import sys
from pathlib import Path
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
from conviction.errors import RequestError


def tune(
    source: Source,
    keys: Keys = None,
    trials: Annotated[int, typer.Option("--trials", help="Trials in all, pruned ones included.")] = 50,
    time: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="Start no new trial after this time: 90s, 30m, 2h."),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", metavar="N", help="Training images that a trial may see, over all its epochs."
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option("--space", help="A YAML file of keys with choices or ranges.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="params, multiply_adds or latency: a front of accuracy against cost, without pruning.",
        ),
    ] = None,
    confirm: Annotated[
        int, typer.Option("--confirm", help="Fresh seeds on which the best three and the base are run again.")
    ] = 3,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="A database that machines share, or journal:FILE; default SQLite in the folder.",
        ),
    ] = None,
    study: Annotated[
        str, typer.Option("--study", help="The study's name, the same on all machines that share a storage.")
    ] = "tune",
    seed: Annotated[int, typer.Option("--seed", help="The seed of the search and its trials.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="How many trials at once; default one per core, on Ray as many as fit."),
    ] = None,
    limit: Annotated[float | None, typer.Option("--limit", help="Seconds that one trial may take.")] = None,
    on: On = "local",
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    test: Annotated[
        bool,
        typer.Option(
            "--test/--no-test", help="Train what is recommended on all images and open the test set."
        ),
    ] = True,
    config: Config = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            help="The folder; default searches/<source>-<n>. A folder that holds the same request is continued. An "
            "address such as s3://bucket/study keeps a copy there as well.",
        ),
    ] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search for better settings, run the best again on fresh seeds, and test what is recommended once."""
    send_away(on, out, as_json)
    from conviction.experiments.store import SPECIFICATION
    from conviction.experiments.tune import tune as run
    from conviction.experiments.tuning_page import tuning_steps
    from conviction.reporting import Board, Terminal

    done = run(
        source,
        keys or [],
        trials=trials,
        budget=None if time is None else seconds_of(time),
        images=images,
        space=space,
        against=against,  # type: ignore[arg-type]  # checked there
        confirm_seeds=confirm,
        storage=storage,
        study=study,
        seed=seed,
        jobs=jobs,
        limit=limit,
        on=on,  # type: ignore[arg-type]  # checked there
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        test=test,
        config=config,
        out=out,
        data_dir=data_dir,
        show=None if quiet else Board(sys.stderr if as_json else sys.stdout),
    )
    if as_json:
        print_json({"folder": str(done.path), **done.to_json()})
        return
    if quiet:
        print(done.path)
        return
    show = Terminal(sys.stdout)
    for step in tuning_steps(done.search, done.study, done.belief):
        show.step(step)
    sentences = [done.test_sentence] if done.test_sentence else []
    sentences.append(
        f"The specification is {done.path / SPECIFICATION}, for conviction fit {source} --config."
    )
    sentences.append(f"The page is {done.path / 'report.html'}.")
    print("\n" + "\n".join(sentences))


def seconds_of(text: str) -> float:
    """``90s``, ``30m``, ``2h`` or plain seconds.

    Raises:
        RequestError: It is none of these, or is not above 0.
    """
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise RequestError(f"--budget: expected a time such as 90s, 30m or 2h; got '{text}'.")
    return value
