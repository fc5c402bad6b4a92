"""``report``: makes the report again from what the run has kept."""

from __future__ import annotations

from pathlib import Path

from conviction.errors import RequestError, RunError
from conviction.flow.again import check_classes, prepare_again
from conviction.flow.evaluation import write_report
from conviction.flow.finished import evaluate_answers, evaluated_as, steps_of
from conviction.flow.showing import Showing, shown
from conviction.process import restores_process
from conviction.reporting import save_figures
from conviction.runs import RunLike, folder, open_run
from conviction.runs.predictions import read_predictions


@restores_process
def report(
    run: RunLike,
    *,
    png: str | Path | None = None,
    pdf: str | Path | None = None,
    metadata: str | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
) -> list[Path]:
    """Makes the report again from what the run has kept, without predicting or opening anything.

    If the pictures are gone, gray boxes stand for them, and ``show`` says so.

    Args:
        run: A run, or the path of its folder.
        png: A folder for the figures as PNG, for a paper or a slide.
        pdf: The same as PDF.
        metadata: A CSV as for ``evaluation.metadata``.
        data_dir: Where to look for named sets first.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.

    Returns:
        The files that were written, the report first.

    Raises:
        RunError: There is no such run, or its predictions are missing or damaged.
        RequestError: Its data has changed, or is gone and the run is not finished, has folds or a sealed test set; the
            metadata cannot be used.
    """
    opened = open_run(run)
    for figure_folder in (png, pdf):
        if figure_folder is not None and Path(figure_folder).exists() and not Path(figure_folder).is_dir():
            raise RequestError(f"{figure_folder}: expected a folder for the figures; this is a file.")
    if opened.status == "unfinished":
        raise RunError(
            f"{opened.path}: the run ended before there was a model, so there is nothing to report."
        )
    check_classes(opened)
    answers = read_predictions(opened.path) if opened.status == "done" else None
    watching = shown(show)
    evaluation, stopped = None, ""
    try:
        if answers is not None:
            ready, evaluation = evaluate_answers(
                opened,
                answers,
                data_dir,
                metadata=metadata,
                loading=watching.loading,
                noticed=watching.noticed,
            )
        else:
            recipe = evaluated_as(opened, test=False, metadata=metadata)
            ready = prepare_again(opened, recipe, data_dir, watching.loading)
            stopped = f"The run was stopped after {len(opened.epoch_rows)} of {ready.recipe.training.epochs} epochs."
    finally:
        watching.close()
    run_steps = steps_of(opened, ready, evaluation)
    write_report(
        opened.path, ready, opened.epoch_rows, run_steps=run_steps, evaluation=evaluation, stopped=stopped
    )
    written = [opened.path / folder.REPORT]
    for figure_folder, kind in ((png, "png"), (pdf, "pdf")):
        if figure_folder is not None:
            written += save_figures(
                Path(figure_folder), kind, opened.epoch_rows, evaluation, ready.images.class_names
            )
    return written
