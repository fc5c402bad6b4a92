"""The ``conviction`` command. Heavy imports stand inside the commands that need them."""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conviction import __version__
from conviction.audience import audience_of_command, speak_to
from conviction.cli import assessment, deploying, experimenting, lab, learning, serving
from conviction.cli.options import (
    Config,
    CpusPerWorker,
    DataDir,
    GpusPerWorker,
    Json,
    Keys,
    Metadata,
    On,
    Source,
    Workers,
    print_json,
)
from conviction.cli.placing import send_away, training_on
from conviction.cli.streams import say_what_was_replaced, take_every_letter
from conviction.errors import ConvictionError
from conviction.process import own_process

if TYPE_CHECKING:
    from conviction.runs import Run

INTERRUPTED = 130

app = typer.Typer(
    help="From labelled images to a tested convolutional network, with evidence for every number.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich costs --help 0.1 s
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    as_json: Json = False,
) -> None:
    """Train and test a network on labelled images: the whole lab, step by step."""
    send_away(on, out, as_json)
    from conviction.flow.fit import fit
    from conviction.report.terminal import Terminal

    show = Terminal(sys.stderr if as_json else sys.stdout)
    files = {"data.exclude": exclude, "evaluation.metadata": metadata}
    given = [*(keys or []), *(f"{key}={json.dumps(str(path))}" for key, path in files.items() if path)]
    with training_on(on, workers, cpus_per_worker, gpus_per_worker) as trainer:
        run = fit(
            source,
            given,
            config=config,
            out=out,
            data_dir=data_dir,
            show=show,
            tensorboard=tensorboard,
            mlflow=mlflow,
            trainer=trainer,
        )
    if as_json:
        _print_run(run)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="training.epochs=N", help="Go on to more epochs.")
    ] = None,
    on: On = "local",
    workers: Workers = None,
    cpus_per_worker: CpusPerWorker = 1,
    gpus_per_worker: GpusPerWorker = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed, to the same bits; or to more epochs."""
    send_away(on, run, as_json)
    from conviction.flow.resume import resume
    from conviction.report.terminal import Terminal

    show = Terminal(sys.stderr if as_json else sys.stdout)
    with training_on(on, workers, cpus_per_worker, gpus_per_worker) as trainer:
        done = resume(run, keys or [], data_dir=data_dir, show=show, trainer=trainer)
    if as_json:
        _print_run(done)


for command in (
    assessment.evaluate,
    assessment.report,
    assessment.compare,
    experimenting.explore,
    experimenting.tune,
    deploying.export,
    deploying.predict,
    deploying.explain,
    learning.learn,
    lab.lab,
    serving.serve,
):
    app.command()(command)


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
    from conviction.flow.inspect import inspect
    from conviction.report.steps import audit_step, load_step
    from conviction.report.terminal import Terminal

    found = inspect(source, keys or [], config=config, data_dir=data_dir, out=out, html=html)
    if as_json:
        print_json(found.to_json())
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
        print_json(contents if freed is None else {**contents, "freed_bytes": freed})
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

    from conviction.flow.fit import summary
    from conviction.report.steps import model_step
    from conviction.report.terminal import Terminal

    rows = summary(source, keys or [], config=config, data_dir=data_dir)
    if as_json:
        print_json({"layers": [asdict(row) for row in rows]})
    else:
        Terminal(sys.stdout).step(model_step(rows))


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
        print_json({"runs": rows})
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
        print_json(found)
    else:
        print_diagnosis(found)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    speak_to(audience_of_command())
    wants_json = "--json" in sys.argv
    own_process()
    take_every_letter()
    atexit.register(say_what_was_replaced)
    try:
        code = app(prog_name="conviction", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer has caught the signal, and says nothing
            raise KeyboardInterrupt
        sys.exit(code)
    except ConvictionError as failure:
        _fail(str(failure), failure.exit_code, wants_json)
    except KeyboardInterrupt:
        _fail("Stopped by SIGINT.", INTERRUPTED, wants_json)
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
    # A terminal has written ^C where the cursor was, and a question may stand before it.
    start = "\n" if code == INTERRUPTED and sys.stderr.isatty() else ""
    print(f"{start}conviction: {line}", file=sys.stderr)
    if wants_json:
        print_json({"error": {"message": line, "exit_code": code}})
    sys.exit(code)


def _print_run(run: Run) -> None:
    evaluation = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    unused = run.data.get("unused", [])  # a run of an earlier version has no such record
    print_json({"run": str(run.path), "status": run.status, "unused": unused, "evaluation": evaluation})
