"""The report: one self-contained page from plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from conviction import __version__
from conviction.config import Recipe
from conviction.data import Finding, ImageSet, Split, encode_labels
from conviction.evaluation import Evaluation
from conviction.explanation import Explanation
from conviction.report.augmentation import augmentation_rows
from conviction.report.drawing import curves_svg, png_address, rates_svg, reliability_svg, strip
from conviction.report.maps import kernel_maps, layer_maps, overlay, strongest
from conviction.report.pictures import exhibits, guesses, samples
from conviction.report.steps import Step, class_table, figures_table
from conviction.training import EpochRow, RateSearch

if TYPE_CHECKING:
    import jinja2

# Beyond this many classes a confusion matrix has more cells than a page can show.
MOST_MATRIX_CLASSES = 30
# How many training images augmentation may show its work on.
AUGMENTED_FROM = 64


def render_page(
    *,
    name: str,
    recipe: Recipe,
    images: ImageSet,
    findings: Sequence[Finding],
    split: Split,
    steps: Sequence[Step],
    history: Sequence[EpochRow],
    search: RateSearch | None = None,
    evaluation: Evaluation | None,
    stopped: str = "",
) -> str:
    """Renders the page.

    Args:
        name: Of the run.
        recipe: The resolved specification.
        images: The data.
        findings: Of the audit.
        split: Which image is where.
        steps: What was done, in order.
        history: May be empty if training stopped in its first epoch.
        search: What was tried to find the learning rate, if it was.
        evaluation: None if the run was stopped before it.
        stopped: Why the run ended early, if it did.
    """
    wrong, correct = guesses(images, split, evaluation) if evaluation else ([], [])
    few = _of_different_classes(images.labels, split.train[:AUGMENTED_FROM])
    shown = None
    if evaluation:
        shown = evaluation.test or evaluation.validation
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            name=name,
            version=__version__,
            config=recipe.to_yaml(),
            images=images,
            steps=steps,
            samples=samples(images, split),
            exhibits=exhibits(images, findings),
            augmented=augmentation_rows(
                images.pixels[few],
                encode_labels(images.labels[few], len(images.class_names)),
                recipe.augmentation,
                recipe.training.seed,
            ),
            pixelated=max(images.rule.height, images.rule.width) <= 96,
            curves=curves_svg(history) if history else "",
            rates=rates_svg(search) if search else "",
            search=search,
            constant=recipe.training.schedule == "constant",
            evaluation=evaluation,
            shown=shown,
            class_table=class_table(shown) if shown else None,
            figures=figures_table(evaluation.shown_figures) if evaluation else None,
            reliability=reliability_svg(evaluation.reliability) if evaluation else "",
            matrix=shown is not None and len(images.class_names) <= MOST_MATRIX_CLASSES,
            wrong=wrong,
            correct=correct,
            stopped=stopped,
            style=_resource("style.css"),
        )
    )
    return _valid(page)


def render_inspection(images: ImageSet, findings: Sequence[Finding]) -> str:
    """Renders what ``conviction inspect`` found, as a page of its own."""
    counts = images.counts()
    page = (
        _environment()
        .get_template("inspection.html.j2")
        .render(
            version=__version__,
            images=images,
            counts=counts,
            exhibits=exhibits(images, findings),
            serious=sum(f.severity == "serious" for f in findings),
            pixelated=max(images.rule.height, images.rule.width) <= 96,
            style=_resource("style.css"),
        )
    )
    return _valid(page)


def render_explanation(explanation: Explanation, steps: Sequence[Step], run: str, file: str) -> str:
    """Renders why a network answered as it did.

    Args:
        explanation: Of one picture.
        steps: What ``explanation_steps`` says of it.
        run: Name of the run.
        file: Of the picture.
    """
    page = (
        _environment()
        .get_template("explanation.html.j2")
        .render(
            version=__version__,
            run=run,
            file=file,
            explanation=explanation,
            steps=steps,
            overlays=[(cam.layer, overlay(explanation.pixels, cam.fine)) for cam in explanation.grad_cams],
            gradient=strongest(explanation.gradient),
            kernels=None if explanation.kernels is None else kernel_maps(explanation.kernels),
            layers=[layer_maps(layer) for layer in explanation.layers],
            pixelated=max(explanation.pixels.shape) <= 96,
            style=_resource("style.css"),
        )
    )
    return _valid(page)


def _of_different_classes(labels: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The same rows, the first of each class before the second of any."""
    seen: Counter[int] = Counter()
    turn = []
    for label in labels[index].tolist():
        turn.append(seen[label])
        seen[label] += 1
    return index[np.argsort(turn, kind="stable")]


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["png"] = png_address
    environment.filters["strip"] = strip
    return environment


def _valid(page: str) -> str:
    """File names need not be valid Unicode; a page must be."""
    return page.encode("utf-8", "replace").decode("utf-8")


def _resource(name: str) -> str:
    return resources.files("conviction.report").joinpath(name).read_text(encoding="utf-8")
