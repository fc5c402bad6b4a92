"""Where the work of a command is done: ``--on``."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from conviction.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from conviction.flow.trainer import Trainer


PLACES = ("local", "ray")


def send_away(on: str, out: str | Path | None, as_json: bool) -> None:
    """Ends the command here, with its exit code, where ``RAY_ADDRESS`` says that it runs elsewhere.

    Raises:
        RequestError: There is no such place, or ``out`` would not last there.
    """
    if on not in PLACES:
        raise RequestError(f"--on: expected {' or '.join(PLACES)}; got '{on}'.{did_you_mean(on, PLACES)}")
    if on == "ray":
        from conviction.cluster import jobs

        if jobs.is_elsewhere():
            raise typer.Exit(jobs.send(sys.argv[1:], None if out is None else str(out), as_json=as_json))


def training_on(on: str, workers: int | None, cpus: int, gpus: int) -> AbstractContextManager[Trainer | None]:
    """The trainer; None to train in this process.

    Raises:
        RequestError: Options that cannot be combined.
    """
    if on == "local":
        if workers is not None or (cpus, gpus) != (1, 0):
            raise RequestError("--workers, --cpus-per-worker and --gpus-per-worker work only with --on ray.")
        return nullcontext()
    if workers is None:
        raise RequestError("--on ray: say how many processes train. Try --on ray --workers 2.")
    from conviction.cluster.training import ray_workers

    return ray_workers(workers, cpus=cpus, gpus=gpus)
