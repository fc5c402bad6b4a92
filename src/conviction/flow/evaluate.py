"""``evaluate``: a finished run's own test set again."""

from __future__ import annotations

import sys
from pathlib import Path

from conviction.evaluation import Evaluation
from conviction.flow.again import load_finished, prepare_again
from conviction.flow.evaluation import predict_and_assess, write_report
from conviction.flow.finished import evaluated_as, steps_of
from conviction.flow.prepare import Show
from conviction.process import restores_process
from conviction.report import Terminal
from conviction.runs import RunLike, folder


@restores_process
def evaluate(
    run: RunLike,
    *,
    metadata: str | None = None,
    data_dir: str | Path | None = None,
    show: Show | None = None,
) -> Evaluation:
    """Evaluates a finished run again: opens its test set, and writes new figures, predictions and report.

    Args:
        run: A run, or the path of its folder.
        metadata: A CSV as for ``evaluation.metadata``.
        data_dir: Where to look for named sets first.
        show: Where progress is shown; default the terminal (stderr).

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: Its data has changed, or the metadata cannot be used.
        EvaluationError: The network's outputs are not numbers.
        StorageError: The opening cannot be recorded, or a file cannot be written.
    """
    opened = load_finished(run)
    show = show or Terminal(sys.stderr)
    with folder.claimed(opened.path):
        recipe = evaluated_as(opened, test=True, metadata=metadata)
        try:
            ready = prepare_again(opened, recipe, data_dir, show.loading)
        finally:
            show.close()
        evaluation = predict_and_assess(opened, ready, "evaluate")
        run_steps = steps_of(opened, ready, evaluation)
        show.step(run_steps[-1])
        write_report(opened.path, ready, opened.epoch_rows, run_steps=run_steps, evaluation=evaluation)
        folder.write_json(opened.path / folder.EVALUATION, evaluation.to_json())
    return evaluation
