"""The ``conviction`` command: its commands, and how it ends. Heavy imports are inside the commands that need them."""

from __future__ import annotations

import _thread
import atexit
import gc
import os
import signal
import sys
import threading
from typing import Annotated

import typer

from conviction.audience import audience_of_command, speak_to
from conviction.cli import (
    cache,
    compare,
    doctor,
    evaluate,
    exercise,
    explain,
    explore,
    export,
    fit,
    inspect,
    keys,
    lab,
    label_issues,
    learn,
    predict,
    report,
    resume,
    runs,
    serve,
    summary,
    threshold,
    tune,
)
from conviction.cli.listing import ListingCommand
from conviction.cli.options import print_json
from conviction.cli.streams import say_what_was_replaced, take_every_letter
from conviction.errors import ConvictionError
from conviction.extras import missing_package
from conviction.process import own_process
from conviction.version import __version__

INTERRUPTED = 130

app = typer.Typer(
    help="From labelled images to a tested convolutional network, with evidence for every number.",
    no_args_is_help=True,
    add_completion=True,
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


# In the order in which people work, which --help shows.
for command in (
    fit.fit,
    resume.resume,
    evaluate.evaluate,
    report.report,
    compare.compare,
    explore.explore,
    tune.tune,
    export.export,
    predict.predict,
    explain.explain,
    label_issues.mistakes,
    label_issues.suspects,
    threshold.threshold,
    learn.learn,
    exercise.exercise,
    lab.lab,
    serve.serve,
    inspect.inspect,
    cache.cache,
    keys.keys,
    summary.summary,
    runs.runs,
    doctor.doctor,
):
    app.command(cls=ListingCommand)(command)


def _interrupted_again(unraisable: sys.UnraisableHookArgs) -> None:
    """A signal that came in a callback of a weak reference, or in ``__del__``, comes again: Python drops it there."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, _interrupt).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):  # this ends a sleep as well, which the other does not
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    speak_to(audience_of_command())
    wants_json = "--json" in sys.argv
    own_process()
    sys.unraisablehook = _interrupted_again
    take_every_letter()
    atexit.register(say_what_was_replaced)
    # Python's last garbage collection would look through all of TensorFlow, which takes a second.
    atexit.register(gc.freeze)
    try:
        code = app(prog_name="conviction", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer has caught the signal, and says nothing
            raise KeyboardInterrupt
        sys.exit(code)
    except ConvictionError as failure:
        _fail(str(failure), failure.exit_code, wants_json)
    except KeyboardInterrupt:
        # One that came out of an exec, as in the making of a named tuple during an import, makes Python end by SIGINT
        # whatever the exit code is, until the next exec.
        exec("pass")
        _fail("Stopped by SIGINT.", INTERRUPTED, wants_json)
    except BrokenPipeError:
        # The reader went away, as `| head` does. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as failure:
        missing = missing_package(failure, " ".join(sys.argv[1:2]))
        if missing is None:
            raise
        _fail(str(missing), missing.exit_code, wants_json)
    except MemoryError:
        _fail("Not enough memory. Try a smaller data.image_size or training.batch_size.", 1, wants_json)
    except Exception as failure:
        # Click's own errors (a missing argument, an unknown option) can show themselves.
        if hasattr(failure, "format_message"):
            context = getattr(failure, "ctx", None)
            hint = f" See '{context.command_path} --help'." if context else ""
            _fail(f"{failure.format_message()}{hint}", 2, wants_json)
        raise


def _fail(message: str, code: int, wants_json: bool) -> None:
    """One line on stderr; with --json also an object on stdout, so that programs need not parse prose."""
    line = " ".join(message.split())
    # The terminal has printed ^C at the cursor, perhaps after a question.
    start = "\n" if code == INTERRUPTED and sys.stderr.isatty() else ""
    print(f"{start}conviction: {line}", file=sys.stderr)
    if wants_json:
        print_json({"error": {"message": line, "exit_code": code}})
    sys.exit(code)
