"""The report: one self-contained page from plain data."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from conviction import __version__
from conviction.config import Recipe
from conviction.data import ImageSet, Split
from conviction.evaluation import Evaluation
from conviction.report.drawing import curves_svg, png_address, strip
from conviction.report.pictures import guesses, samples
from conviction.report.steps import Step, class_table
from conviction.training import EpochRow

# Beyond this many classes a confusion matrix has more cells than a page can show.
MOST_MATRIX_CLASSES = 30


def render_page(
    *,
    name: str,
    recipe: Recipe,
    images: ImageSet,
    split: Split,
    steps: Sequence[Step],
    history: Sequence[EpochRow],
    evaluation: Evaluation | None,
    stopped: str = "",
) -> str:
    """Renders the page.

    Args:
        name: Of the run.
        recipe: The resolved specification.
        images: The data.
        split: Which image is where.
        steps: What was done, in order.
        history: May be empty if training stopped in its first epoch.
        evaluation: None if the run was stopped before it.
        stopped: Why the run ended early, if it did.
    """
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
    wrong, correct = guesses(images, split, evaluation) if evaluation else ([], [])
    shown = None
    if evaluation:
        shown = evaluation.test or evaluation.validation
    page = environment.get_template("page.html.j2").render(
        name=name,
        version=__version__,
        config=recipe.to_yaml(),
        images=images,
        steps=steps,
        samples=samples(images, split),
        pixelated=max(images.rule.height, images.rule.width) <= 96,
        curves=curves_svg(history) if history else "",
        evaluation=evaluation,
        shown=shown,
        class_table=class_table(shown) if shown else None,
        matrix=shown is not None and len(images.class_names) <= MOST_MATRIX_CLASSES,
        wrong=wrong,
        correct=correct,
        stopped=stopped,
        style=_resource("style.css"),
    )
    # File names need not be valid Unicode; a page must be.
    return page.encode("utf-8", "replace").decode("utf-8")


def _resource(name: str) -> str:
    return resources.files("conviction.report").joinpath(name).read_text(encoding="utf-8")
