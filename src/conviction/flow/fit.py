"""``fit``: the whole lab in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conviction.backend import has_threads, usable_cores
from conviction.config import load_recipe
from conviction.config.recipe import Overrides, settings_of
from conviction.data.in_memory import Source, source_path
from conviction.errors import RequestError
from conviction.flow.apart import run_apart
from conviction.flow.own import GivenModel, fit_own
from conviction.flow.prepare import prepare_run, show_steps
from conviction.flow.run import start_run
from conviction.flow.showing import Showing, shown
from conviction.flow.trainer import Trainer
from conviction.process import restores_process
from conviction.runs import RunFolder, folder
from conviction.runs.logs import check_logs


@restores_process
def fit(
    source: Source,
    overrides: Overrides = (),
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
    tensorboard: bool = False,
    mlflow: str | None = None,
    trainer: Trainer | None = None,
    model: Any = None,
    callbacks: Sequence[Any] = (),
    input_range: tuple[float, float] = (0.0, 1.0),
) -> RunFolder:
    """Trains and tests a network on labelled images, and keeps everything in a run folder.

    Args:
        source: A named set such as ``digits`` (``conviction fit --help`` lists them); a path: an image folder, an
            archive of one, a table of pictures, or arrays; or what is in memory, such as ``(x, y)``, a list of
            (picture, label) or a DataFrame, see ``conviction.data.in_memory.EXPECTED``.
        overrides: Keys of the specification, ``{"training.epochs": 3}`` or ``["training.epochs=3"]``.
        recipe: Short for the override ``recipe``.
        config: A YAML file with sections as in ``config.yaml``; overrides replace its values.
        out: The run folder, new or empty; default ``runs/<source>-<recipe>-<n>``.
        data_dir: Where to look for named sets first.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.
        tensorboard: Log to ``tensorboard`` in the run folder as well.
        mlflow: The URI of an MLflow tracking server or database to log to as well.
        model: A network of your own in place of the recipe's: a ``keras.Model``, or a function of the shape of the
            images, (height, width, channels), and the number of classes, that builds one. If it is compiled, it is
            trained with its own loss, optimizer and metrics; its size and colours decide those of the images.
        callbacks: For the training of ``model``, as ``keras.Model.fit`` takes them.
        input_range: What black and white are for ``model``.
        trainer: What trains instead of this process, such as the result of ``conviction.cluster.training.ray_workers``.

    Returns:
        The finished run.

    Raises:
        RequestError: Something in the request or the data is wrong; nothing has been written.
        TrainingError: Training diverged; the run folder keeps the history so far.
        Interrupted: SIGINT or SIGTERM came while it trained; the model so far has been kept.
        StorageError: No space is left, or the device fails.
    """
    started = time.time()
    source = source_path(source)
    overrides = with_recipe(overrides, recipe)
    spec = load_recipe(overrides, config)
    path = Path(out) if out is not None else None
    folder.check_out(path if path is not None else Path("runs", "new"))
    check_logs(tensorboard=tensorboard, mlflow=mlflow)
    watching = shown(show)
    if model is not None:
        _refuse_beside_model(trainer, tensorboard, mlflow)
        own = GivenModel(model, input_range, tuple(callbacks))
        return fit_own(source, own, overrides, config, out=path, data_dir=data_dir, show=watching)
    if spec.model.own is not None:
        raise RequestError(
            "the specification is that of a network of your own, which keys do not build again. Give it as model."
        )
    if trainer is None and not has_threads(spec.training.threads or usable_cores()):
        arguments = {
            "source": source,
            "overrides": overrides,
            "config": config,
            "out": path,
            "data_dir": data_dir,
        }
        return run_apart("fit", {**arguments, "tensorboard": tensorboard, "mlflow": mlflow}, watching)
    try:
        ready = prepare_run(
            source,
            spec,
            data_dir,
            lambda facts: load_recipe(overrides, config, facts),
            loading=watching.loading,
            computing=watching.computing,
        )
        show_steps(ready, watching)
        if trainer:
            trainer.accept(ready)
        return start_run(
            source,
            ready,
            path,
            show=watching,
            started=started,
            tensorboard=tensorboard,
            mlflow=mlflow,
            trainer=trainer,
        )
    finally:
        watching.close()


def _refuse_beside_model(trainer: Trainer | None, tensorboard: bool, mlflow: str | None) -> None:
    if trainer or tensorboard or mlflow:
        raise RequestError(
            "model: a network of your own is trained in this process, and logs by its own callbacks; leave out "
            "trainer, tensorboard and mlflow."
        )


def with_recipe(overrides: Overrides, recipe: str | None) -> Overrides:
    """Adds a recipe that was named separately to the overrides."""
    if recipe is None:
        return overrides
    return {**settings_of(overrides), "recipe": recipe}
