"""The commands for a network that is trained: ``export``, ``predict``, ``explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conviction.cli.options import DataDir, Json, On, print_json
from conviction.cli.placing import send_away
from conviction.errors import RequestError

# Lines about pictures that cannot be read; a million have a file for them.
TOLD = 20

Artefact = Annotated[
    Path,
    typer.Argument(
        metavar="ARTEFACT", help="A run folder, or what 'export' made: .onnx, .tflite, .keras, saved_model."
    ),
]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT,...",
            help="Any of onnx, litert, saved_model, keras, script, notebook.",
        ),
    ] = "onnx",
    quantize: Annotated[
        str | None,
        typer.Option("--quantize", help="float16 or int8: smaller numbers, for onnx and litert."),
    ] = None,
    most_lost: Annotated[
        float,
        typer.Option(
            "--most-lost", help="By what share of validation images a quantized model may be worse."
        ),
    ] = 0.01,
    out: Annotated[Path | None, typer.Option("--out", help="The folder; default RUN/exports.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write a run's model in other formats; each must answer test images as the run did, or is not kept."""
    from conviction.flow.export import export as make
    from conviction.report.terminal import Terminal

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
    threshold: Annotated[float, typer.Option("--threshold", help="Abstain below this probability.")] = 0.0,
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
        _predict_on_ray(artefact, images, threshold, out, as_json or as_csv)
        return
    from conviction.artefacts import load
    from conviction.artefacts.predict import classify, picture_files
    from conviction.cli import predictions as show

    if sum([as_json, as_csv, out is not None]) > 1:
        raise RequestError("--json, --csv and --out: give one of them.")
    opened = load(artefact)
    with picture_files([Path(image) for image in images]) as (files, unused):
        found = show.watched(classify(opened, files, threshold), len(files))
        if out is None:
            show.print_predictions(opened.class_names, found, unused, as_json=as_json, as_csv=as_csv)
            return
        unreadable = show.write_predictions(Path(out), opened.class_names, found)
    show.tell_unreadable(unreadable)
    show.tell_unused(unused)
    print(f"{len(files) - len(unreadable):,} predictions are in {out}.", file=sys.stderr)


def _predict_on_ray(
    artefact: Path, images: list[str], threshold: float, out: str | None, prints: bool
) -> None:
    from conviction.cli import predictions as show
    from conviction.cluster.prediction import PREDICTIONS, UNREADABLE, predict_folder

    if len(images) != 1:
        raise RequestError(f"--on ray: expected one folder or address; got {len(images)}.")
    if out is None or prints:
        raise RequestError(
            "--on ray: answers go to a folder; give --out FOLDER, and neither --json nor --csv."
        )
    done = predict_folder(artefact, images[0], out, threshold, watch=show.watched)
    show.check_any_read(done.predicted, done.unreadable)
    show.tell_unreadable(done.unreadable[:TOLD])
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
        str | None, typer.Option("--class", help="The class to explain; default the likeliest.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with maps and filters.")] = None,
    as_json: Json = False,
) -> None:
    """Show why a run answers as it does to a picture: Grad-CAM, activations, filters, numbers."""
    from conviction.artefacts import explain_file
    from conviction.cli.explanations import position, print_steps
    from conviction.report.explanation import explanation_steps
    from conviction.report.page import render_explanation
    from conviction.runs import folder, load_run

    if html is not None:
        folder.check_file(html)
    found = explain_file(
        load_run(run),
        image,
        class_name=class_name,
        layer=layer,
        position=None if at is None else position(at),
    )
    steps = explanation_steps(found, str(image))
    if html is not None:
        folder.write_text(html, render_explanation(found, steps, str(run), str(image)))
    if as_json:
        print_json({"file": str(image), **found.to_json()})
        return
    print_steps(steps)
    if html is not None:
        print(f"\nThe page is {html}.")
