"""The functions that give a run, for Python users, who get one with verbs, tables and figures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from conviction.data.in_memory import Source
from conviction.data.prediction_images import ArrayPredictions
from conviction.evaluation import Evaluation
from conviction.flow.evaluate_new import NewImages
from conviction.flow.fit import fit as fit_folder
from conviction.flow.own import assess as assess_folder
from conviction.flow.resume import resume as resume_folder
from conviction.library.run import Run, load_run
from conviction.runs import RunFolder, RunLike
from conviction.runs import list_runs as list_folders

P = ParamSpec("P")


def _called_as(function: Callable[P, RunFolder]) -> Callable[[Callable[..., Run]], Callable[P, Run]]:
    """Gives a function the parameters and the documentation of another."""

    def decorate(giving: Callable[..., Run]) -> Callable[P, Run]:
        wrapped = functools.wraps(function)(giving)
        wrapped.__annotations__ = {**function.__annotations__, "return": "Run"}
        return wrapped

    return decorate


@_called_as(fit_folder)
def fit(*args: Any, **kwargs: Any) -> Run:
    """See ``flow.fit``."""
    return Run(fit_folder(*args, **kwargs).path)


@_called_as(assess_folder)
def assess(*args: Any, **kwargs: Any) -> Run:
    """See ``flow.own.assess``."""
    return Run(assess_folder(*args, **kwargs).path)


@_called_as(resume_folder)
def resume(*args: Any, **kwargs: Any) -> Run:
    """See ``flow.resume``."""
    return Run(resume_folder(*args, **kwargs).path)


def evaluate(run: RunLike, source: Source | None = None, **arguments: Any) -> Evaluation | NewImages:
    """Opens the sealed test set of a run; or, with a source, evaluates the run on other images.

    Args:
        run: A finished run, or the path of its folder.
        source: None for the run's own test set; or other labelled images, as for ``fit``.
        arguments: ``metadata``, a CSV as for ``evaluation.metadata``, ``data_dir`` and ``show``.

    Returns:
        The evaluation of the run, or the scores of the other images.

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: The data has changed, or the source cannot be used.
    """
    return load_run(run).evaluate(source, **arguments)


def predict(run: RunLike, images: Any) -> ArrayPredictions:
    """Classifies pictures; see ``Run.predict``."""
    return load_run(run).predict(images)


def list_runs(root: str | Path = "runs") -> list[Run]:
    """The runs directly below a folder, oldest first."""
    return [Run(run.path) for run in list_folders(Path(root).expanduser())]
