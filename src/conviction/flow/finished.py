"""A finished run with its data read again, and its steps as ``fit`` showed them."""

from __future__ import annotations

from pathlib import Path

from conviction.config import Recipe
from conviction.evaluation import (
    Evaluation,
)
from conviction.flow.again import prepare_again
from conviction.flow.evaluation import evaluation_step
from conviction.flow.prepare import Prepared, Show
from conviction.report import Silent, steps
from conviction.runs import Run
from conviction.training import Training, best_row


def evaluated_as(run: Run, *, test: bool, metadata: str | None) -> Recipe:
    """The run's specification, with what is to be evaluated now."""
    before = run.config.evaluation
    now = {"test": test, "metadata": metadata or before.metadata}
    return run.config.model_copy(update={"evaluation": before.model_copy(update=now)})


class _Quiet(Silent):
    """Shows that the data is being read, but not the steps, which were shown when the run was made."""

    def __init__(self, show: Show) -> None:
        self.loading = show.loading  # type: ignore[method-assign]


def prepare_finished(run: Run, recipe: Recipe, data_dir: str | Path | None, show: Show) -> Prepared:
    """Reads the data of a finished run again, without showing the steps."""
    try:
        return prepare_again(run, recipe, data_dir, _Quiet(show))
    finally:
        show.close()


def steps_of(run: Run, ready: Prepared, evaluation: Evaluation | None) -> list[steps.Step]:
    """The steps of the run, as ``fit`` showed them."""
    spec = ready.recipe.training
    run_steps = [*ready.steps, steps.train_step(ready.recipe, len(ready.split.train), None, ())]
    if evaluation is not None:
        if spec.early_stopping:
            kept = best_row(run.history, spec).epoch
            run_steps.append(steps.early_stopping_step(Training(run.history, kept_epoch=kept), spec))
        run_steps.append(evaluation_step(evaluation, ready, run))
    return run_steps
