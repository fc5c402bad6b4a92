"""What an evaluation found, in layers: one figure and what to doubt, the mistakes, the confusion, and the details."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from conviction.evaluation import Advice
from conviction.flow.evaluation import FEW_TESTED
from conviction.reporting import TO_TRY, folds_suggestion
from conviction.runs import RunFolder, folder
from conviction.training.augmentations import AUGMENTATIONS
from conviction.web.elements.intervals import interval_table
from conviction.web.elements.plain import button, heading, link, paragraph, show_step, tag
from conviction.web.pages.evaluated import Evaluated, Reason, reasons
from conviction.web.pages.page import PageContext, shown_when_ready

# As Compile calls them.
LABELS = {
    "training.learning_rate": "Learning rate",
    "training.early_stopping": "Stop early after",
    "training.epochs": "Epochs",
    **{f"augmentation.{one.key}": one.field.label for one in AUGMENTATIONS if one.field},
}


def show_result(page: PageContext, run: RunFolder, evaluation: Evaluated) -> None:
    """Shows the evaluation of a run."""
    _figure(evaluation)
    _verdict(page, run, evaluation)
    with tag("section", "", "mistakes"):
        ui.html(evaluation.panels.mistakes, sanitize=False).classes("report")
        if any(one.value < 1 for one in evaluation.accuracies[:1]):
            _offer_reasons(page, run, evaluation.part)
    ui.html(evaluation.panels.confusion, sanitize=False).classes("report")
    with tag("details", "", "experts"):
        tag("summary", "All other figures")
        ui.html(evaluation.panels.details, sanitize=False).classes("report")


def _figure(evaluation: Evaluated) -> None:
    first = evaluation.accuracies[0]
    heading("On the test images" if evaluation.part == "test" else "On the validation images")
    with tag("p", "", "headline"):
        tag("b", f"{first.value:.2%}")
        tag("span", f" of {evaluation.images:,} images were classified correctly.")
    interval_table(evaluation.accuracies, "Accuracy of each part")
    for doubt in evaluation.doubts:
        paragraph(doubt, "message")


def _verdict(page: PageContext, run: RunFolder, evaluation: Evaluated) -> None:
    with tag("div", "", "verdict"):
        tag("span", "The verdict on its training:", "soft")
        tag("b", run.verdict.name)
    for advice in run.verdict.advice:
        words, step = advised(advice)
        with tag("p", f"{TO_TRY}{words}, at "):
            title = next(stop.title for stop in page.stops if stop.name == step)
            link(title, page.to(step, run.path.name if step == "train" else ""))
    tested = sum(run.data.counts.test)
    if tested < FEW_TESTED and run.config.evaluation.folds is None:
        with tag("p", folds_suggestion(tested, "choose Cross-validation at ")):
            link("Compile", page.to("compile"))
            tag("span", " and train again.")
    with tag("details"):
        tag("summary", "What the verdict rests on")
        show_step(evaluation.step)


def _offer_reasons(page: PageContext, run: RunFolder, part: str) -> None:
    container = tag("div")

    async def show(*_: Any) -> None:
        container.clear()
        stamp = (run.path / folder.MODEL).stat().st_mtime
        with container:
            await shown_when_ready(
                page,
                "Loading the network and asking it ...",
                lambda: page.lab.helper.call(reasons, str(run.path), page.lab.data_dir, part, stamp),
                _show_reasons,
            )

    with container:
        button("Show what spoke for its answers", page.guarded(show), "reasons")


def advised(advice: Advice) -> tuple[str, str]:
    """What a verdict advises, in the words of the page, and the step that has them."""
    settings = advice.settings
    if advice.resumes:
        return f"continue to {settings['training.epochs']} epochs", "train"
    if "model.trainable" in settings:
        return f"let the last {settings['model.trainable']} blocks of the backbone learn, too", "network"
    if "recipe" in settings:
        return f"start again from {settings['recipe']}", "network"
    return " and ".join(f"{LABELS[key]} {value}" for key, value in settings.items()), "compile"


def _show_reasons(mistakes: list[Reason]) -> None:
    paragraph(
        "These maps are made by Grad-CAM at the last convolution: the more orange a place is, the more it spoke for "
        "the answer.",
        "note",
    )
    with tag("div", "", "cards reasons"):
        for one in mistakes:
            with tag("figure", "", "card"):
                with tag("div", "", "pair"):
                    tag("img", "", "sharp", src=one.picture, alt=f"A picture of {one.truth}")
                    tag("img", src=one.heat, alt=f"The places that spoke for {one.predicted}")
                with tag("figcaption"):
                    tag("b", one.truth)
                    tag("span", f" called {one.predicted}, {one.sure:.1%} sure")
