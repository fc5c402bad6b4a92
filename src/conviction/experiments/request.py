"""What ``explore`` and ``tune`` share: reading the source, and saying how to continue after an interrupt."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO, Any

from conviction.audience import option
from conviction.errors import Interrupted, StorageError
from conviction.experiments.exploration import Plan
from conviction.reporting import Terminal
from conviction.training import stop_on_signals


def threads_of(planned: Plan) -> int:
    """The number of threads that each trial uses."""
    assert planned.base.recipe is not None
    return planned.base.recipe.training.threads or 1


@contextlib.contextmanager
def loading(source: str | Path, file: IO[str]) -> Any:
    """Shows that a source is being read."""
    show = Terminal(file)
    show.loading(str(source))
    try:
        yield
    finally:
        show.close()


@contextlib.contextmanager
def going_on(path: Path) -> Any:
    """Says how to continue after SIGINT, SIGTERM, or a disk that is full."""
    with stop_on_signals() as stop:
        stop.patient = False
        try:
            yield
        except StorageError as failure:
            raise StorageError(
                f"{failure} What is finished is kept in {path}; to continue, run the same command with {option('out')} "
                f"{path}."
            ) from None
        except BaseException:
            # Whatever the interrupt has become: Pydantic, for one, turns it into an error of its own.
            if stop.signal_number is None:
                raise
            raise Interrupted(
                f"Stopped. What is finished is kept in {path}; to continue, run the same command with {option('out')} "
                f"{path}.",
                stop.signal_number,
            ) from None
