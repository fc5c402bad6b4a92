"""What the page starts: the arguments of each command, and the names of the folders that it works in."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conviction.config import Recipe
from conviction.errors import RequestError
from conviction.runs import folder
from conviction.web.jobs.queue import Jobs
from conviction.web.jobs.records import Job

# In bytes; what is appended to it must fit as well.
MOST_NAME = 200
EXPLORATIONS = "explorations"
# An exploration sets these itself.
OF_EXPLORE = ("training.epochs", "training.seed")


def stem_of(source: str) -> str:
    """How the names of a source's runs start: ``digits``, or the name of a file without its ending."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name.split(".")[0]).strip("-.")[:40] or "run"


def next_name(root: Path, stem: str, jobs: Jobs) -> str:
    """The first of ``stem-1``, ``stem-2``, ... that neither exists nor belongs to an unfinished job."""
    number = 1
    while True:
        path = root / f"{stem}-{number}"
        last = jobs.last_at(path)
        if not path.exists() and (last is None or last.state == "done"):
            return path.name
        number += 1


def run_folder(root: Path, name: str) -> Path:
    """The folder of a run of this name.

    Raises:
        RequestError: The name cannot be that of a folder directly below ``root``.
    """
    if not is_run_name(name):
        raise RequestError(f"'{name[:80]}' is not the name of a run.")
    return root / name


def is_run_name(name: str) -> bool:
    """Whether it can be the name of a folder, and is neither hidden nor a way to another place."""
    plain = name.isprintable() and not name.startswith(".") and not {"/", "\\"} & set(name)
    return bool(name) and plain and len(name.encode(errors="replace")) <= MOST_NAME


def start_fit(jobs: Jobs, owner: str, source: str, recipe: Recipe, path: Path, *, configs: Path) -> Job:
    """Queues a training.

    Args:
        jobs: The queue.
        owner: Whose it is.
        source: As for ``fit``.
        recipe: The whole specification.
        path: The run folder, which does not exist yet.
        configs: The folder for the specification, which exists.
    """
    # Of this training alone: a name may come again.
    config = configs / f"{path.name}-{secrets.token_hex(4)}.yaml"
    folder.write_text(config, recipe.to_yaml())
    argv = ["fit", source, "--config", str(config), "--out", str(path), "--json"]
    return jobs.submit(owner, "fit", argv, path, f"Training {path.name}")


def specification_of(job: Job) -> Path | None:
    """The file of the specification that a training was asked for; None for a job of another kind."""
    if job.kind != "fit" or "--config" not in job.argv:
        return None
    return Path(job.argv[job.argv.index("--config") + 1])


def fit_alive(jobs: Jobs, owner: str, source: str) -> str | None:
    """The name of the run of this owner that is being trained on these images, or waits to be; None without one."""
    alive = (j for j in jobs.of(owner) if j.alive and j.kind == "fit" and j.argv[1] == source)
    return next((Path(j.folder).name for j in alive), None)


def start_resume(jobs: Jobs, owner: str, path: Path, epochs: int | None = None) -> Job:
    """Queues the rest of a training that was paused, stopped or killed; or more epochs of one that is done.

    One that ended before it had a run folder starts again, with the arguments that it was started with.
    """
    last = jobs.last_at(path)
    if not (path / folder.CONFIG).is_file() and last is not None and last.kind == "fit":
        return jobs.submit(owner, "fit", last.argv, path, last.title)
    more = [] if epochs is None else [f"training.epochs={epochs}"]
    return jobs.submit(owner, "resume", ["resume", str(path), *more, "--json"], path, f"Training {path.name}")


def start_evaluate(jobs: Jobs, owner: str, path: Path) -> Job:
    """Queues the opening of a run's test set."""
    return jobs.submit(
        owner, "evaluate", ["evaluate", str(path), "--json"], path, f"Opening the test set for {path.name}"
    )


def start_export(jobs: Jobs, owner: str, path: Path, formats: Sequence[str]) -> Job:
    """Queues an export of a run."""
    words = ",".join(formats)
    argv = ["export", str(path), "--format", words, "--json"]
    return jobs.submit(owner, "export", argv, path, f"Exporting {path.name} as {words}")


def start_explore(
    jobs: Jobs,
    owner: str,
    source: str,
    name: str,
    path: Path,
    *,
    seeds: int,
    epochs: int,
    budget: int | None,
    base: Mapping[str, Any],
    claim: bool = False,
) -> Job:
    """Queues an exploration of one of the lab's questions, or of a claim of the lesson.

    Args:
        jobs: Where it waits.
        owner: Whose it is.
        source: The images.
        name: Of the question or the claim.
        path: The folder of the study.
        seeds: Of each arm.
        epochs: Of each training.
        budget: Images seen by each training; None for all in every epoch, or as many as the claim was measured with.
        base: The keys of what it starts from.
        claim: Whether ``name`` is a claim.
    """
    keys = [f"{key}={json.dumps(value)}" for key, value in base.items() if key not in OF_EXPLORE]
    argv = ["explore", source, *keys, f"training.epochs={epochs}", "--claim" if claim else "--question", name]
    argv += ["--seeds", str(seeds)]
    argv += ["--budget", str(budget)] if budget else []
    argv += ["--out", str(path), "--json"]
    return jobs.submit(owner, "explore", argv, path, f"Exploring {name} on {stem_of(source)}")
