"""Everything before training: load, audit, split, model, compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from conviction.backend import usable_cores
from conviction.config import ImageFacts, Recipe
from conviction.data import Audit, DecodingRule, ImageSet, Split, audit_images, load_source, split_images
from conviction.evaluation import read_metadata
from conviction.flow.network import all_steps, search_rate
from conviction.model import LayerRow, check_memory, walk
from conviction.report import Step, steps
from conviction.training import RateSearch, Watcher, check_batch_size, check_devices, choose_precision


class Show(Watcher, Protocol):
    """Shows a run to a person: ``Terminal`` or ``Silent``."""

    def loading(self, source: str, doing: str = "reading") -> None:
        """Something that can take a while begins: reading a source, unless ``doing`` says otherwise."""

    def step(self, step: Step) -> None:
        """A step of the lab is done; the step of training begins."""

    def training_starts(self, epochs: int) -> None:
        """Training begins."""

    def noticed(self, sentence: str) -> None:
        """The curves show something that people should know while training continues."""

    def close(self) -> None:
        """The run has ended, whether it succeeded or failed."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is ready before training, and the steps that describe it."""

    recipe: Recipe
    images: ImageSet
    audit: Audit
    split: Split
    rows: list[LayerRow]
    search: RateSearch | None
    steps: list[Step]

    def with_search(self, search: RateSearch) -> Prepared:
        """The same with a search that was made earlier, which the step of compiling then describes."""
        recipe, classes = self.recipe, len(self.images.class_names)
        step = steps.compile_step(recipe.training, classes, all_steps(recipe, self.split), search)
        return replace(self, search=search, steps=[*self.steps[:-1], step])


def prepare_run(
    source: str | Path,
    asked: Recipe,
    data_dir: str | Path | None,
    show: Show,
    adapt: Callable[[ImageFacts], Recipe],
    *,
    rule: DecodingRule | None = None,
) -> Prepared:
    """Finds everything that can be wrong with a request, before anything is shown or written.

    ``rule`` is the decoding rule of a run whose images are read again; None for a new run.
    """
    show.loading(str(source))
    images = load_source(source, asked.data, data_dir, rule=rule)
    show.loading("the audit of all images")
    audit = audit_images(images, asked.data)
    split = split_images(images, asked.data, asked.training.seed, audit.groups, audit.excluded)
    audit = audit.after_split(images, split)
    recipe = adapt(ImageFacts.of(images.rule.shape, len(split.train)))
    check_batch_size(recipe.training, len(split.train))
    if recipe.evaluation.metadata:
        read_metadata(recipe.evaluation.metadata, images)  # refused now, not after training
    classes = len(images.class_names)
    rows = walk(recipe.model, images.rule.shape, classes)
    recipe = _settle(recipe, images, rows)
    check_memory(rows, recipe.training)
    check_devices(recipe.training)
    search = None
    if recipe.training.learning_rate == "auto":
        show.loading("how the loss answers to the learning rate")
        search = search_rate(recipe, images, split, rows)
        settled = recipe.training.model_copy(update={"learning_rate": search.chosen})
        recipe = recipe.model_copy(update={"training": settled})
    run_steps = [
        steps.load_step(images),
        steps.reshape_step(images),
        steps.normalise_step(images),
        steps.encode_step(images),
        steps.audit_step(audit.findings),
        steps.split_step(images, split, recipe.data),
        steps.model_step(rows),
        steps.compile_step(recipe.training, classes, all_steps(recipe, split), search),
    ]
    for step in run_steps:
        show.step(step)
    return Prepared(recipe, images, audit, split, rows, search, run_steps)


def _settle(recipe: Recipe, images: ImageSet, rows: Sequence[LayerRow]) -> Recipe:
    """Puts what the data and the machine decide into the specification that will be saved."""
    size = {"image_size": (images.rule.height, images.rule.width)}
    data = recipe.data.model_copy(update={**size, "color_mode": images.rule.color_mode})
    settled = {
        "threads": recipe.training.threads or usable_cores(),
        "precision": choose_precision(recipe.training, sum(r.multiply_adds for r in rows)),
    }
    return recipe.model_copy(update={"data": data, "training": recipe.training.model_copy(update=settled)})
