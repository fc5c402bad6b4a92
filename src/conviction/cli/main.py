"""The ``conviction`` command. Heavy imports stand inside the commands that need them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conviction import __version__
from conviction.errors import ConvictionError, RequestError

if TYPE_CHECKING:
    from conviction.runs import Run

app = typer.Typer(
    help="From labelled images to a tested convolutional network, with evidence for every number.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich costs --help 0.1 s
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="digits, fashion_mnist, mnist, cifar10, cifar100; or a path: image folder, .zip or .tar of one, "
        ".npz, folder of IDX files.",
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
    Path | None, typer.Option("--config", help="A YAML specification; KEY=VALUE wins over it.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where named sets are looked for; default CONVICTION_DATA_DIR."),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout; everything for people on stderr.")
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        print(f"conviction {__version__}")
        raise typer.Exit


@app.command()
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
            "--exclude", help="A CSV with a column 'file': these images are left out, as by data.exclude."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard as well, in the run folder.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Log to this MLflow server or database as well."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train and test a network on labelled images: the whole lab, step by step."""
    from conviction.flow import fit
    from conviction.report.terminal import Terminal

    show = Terminal(sys.stderr if as_json else sys.stdout)
    given = [*(keys or []), *([f"data.exclude={json.dumps(str(exclude))}"] if exclude else [])]
    run = fit(
        source,
        given,
        config=config,
        out=out,
        data_dir=data_dir,
        show=show,
        tensorboard=tensorboard,
        mlflow=mlflow,
    )
    if as_json:
        _print_run(run)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="training.epochs=N", help="Go on to more epochs.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed, to the same bits; or to more epochs."""
    from conviction.flow import resume
    from conviction.report.terminal import Terminal

    show = Terminal(sys.stderr if as_json else sys.stdout)
    done = resume(run, keys or [], data_dir=data_dir, show=show)
    if as_json:
        _print_run(done)


@app.command()
def inspect(
    source: Source,
    keys: Keys = None,
    config: Config = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write a manifest: a CSV of images to leave out, for fit --exclude."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page that shows the pictures.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Audit images and labels without training: copies, leaks, contradictions, broken files, balance."""
    from conviction.inspection import inspect
    from conviction.report.steps import audit_step, load_step
    from conviction.report.terminal import Terminal

    found = inspect(source, keys or [], config=config, data_dir=data_dir, out=out, html=html)
    if as_json:
        _print_json(found.to_json())
        return
    show = Terminal(sys.stdout)
    show.step(load_step(found.images))
    show.step(audit_step(found.audit.findings))
    for path, what in ((out, "The manifest"), (html, "The page")):
        if path:
            print(f"\n{what} is {path}.")


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it.")] = False,
    as_json: Json = False,
) -> None:
    """See or clear the cache of decoded pictures."""
    from conviction.cli.listing import cache_contents, print_cache
    from conviction.data.cache import clear as clear_cache

    freed = clear_cache() if clear else None
    contents = cache_contents()
    if as_json:
        _print_json(contents if freed is None else {**contents, "freed_bytes": freed})
    else:
        print_cache(contents, freed)


@app.command()
def summary(
    source: Source,
    keys: Keys = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the network for a source: shapes, parameters, multiply-adds, receptive field."""
    from dataclasses import asdict

    from conviction.flow import summary
    from conviction.report.steps import model_step
    from conviction.report.terminal import Terminal

    rows = summary(source, keys or [], config=config, data_dir=data_dir)
    if as_json:
        _print_json({"layers": [asdict(row) for row in rows]})
    else:
        Terminal(sys.stdout).step(model_step(rows))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Picture files, or folders of them.")],
    threshold: Annotated[float, typer.Option("--threshold", help="Abstain below this probability.")] = 0.0,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
) -> None:
    """Classify pictures with a trained run."""
    from conviction.cli.predictions import print_predictions
    from conviction.deploy import predict_files
    from conviction.runs import load_run

    if as_json and as_csv:
        raise RequestError("--json and --csv: give one of them.")
    opened = load_run(run)
    predictions, unreadable = predict_files(opened, images, threshold)
    print_predictions(opened.class_names, predictions, unreadable, as_json=as_json, as_csv=as_csv)


@app.command()
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
    from conviction.cli.explanations import position, print_steps
    from conviction.deploy import explain_file
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
        _print_json({"file": str(image), **found.to_json()})
        return
    print_steps(steps)
    if html is not None:
        print(f"\nThe page is {html}.")


@app.command()
def runs(
    root: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the run folders are.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder, oldest first."""
    from conviction.cli.listing import runs_table
    from conviction.runs import list_runs

    rows = runs_table(list_runs(root))
    if as_json:
        _print_json({"runs": rows})
        return
    if not rows:
        print(f"No runs in {root}. Make one with: conviction fit digits", file=sys.stderr)
        return
    from conviction.cli.listing import print_runs

    print_runs(rows)


@app.command()
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this machine: versions, backend, devices, cores, bfloat16, data sets."""
    from conviction.cli.listing import diagnose, print_diagnosis

    found = diagnose(data_dir)
    if as_json:
        _print_json(found)
    else:
        print_diagnosis(found)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    wants_json = "--json" in sys.argv
    try:
        sys.exit(app(prog_name="conviction", standalone_mode=False) or 0)
    except ConvictionError as failure:
        _fail(str(failure), failure.exit_code, wants_json)
    except KeyboardInterrupt:
        _fail("Stopped by SIGINT.", 130, wants_json)
    except BrokenPipeError:
        # The reader went away, as `| head` does. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _fail("Not enough memory. Try a smaller data.image_size or training.batch_size.", 1, wants_json)
    except Exception as failure:
        # Click's own errors (a missing argument, an unknown option) know how to show themselves.
        if hasattr(failure, "format_message"):
            context = getattr(failure, "ctx", None)
            hint = f" See '{context.command_path} --help'." if context else ""
            _fail(f"{failure.format_message()}{hint}", 2, wants_json)
        raise


def _fail(message: str, code: int, wants_json: bool) -> None:
    """One line on stderr; with --json also an object on stdout, so that programs need not parse prose."""
    line = " ".join(message.split())
    print(f"conviction: {line}", file=sys.stderr)
    if wants_json:
        _print_json({"error": {"message": line, "exit_code": code}})
    sys.exit(code)


def _print_run(run: Run) -> None:
    evaluation = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    _print_json({"run": str(run.path), "status": run.status, "evaluation": evaluation})


def _print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False))
