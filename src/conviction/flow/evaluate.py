"""``evaluate``: a finished run's own test set again."""

from __future__ import annotations

from pathlib import Path

from conviction.evaluation import Evaluation
from conviction.flow.again import load_finished, prepare_again
from conviction.flow.evaluation import predict_and_assess, write_report
from conviction.flow.finished import evaluated_as, steps_of
from conviction.flow.showing import Showing, shown
from conviction.process import restores_process
from conviction.runs import RunLike, folder


@restores_process
def evaluate(
    run: RunLike,
    *,
    metadata: str | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
) -> Evaluation:
    """Evaluates a finished run again: opens its test set, and writes new figures, predictions and report.

    Args:
        run: A run, or the path of its folder.
        metadata: A CSV as for ``evaluation.metadata``.
        data_dir: Where to look for named sets first.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: Its data has changed, or the metadata cannot be used.
        EvaluationError: The network's outputs are not numbers.
        StorageError: The opening cannot be recorded, or a file cannot be written.
    """
    opened = load_finished(run)
    watching = shown(show)
    with folder.claimed(opened.path):
        recipe = evaluated_as(opened, test=True, metadata=metadata)
        try:
            ready = prepare_again(opened, recipe, data_dir, watching.loading)
        finally:
            watching.close()
        evaluation = predict_and_assess(opened, ready, "evaluate")
        run_steps = steps_of(opened, ready, evaluation)
        watching.step(run_steps[-1])
        write_report(opened.path, ready, opened.epoch_rows, run_steps=run_steps, evaluation=evaluation)
        folder.write_record(opened.path / folder.EVALUATION, evaluation.to_json())
    return evaluation
