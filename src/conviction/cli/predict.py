"""``conviction predict``: what pictures are, by a run or an exported model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import Json, On
from conviction.cli.placing import send_away
from conviction.errors import RequestError

# Unreadable pictures that are listed on the terminal; a file lists all of them.
UNREADABLE_SHOWN = 20


Artefact = Annotated[
    Path,
    typer.Argument(metavar="ARTEFACT", help="A run folder, or what 'export' made: {files}."),
]


def predict(
    artefact: Artefact,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="Picture files, folders or archives of them; - for standard input. On a cluster one folder, or "
            "an address such as s3://bucket/folder.",
        ),
    ],
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help="Abstain below this probability.")
    ] = 0.0,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write a .csv, .jsonl or .parquet file; on a cluster a folder of Parquet files, or an address.",
        ),
    ] = None,
    on: On = "local",
) -> None:
    """Classify pictures with a run or an exported model."""
    send_away(on, out, as_json)
    if on == "ray":
        _predict_on_ray(artefact, images, abstain_below, out, as_json or as_csv)
        return
    from conviction.artefacts import load
    from conviction.artefacts.predict import classify, picture_files
    from conviction.cli import predictions as show

    if sum([as_json, as_csv, out is not None]) > 1:
        raise RequestError("--json, --csv and --out: give one of them.")
    opened = load(artefact)
    with picture_files([Path(image) for image in images]) as (files, unused):
        outcomes = show.watched(classify(opened, files, abstain_below), len(files))
        if out is None:
            show.print_predictions(opened.class_names, outcomes, unused, as_json=as_json, as_csv=as_csv)
            return
        unreadable = show.write_predictions(Path(out), opened.class_names, outcomes)
    show.tell_unreadable(unreadable)
    show.tell_unused(unused)
    print(f"{len(files) - len(unreadable):,} predictions are in {out}.", file=sys.stderr)


def _predict_on_ray(
    artefact: Path, images: list[str], abstain_below: float, out: str | None, prints: bool
) -> None:
    from conviction.cli import predictions as show
    from conviction.cluster.prediction import PREDICTIONS, UNREADABLE, predict_folder

    if len(images) != 1:
        raise RequestError(f"--on ray: expected one folder or address; got {len(images)}.")
    if out is None or prints:
        raise RequestError(
            "--on ray: answers go to a folder; give --out FOLDER, and neither --json nor --csv."
        )
    done = predict_folder(artefact, images[0], out, abstain_below, watch=show.watched)
    show.check_any_read(done.predicted, done.unreadable)
    show.tell_unreadable(done.unreadable[:UNREADABLE_SHOWN])
    if done.unreadable:
        print(
            f"{len(done.unreadable):,} pictures could not be read; all of them are in {out}/{UNREADABLE}.",
            file=sys.stderr,
        )
    show.tell_unused(done.unused)
    print(
        f"{done.predicted:,} predictions of {done.images:,} pictures are in {out}/{PREDICTIONS}.",
        file=sys.stderr,
    )
