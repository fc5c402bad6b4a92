"""The report: one self-contained page from plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.config import Recipe
from conviction.data import Finding, ImageSet, Split, encode_labels
from conviction.data.unused import unused_sentence
from conviction.evaluation import Comparison, Evaluation, Part
from conviction.explanation import Explanation, overlay
from conviction.reporting.augmentation import augmentation_rows
from conviction.reporting.comparison import Contrast, comparison_table, specification_table
from conviction.reporting.drawing import curves, curves_together, image_address, rates, strip
from conviction.reporting.folds import shown
from conviction.reporting.maps import kernel_maps, layer_maps, strongest
from conviction.reporting.part import view_part
from conviction.reporting.pictures import exhibits, samples
from conviction.reporting.steps import Step
from conviction.training import EpochRow, RateSearch
from conviction.version import __version__

if TYPE_CHECKING:
    import jinja2

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
    few = _of_different_classes(images.labels, split.train[:AUGMENTED_FROM])
    return render_template(
        "reporting/page.html.j2",
        name=name,
        config=recipe.to_yaml(),
        images=images,
        steps=steps,
        samples=samples(images, split),
        exhibits=exhibits(images, findings),
        augmented=[]
        if images.absent
        else augmentation_rows(
            images.pixels[few],
            encode_labels(images.labels[few], len(images.class_names)),
            recipe.augmentation,
            recipe.training.seed,
        ),
        pixelated=_is_small(images),
        curves=curves(history).svg() if history else "",
        rates=rates(search).svg() if search else "",
        search=search,
        constant=recipe.training.schedule == "constant",
        evaluation=evaluation,
        view=view_part(evaluation.shown, images) if evaluation else None,
        folds_figure=shown(evaluation.folds.accuracy) if evaluation and evaluation.folds else "",
        stopped=stopped,
    )


def render_inspection(images: ImageSet, findings: Sequence[Finding], compared: str) -> str:
    """Renders what ``conviction inspect`` found, as a separate page.

    Args:
        images: The data.
        findings: Of the audit.
        compared: By what pictures were compared, ``Audit.compared``.
    """
    counts = images.counts()
    return render_template(
        "reporting/inspection.html.j2",
        images=images,
        unused=unused_sentence(images.unused),
        counts=counts,
        exhibits=exhibits(images, findings),
        compared=compared,
        serious=sum(f.severity == "serious" for f in findings),
        pixelated=_is_small(images),
    )


def render_new_images(images: ImageSet, part: Part, step: Step, run: str) -> str:
    """Renders what ``conviction evaluate RUN SOURCE`` found.

    Args:
        images: With the run's labels.
        part: What there is to say of them.
        step: What the terminal says of it.
        run: Name of the run.
    """
    return render_template(
        "reporting/evaluation.html.j2",
        run=run,
        images=images,
        step=step,
        view=view_part(part, images),
        pixelated=_is_small(images),
    )


@dataclass(frozen=True)
class PartPanels:
    """A part of the images as pieces of another page, in the order in which a newcomer meets them; each is HTML.

    Attributes:
        mistakes: The mistakes that the network was surest of.
        confusion: The matrix, whose cells open, and labels to look at.
        details: Every other figure, confidence, each class, slices, and right answers.
    """

    mistakes: str
    confusion: str
    details: str


def render_panels(images: ImageSet, part: Part) -> PartPanels:
    """Renders a part for a page that has the report's style for what is inside ``.report``."""
    view, pixelated = view_part(part, images), _is_small(images)
    pieces = (
        render_template("reporting/panel.html.j2", view=view, pixelated=pixelated, piece=piece)
        for piece in ("mistakes", "confusion", "details")
    )
    return PartPanels(*pieces)


def _is_small(images: ImageSet) -> bool:
    """Whether their pixels are shown as squares."""
    return max(images.rule.height, images.rule.width) <= 96


def report_style() -> str:
    """The style of the report for the inside of ``.report`` on another page."""
    return f".report {{\n{_resource('reporting/style.css')}}}\n"


def render_comparison(comparison: Comparison, pictures: Sequence[Contrast], missing: str) -> str:
    """Renders runs side by side.

    Args:
        comparison: From ``compare``.
        pictures: Images that one run gets right and another wrong.
        missing: Why there are no pictures, if there are none.
    """
    return render_template(
        "reporting/comparison.html.j2",
        table_of_runs=comparison_table(comparison),
        **_contrasting(comparison, pictures, missing),
    )


def render_contrasts(comparison: Comparison, pictures: Sequence[Contrast], missing: str) -> str:
    """Renders what differs between runs, their curves and pictures, for inside ``.report``; arguments as above."""
    values = _contrasting(comparison, pictures, missing)
    return render_template(
        "reporting/contrasts.html.j2",
        **{**values, "specification": specification_table(comparison, "setting")},
    )


def _contrasting(comparison: Comparison, pictures: Sequence[Contrast], missing: str) -> dict[str, Any]:
    histories = dict(zip(comparison.runs, comparison.histories, strict=True))
    sides = [max(shown.pixels.shape) for contrast in pictures for shown in contrast.pictures]
    return {
        "comparison": comparison,
        "specification": specification_table(comparison),
        "curves": curves_together(histories).svg() if all(histories.values()) else "",
        "pictures": pictures,
        "missing": missing,
        "pixelated": max(sides, default=0) <= 96,
    }


def render_explanation(explanation: Explanation, steps: Sequence[Step], run: str, file: str) -> str:
    """Renders why a network answered as it did.

    Args:
        explanation: Of one picture.
        steps: What ``explanation_steps`` says of it.
        run: Name of the run.
        file: Of the picture.
    """
    return render_template(
        "reporting/explanation.html.j2",
        run=run,
        file=file,
        explanation=explanation,
        steps=steps,
        overlays=[(cam.layer, overlay(explanation.pixels, cam.fine)) for cam in explanation.grad_cams],
        gradient=strongest(explanation.gradient),
        kernels=None if explanation.kernels is None else kernel_maps(explanation.kernels),
        layers=[layer_maps(layer) for layer in explanation.layers],
        pixelated=max(explanation.pixels.shape) <= 96,
    )


def _of_different_classes(labels: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The same rows, the first of each class before the second of any."""
    seen: Counter[int] = Counter()
    turn = []
    for label in labels[index].tolist():
        turn.append(seen[label])
        seen[label] += 1
    return index[np.argsort(turn, kind="stable")]


def render_template(template: str, **values: Any) -> str:
    """A page with the package's version and style; see ``_environment`` for the filters.

    Args:
        template: Its path in the package, such as ``reporting/page.html.j2``; a room has its templates beside its code.
        values: What it shows.
    """
    page = _environment().get_template(template)
    text = page.render(version=__version__, style=_resource("reporting/style.css"), **values)
    # File names need not be valid Unicode; a page must be.
    return text.encode("utf-8", "replace").decode("utf-8")


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["address"] = image_address
    environment.filters["strip"] = strip
    return environment


def _resource(name: str) -> str:
    return resources.files("conviction").joinpath(name).read_text(encoding="utf-8")
