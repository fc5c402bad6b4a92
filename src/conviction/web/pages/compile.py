"""Step 3: optimizer, rate, loss and metric, each with a reason; and how training images are varied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from conviction.config import AugmentationSpec, Recipe, TrainingSpec
from conviction.flow.evaluation import FEW_TESTED
from conviction.lesson.shelf import glossary, sheets
from conviction.reporting import compile_step, few_tested_sentence, folds_ahead
from conviction.training.augmentations import AUGMENTATIONS
from conviction.training.train import steps_per_epoch
from conviction.web.elements.plain import choice, heading, number, paragraph, tag, tick
from conviction.web.pages.draft import DraftPage, real, whole
from conviction.web.pages.frame import framed, misfit, onward
from conviction.web.pages.page import ChapterLink, PageContext, Stop, shown_with_images, walkthrough
from conviction.web.work import network
from conviction.web.work.desk import Draft

KEY_RATE = "training.learning_rate"
OPTIMIZERS = {name: name for name in ("adam", "adamw", "muon", "sgd", "rmsprop")}
SCHEDULES = {"constant": "constant", "one_cycle": "one cycle", "cosine": "cosine", "linear": "linear"}
CLASS_WEIGHTS = {"none": "every image counts the same", "balanced": "every class counts the same"}
KEY_FOLDS, NO_FOLDS = "evaluation.folds", "off"
FOLDS = {
    NO_FOLDS: NO_FOLDS,
    "3x2": "3 folds, twice (3x2)",
    "5x1": "5 folds (5x1)",
    "5x2": "5 folds, twice (5x2)",
    "10x1": "10 folds (10x1)",
    "10x2": "10 folds, twice (10x2)",
}
WHY = {
    "adam": "Adam gives every weight its own step size and forgives a rate that is not quite right.",
    "adamw": "AdamW is Adam with a weight decay that works on all weights alike.",
    "muon": "Muon makes the step of each hidden layer equally large in every direction; the rest learns by AdamW.",
    "sgd": "SGD is the plain step against the gradient; here it needs a rate of 0.01 to 0.1, and patience.",
    "rmsprop": "RMSprop divides each step by the size of recent gradients, as Adam does, without Adam's running mean.",
}


async def compile_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        await shown_with_images(page, lambda images: _Form(page, images).show())


STOP = Stop(
    "compile",
    "Compile",
    "compiling",
    compile_page,
    partial(walkthrough, "Compile"),
    drafts=True,
    links=(ChapterLink("compiling", "settings"), ChapterLink("hyperparameters", "settings")),
)


class _Form(DraftPage):
    """The settings, and what the page says about them."""

    def draw(self) -> None:
        """Every field, with what follows from it."""
        spec = self.page.draft.specification(self.facts)
        steps = spec.training.epochs * steps_per_epoch(spec.training, self.facts.images)
        view = network.look(self.page.draft.layers, self.shape, self.classes)
        if view.refusal:
            misfit(self.page, view.refusal)
        heading("What is minimised, and what is measured")
        for sentence in compile_step(spec.training, self.classes, steps).sentences:
            paragraph(sentence)
        paragraph(
            f"{WHY[spec.training.optimizer]} You do not choose the loss: it follows from the labels and the output.",
            "note",
        )
        self._fields(spec)
        if not view.refusal:
            onward(self.page, "Train", self.page.to("train"))

    def _fields(self, spec: Recipe) -> None:
        training = spec.training
        with tag("div", "", "buttons"):
            self.undoing()
        heading("How it learns")
        with tag("div", "", "fields"):
            put = self._put("training.optimizer", str)
            choice("Optimizer", OPTIMIZERS, training.optimizer, put, "optimizer")
            self._rate(training)
            put = self._put("training.schedule", str)
            choice("Schedule", SCHEDULES, training.schedule, put, "schedule")
        _expect("optimizer", "learning_rate")
        _explain("range test", "schedule", "one cycle", "cosine")
        with tag("div", "", "fields"):
            self._number("Epochs", "training.epochs", training.epochs, whole, min=1, step=1)
            self._number("Batch size", "training.batch_size", training.batch_size, whole, min=1, step=1)
            early = training.early_stopping
            self._number("Stop early after", "training.early_stopping", early, whole, min=0, step=1)
            self._number("Seed", "training.seed", training.seed, whole, min=0, step=1)
        _expect("batch_size")
        _explain("seed")
        paragraph(
            "Stop early after this many epochs without a lower validation loss; 0 trains to the end.", "note"
        )
        with tag("div", "", "fields"):
            decay = "" if training.weight_decay is None else training.weight_decay
            self._number("Weight decay", "training.weight_decay", decay, _real_or_none, min=0, step="any")
            smoothing = training.label_smoothing
            self._number(
                "Label smoothing", "training.label_smoothing", smoothing, real, min=0, max=0.99, step=0.05
            )
            self._number(
                "Averaged weights", "training.ema", training.ema, real, min=0, max=0.9999, step="any"
            )
        put_weights = self._put("training.class_weights", str)
        choice("Classes in the loss", CLASS_WEIGHTS, training.class_weights, put_weights, "class_weights")
        _explain("weight decay", "label smoothing", "averaged weights")
        paragraph(
            "Each is off at 0. If it is left empty, weight decay is the optimizer's own: 0.004 for adamw.",
            "note",
        )
        self._varied(spec.augmentation)
        self._judged(spec)

    def _rate(self, training: TrainingSpec) -> None:
        searched = training.learning_rate == "auto"
        value = "" if searched else training.rate
        self._number("Learning rate", KEY_RATE, value, real, min=0, step="any", disabled=searched)

        def turn(on: bool) -> Draft:
            draft, kept = self.page.draft, self.page.desk.kept
            if on:
                kept["rate"] = value
                return draft.with_key(KEY_RATE, "auto", self.facts)
            plain = replace(draft, keys={k: v for k, v in draft.keys.items() if k != KEY_RATE})
            # The value from before the tick is restored.
            before = kept.get("rate")
            return plain.with_key(KEY_RATE, before, self.facts) if before else plain

        tick("Let range tests find the rate", searched, self.put(turn), "rate-auto")

    def _varied(self, varied: AugmentationSpec) -> None:
        heading("How training images are varied")
        with tag("div", "", "fields"):
            for one in AUGMENTATIONS:
                key, value, field = f"augmentation.{one.key}", getattr(varied, one.key), one.field
                if field and field.choices:
                    choice(field.label, dict(field.choices), value, self._put(key, str), one.key)
                elif field:
                    self._number(f"{field.label} ({field.unit})", key, value, real, min=0, step=field.step)
        paragraph(
            "Shifted by 0.1: up to a tenth of the width and of the height. A hidden square has this share of the "
            "shorter side and the picture's mean colour. 0 means none. Only training images are varied.",
            "note",
        )
        _expect("augmentation")

    def _judged(self, spec: Recipe) -> None:
        heading("How it is judged")
        folds, split = spec.evaluation.folds or NO_FOLDS, self.page.split()
        tested = self._tested_by_shares(spec) if split is None else len(split.test)
        few = f"{few_tested_sentence(tested, exact=split is not None)} " if tested < FEW_TESTED else ""
        paragraph(
            f"{few}Cross-validation estimates how good the recipe is from all other pictures: each of them is judged "
            "by networks that have not seen it. The test set stays sealed."
        )
        with tag("div", "", "fields"):
            put = self._put(KEY_FOLDS, lambda value: None if value == NO_FOLDS else value)
            options = FOLDS if folds in FOLDS else {**FOLDS, folds: folds}
            choice("Cross-validation", options, folds, put, "folds")
        for sentence in folds_ahead(spec):
            paragraph(f"The network that is kept is trained first. {sentence}", "note")

    def _tested_by_shares(self, spec: Recipe) -> int:
        """How many test images there are, before the split is known."""
        brought = int((self.images.parts == "test").sum())
        return brought or max(1, round(len(self.images) * spec.data.test))

    def _number(
        self, label: str, key: str, value: float | str, read: Callable[[str], Any], **props: Any
    ) -> None:
        field = key.rpartition(".")[2]
        put = self.put_field(field, label, lambda text: self.page.draft.with_key(key, read(text), self.facts))
        number(label, handler=put, key=field, **self.shown(field, value), **props)

    def _put(self, key: str, read: Callable[[str], Any]) -> Callable[..., Any]:
        return self.put(lambda text: self.page.draft.with_key(key, read(text), self.facts))


def _real_or_none(text: str) -> float | None:
    return real(text) if text.strip() else None


def _explain(*terms: str) -> None:
    """What the glossary says about these settings."""
    known = {one.term: one.text for one in glossary()}
    with tag("details"):
        tag("summary", ", ".join(terms).capitalize())
        for term in terms:
            paragraph(f"{term.capitalize()}: {known[term]}", "note")


def _expect(*names: str) -> None:
    """What the lesson tells learners to expect of these settings."""
    for sheet in sheets():
        if sheet.name in names:
            with tag("details"):
                tag("summary", sheet.title)
                paragraph(" ".join(sheet.short.split()), "note")
