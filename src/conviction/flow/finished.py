"""A finished run with its data read again: its evaluation from the answers that it has kept, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from conviction.audience import call
from conviction.config import Recipe
from conviction.errors import RunError, SourceNotFoundError
from conviction.evaluation import Evaluation
from conviction.flow.again import prepare_again
from conviction.flow.evaluation import assess_predictions, evaluation_step
from conviction.flow.prepare import Loading, Prepared, silently
from conviction.flow.recorded import prepare_recorded
from conviction.reporting import folds_ahead, folds_step, steps
from conviction.runs import RunFolder
from conviction.runs.predictions import Answers
from conviction.training import Training, best_row


def evaluated_as(run: RunFolder, *, test: bool, metadata: str | None = None) -> Recipe:
    """The run's specification, with what is to be evaluated now."""
    before = run.config.evaluation
    now = {"test": test, "metadata": metadata or before.metadata}
    return run.config.model_copy(update={"evaluation": before.model_copy(update=now)})


def evaluate_answers(
    run: RunFolder,
    answers: Mapping[str, Answers],
    data_dir: str | Path | None,
    *,
    metadata: str | None = None,
    loading: Loading = silently,
    noticed: Callable[[str], None] | None = None,
) -> tuple[Prepared, Evaluation]:
    """The run's data read again, and the evaluation of the answers that it has kept; nothing is predicted or opened.

    Args:
        run: A finished run.
        answers: By part; without "test" the test set counts as sealed.
        data_dir: Where to look for named sets first.
        metadata: A CSV as for ``evaluation.metadata``.
        loading: Receives what takes a while.
        noticed: Receives that the pictures are gone, where all else that the run has kept will do; None where not.

    Raises:
        RunError: The answers belong to other images.
        RequestError: The data has changed; the metadata cannot be used.
    """
    opened = "test" in answers
    recipe = evaluated_as(run, test=opened, metadata=metadata)
    try:
        ready = prepare_again(run, recipe, data_dir, loading)
    except SourceNotFoundError as failure:
        recorded = None if noticed is None else prepare_recorded(run, recipe, answers)
        if noticed is None or recorded is None:
            raise
        ready = recorded
        noticed(f"{failure} The report has gray boxes in their place.")
    for part, known in answers.items():
        if ready.images.hex_hashes(ready.split.of(part)) != known.hashes:
            raise RunError(
                f"{run.path}: its predictions belong to other {part} images than its data. Make new ones with: "
                f"{call('evaluate', run.path)}"
            )
    probabilities = {part: known.probabilities for part, known in answers.items()}
    # The number when the figure was made: looking at it later does not change it.
    openings = run.evaluation.openings if opened else 0
    return ready, assess_predictions(run, ready, probabilities, openings)


def steps_of(run: RunFolder, ready: Prepared, evaluation: Evaluation | None) -> list[steps.Step]:
    """The steps of the run, as ``fit`` showed them."""
    spec = ready.recipe.training
    run_steps = [
        *ready.steps,
        steps.train_step(
            ready.recipe, len(ready.split.train), None, folds_ahead(ready.recipe), ready.mirrors
        ),
    ]
    if evaluation is not None:
        if spec.early_stopping:
            kept = best_row(run.epoch_rows, spec).epoch
            run_steps.append(steps.early_stopping_step(Training(run.epoch_rows, kept_epoch=kept), spec))
        if ready.folds:
            run_steps.append(folds_step(ready.recipe, ready.split))
        run_steps.append(evaluation_step(evaluation, ready, run))
    return run_steps
