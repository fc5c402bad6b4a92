"""The evaluation of a run and its report: at the end of ``fit``, and again by ``evaluate`` and ``report``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from conviction.audience import call, listening, option, typed, without_home
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.errors import RequestError
from conviction.evaluation import Advice, Evaluation, assess, predict_parts, read_metadata, record_opening
from conviction.evaluation.verdict import takes_photographs
from conviction.flow.folds import read_estimate
from conviction.flow.prepare import Prepared, check_folds, cut_for
from conviction.model.backbones import SIZE
from conviction.reporting import (
    backbone_suggestion,
    decision_sentences,
    evaluate_step,
    folds_suggestion,
    no_backbone_suggestion,
    render_page,
    steps,
)
from conviction.runs import RunFolder, folder
from conviction.runs.predictions import write_predictions
from conviction.runs.rows import fit_again
from conviction.training import EpochRow

# A smaller test set has an interval of 6 points or more to each side of an accuracy of 75%.
FEW_TESTED = 200
SUGGESTED = ("5x2", "4x2", "3x2")


def predict_and_assess(run: RunFolder, ready: Prepared, command: str) -> Evaluation:
    """Predicts with the file that was saved, opens the test set unless it stays sealed, and keeps the predictions.

    Args:
        run: A run with a model.
        ready: Its prepared data.
        command: Its name, for the ledger of openings.
    """

    def open_test() -> int:
        return record_opening(ready.split.test_hash, run.path, command)

    opening = open_test if ready.recipe.evaluation.test else None
    probabilities, openings = predict_parts(
        run.model, ready.images, ready.split, opening, ready.recipe.evaluation.views
    )
    write_predictions(run.path, probabilities, ready.images, ready.split)
    return assess_predictions(run, ready, probabilities, openings)


def assess_predictions(
    run: RunFolder, ready: Prepared, probabilities: dict[str, np.ndarray], openings: int
) -> Evaluation:
    """Assesses predictions of the run's own images.

    Raises:
        RequestError: The metadata cannot be used.
        RunError: The answers of the folds are missing or damaged.
    """
    spec = ready.recipe.evaluation
    return assess(
        probabilities,
        ready.images,
        ready.split,
        run.epoch_rows,
        recipe=ready.recipe,
        openings=openings,
        temperature=run.temperature,
        metadata=read_metadata(spec.metadata, ready.images) if spec.metadata else None,
        folds=read_estimate(run.path, ready),
    )


def advice_words(advice: Advice, run: RunFolder) -> str:
    """A verdict's advice, as a command to type or a function to call."""
    keys = " ".join(advice.keys)
    if advice.resumes:
        return call("resume", run.path, keys, repr(list(advice.keys)))
    source = run.data.source
    # A new recipe replaces the run's own keys.
    new_recipe = "recipe" in advice.settings
    if listening() == "python":
        config = "" if new_recipe else f", config={without_home(run.path / folder.CONFIG)!r}"
        return f"conviction.fit({source!r}, {list(advice.keys)!r}{config})"
    return f"conviction fit {typed(source)} {keys}" if new_recipe else f"{fit_again(run)} {keys}"


def serious_doubts(ready: Prepared) -> list[str]:
    """What the audit found that makes accuracies doubtful, in sentences; leaks that were left out do not."""
    return [
        finding.sentence
        for finding in ready.audit.findings
        if finding.severity == "serious" and not (finding.kind == "leak" and "leak" in ready.split.left_out)
    ]


def evaluation_step(evaluation: Evaluation, ready: Prepared, run: RunFolder | None) -> steps.Step:
    """The step of evaluation, with the findings of the audit that cast doubt on the accuracy.

    Args:
        evaluation: The evaluation of the run.
        ready: Its prepared data.
        run: Needed to word the advice; None where the caller words it and says that the test set is sealed, as the
            page does with links and a button.
    """
    doubts = serious_doubts(ready)
    advise = None if run is None or listening() == "page" else partial(advice_words, run=run)
    suggested = [] if advise is None or run is None else _suggested(evaluation, ready, run)
    return evaluate_step(
        evaluation,
        doubts,
        advise,
        says_sealed=run is not None,
        suggested=suggested,
        views=ready.recipe.evaluation.views,
    )


def _suggested(evaluation: Evaluation, ready: Prepared, run: RunFolder) -> list[str]:
    """What the threshold of the model does; whether a network with a backbone, or without one, may be better; folds."""
    data, source = ready.recipe.data, run.data.source
    out = decision_sentences(run.decision, evaluation.shown, ready.images)
    if ready.recipe.model.backbone is not None:
        keys = [f"recipe={TRANSFER_RECIPE}"]
        if data.image_size != (SIZE, SIZE):
            keys.append(f"data.image_size={str(list(data.image_size or ())).replace(' ', '')}")
        command = f"conviction explore {typed(source)} {shlex.join(keys)} {option('vary')} recipe=best"
        called = f"conviction.explore({source!r}, {keys!r}, vary=['recipe=best'])"
        out.append(no_backbone_suggestion(called if listening() == "python" else command))
    elif takes_photographs(data):
        advice = Advice((f"recipe={TRANSFER_RECIPE}",))
        if advice not in evaluation.verdict.advice:
            out.append(backbone_suggestion(advice_words(advice, run)))
    return [*out, *_folds_suggested(ready, run)]


def _folds_suggested(ready: Prepared, run: RunFolder) -> list[str]:
    """That folds would say more than so small a test set, with the most folds that the images allow."""
    test = len(ready.split.test)
    if test >= FEW_TESTED or ready.folds or ready.recipe.model.own is not None:
        return []
    for plan in SUGGESTED:
        evaluation = ready.recipe.evaluation.model_copy(update={"folds": plan})
        recipe = ready.recipe.model_copy(update={"evaluation": evaluation})
        try:
            check_folds(recipe, cut_for(recipe, ready.images, ready.audit, ready.split))
        except RequestError:
            continue
        return [folds_suggestion(test, advice_words(Advice((f"evaluation.folds={plan}",)), run))]
    return []


def write_report(
    path: Path,
    ready: Prepared,
    history: Sequence[EpochRow],
    *,
    run_steps: Sequence[steps.Step],
    evaluation: Evaluation | None,
    stopped: str = "",
) -> None:
    """Writes ``report.html``.

    Args:
        path: The run folder.
        ready: What was trained on.
        history: May be empty.
        run_steps: The steps of the run, in order.
        evaluation: None if the run was stopped before it.
        stopped: Why the run ended early, if it did.
    """
    page = render_page(
        name=path.resolve().name,
        recipe=ready.recipe,
        images=ready.images,
        findings=ready.audit.findings,
        split=ready.split,
        steps=run_steps,
        history=history,
        search=ready.search,
        evaluation=evaluation,
        stopped=stopped,
    )
    folder.write_text(path / folder.REPORT, page)
