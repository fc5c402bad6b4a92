"""``conviction resume``: continues a run, after comparing its data and specification with those it started with."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conviction.audience import call
from conviction.backend import has_threads, usable_cores
from conviction.config import Recipe, keys, load_recipe
from conviction.config.flat import by_key
from conviction.config.recipe import Overrides, settings_of
from conviction.config.text import shortened
from conviction.errors import RequestError, RunError, did_you_mean
from conviction.flow.again import MOST_NAMED, prepare_again
from conviction.flow.apart import run_apart
from conviction.flow.prepare import Prepared, show_steps
from conviction.flow.records import provenance
from conviction.flow.run import OWN_BEGINS_AGAIN, finish_run
from conviction.flow.showing import Showing, shown
from conviction.flow.trainer import Trainer
from conviction.process import restores_process
from conviction.runs import RunFolder, RunLike, folder, open_run
from conviction.runs.checkpoints import clear_leftovers, read_checkpoint
from conviction.runs.logs import check_logs, logs_left_out, request_logs
from conviction.runs.rows import fit_again
from conviction.training import TrainingState, has_stopped

EPOCHS = "training.epochs"


@restores_process
def resume(
    run: RunLike,
    overrides: Overrides = (),
    *,
    mlflow: str | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
    trainer: Trainer | None = None,
) -> RunFolder:
    """Continues a run that was stopped or killed, bit for bit as if it had never stopped; or trains more epochs.

    Args:
        run: A run, or the path of its folder.
        overrides: ``["training.epochs=20"]`` or ``{"training.epochs": 20}``; no other key may change.
        mlflow: The URI of the MLflow server that the run goes on logging to, or begins to log to. Without it the run
            logs to none, whatever its folder says.
        data_dir: Where to look for named sets first.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.
        trainer: As for ``fit``; a run may continue on other machines than it started on.

    Returns:
        The finished run.

    Raises:
        RunError: There is no run folder, the run is done, or another process trains it.
        RequestError: Data or specification have changed.
        TrainingError, Interrupted, StorageError: As ``fit`` does.
    """
    started = time.time()
    opened = open_run(run)
    if opened.config.model.own is not None:
        raise RequestError(f"{opened.path}: {OWN_BEGINS_AGAIN}")
    asked = settings_of(overrides)
    watching = shown(show)
    if trainer is None and not has_threads(_recipe(opened, asked).training.threads or usable_cores()):
        arguments = {"run": opened.path, "overrides": asked, "mlflow": mlflow, "data_dir": data_dir}
        return run_apart("resume", arguments, watching)
    with folder.claimed(opened.path):
        recipe = _recipe(opened, asked)
        check_logs(tensorboard=False, mlflow=mlflow, run=opened.path)
        clear_leftovers(opened.path)
        checkpoint = read_checkpoint(opened.path)
        start = checkpoint[0] if checkpoint else None
        _check_epochs(opened, recipe, start, asked)
        if checkpoint:
            _check_specification(opened, recipe, checkpoint[1]["specification"])
        try:
            ready = prepare_again(opened, recipe, data_dir, watching.loading)
            show_steps(ready, watching)
            if trainer:
                trainer.accept(ready)
            _reopen(opened, recipe)
            request_logs(opened.path, tensorboard=False, mlflow=mlflow)
            remarks = [*_remarks(ready, checkpoint), *logs_left_out(opened.path, mlflow)]
            return finish_run(
                opened.path, ready, start, watching, started, remarks=remarks, mlflow=mlflow, trainer=trainer
            )
        finally:
            watching.close()


def _recipe(run: RunFolder, asked: Mapping[str, Any]) -> Recipe:
    other = [key for key in asked if key != EPOCHS]
    if other and other[0] not in keys():
        raise RequestError(f"Unknown key '{shortened(other[0])}'.{did_you_mean(other[0], keys())}")
    if other:
        raise RequestError(
            f"resume: only {EPOCHS} may change, because a run is one training; got {other[0]}. Start a new run with: "
            f"{fit_again(run)} {shlex.quote(f'{other[0]}={asked[other[0]]}')}"
        )
    return load_recipe(asked, run.path / folder.CONFIG)


def _check_epochs(
    run: RunFolder, recipe: Recipe, start: TrainingState | None, asked: Mapping[str, Any]
) -> None:
    spec = recipe.training
    done = start.epoch if start else len(run.epoch_rows) if run.status == "done" else 0
    if spec.epochs < done:
        raise RequestError(
            f"{EPOCHS}={spec.epochs}: expected more than the {done} epochs that {run.path} already has. You cannot go "
            "back to an earlier epoch."
        )
    if start and EPOCHS in asked and has_stopped(list(start.history), spec):
        raise RequestError(
            f"{run.path}: early stopping ended it after epoch {done}, so more epochs would change nothing. Start a "
            f"new run with a larger training.early_stopping than {spec.early_stopping}."
        )
    if run.status != "done" or spec.epochs > done:
        return
    raise RunError(
        f"{run.path}: the run is done, after {done} epochs. Train more with: "
        f"{call('resume', run.path, f'{EPOCHS}={2 * done}', repr({EPOCHS: 2 * done}))}"
    )


def _check_specification(run: RunFolder, recipe: Recipe, before: Mapping[str, Any]) -> None:
    """Compares the specification with that of the checkpoint; only the number of epochs may differ."""
    # A checkpoint of an earlier version lacks the keys that came later, which then had their defaults.
    was = dict(by_key(Recipe().model_dump(mode="json"))) | dict(by_key(before))
    now = dict(by_key(recipe.model_dump(mode="json")))
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key) and key != EPOCHS]
    if changed:
        listed = "; ".join(
            f"{key}: {was.get(key)} before, {now.get(key)} now" for key in changed[:MOST_NAMED]
        )
        raise RequestError(
            f"{run.path / folder.CONFIG}: the specification has changed since the run started ({listed}). Put it "
            "back, or start a new run with: conviction fit."
        )


def _remarks(
    ready: Prepared, checkpoint: tuple[TrainingState, dict[str, Any], list[Path]] | None
) -> list[str]:
    """What the user should know when a run is resumed."""
    if checkpoint is None:
        return ["There is no complete checkpoint, so training starts again from the beginning."]
    _, before, damaged = checkpoint
    remarks = [f"{path.name} is damaged, so the checkpoint before it is used." for path in damaged]
    now = provenance(ready)
    other = [
        f"{name} {before['versions'].get(name)} before, {version} now"
        for name, version in now["versions"].items()
        if before["versions"].get(name) != version
    ]
    if before["processor"] != now["processor"]:
        other.append(f"a {before['processor']} before, a {now['processor']} now")
    if other:
        remarks.append(f"The result may differ from that of an uninterrupted run: {'; '.join(other)}.")
    was, spec = before["specification"]["training"], ready.recipe.training
    if spec.schedule != "constant" and was["epochs"] != spec.epochs:
        remarks.append(
            f"The schedule {spec.schedule} is spread over {spec.epochs} epochs from here on; until now it was over "
            f"{was['epochs']}, so this run is not the same as one of {spec.epochs} epochs from the start."
        )
    return remarks


def _reopen(run: RunFolder, recipe: Recipe) -> None:
    """Turns a finished run into an unfinished one; its evaluation is kept under another name."""
    evaluated = run.path / folder.EVALUATION
    if evaluated.is_file():
        with folder.storing(evaluated):
            evaluated.replace(run.path / folder.EARLIER_EVALUATION.format(len(run.epoch_rows)))
    folder.write_config(run.path, recipe)
