"""What the lesson's placeholders and questions are filled from: the numbers of one run, or of one that is planned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from conviction.audience import call
from conviction.config import Recipe
from conviction.config.model import AveragePooling2D, Conv2D, Dense, Layer, MaxPooling2D
from conviction.errors import RunError
from conviction.evaluation import Verdict
from conviction.lesson.variants import CHANGES, Variant, variant
from conviction.model import LayerRow, loss_name, walk
from conviction.model.shapes import Shape
from conviction.runs import Run, load_run
from conviction.runs.content import RunScore, RunTestScore
from conviction.training import EpochRow

RECORDED = "a recorded run of the lab on Fashion-MNIST"


@dataclass(frozen=True)
class Stage:
    """A hidden layer: its specification, its row of the summary and the shape that comes in."""

    layer: Any  # one of config.model.Layer; templates use the attributes of its type
    row: LayerRow
    before: Shape


@dataclass(frozen=True)
class Share:
    """The layer with the most of something, and its share of all, 0 to 1."""

    name: str
    params: int
    share: float


@dataclass(frozen=True)
class PartScores:
    """How one part of the images was classified: rates from 0 to 1, low and high the 95% interval of accuracy."""

    n: int
    loss: float
    accuracy: float
    low: float
    high: float
    openings: int = 0
    classes: tuple[tuple[str, int, float], ...] = ()  # name, images, recall

    @property
    def right(self) -> int:
        """Images that were classified correctly."""
        return round(self.accuracy * self.n)

    @property
    def error(self) -> float:
        """The standard error of accuracy."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.n)


class NoRunError(RunError):
    """A text asks for what only a finished run can say."""


@dataclass(frozen=True)
class Result:
    """The outcome of a finished run.

    Attributes:
        history: At least one epoch.
        verdict: Of the curves, the gap and what they could have shown; None for the mean of several runs.
        parts: ``train``, ``validation`` and, unless it is sealed, ``test``.
    """

    history: Sequence[EpochRow]
    verdict: Verdict | None
    parts: Mapping[str, PartScores] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """The numbers of a run, or of images and a specification without one, by the names that the texts use.

    Attributes:
        title: What the texts call it.
        recipe: Its specification.
        shape: (height, width, channels) of an image.
        class_names: At least 2.
        counts: Images in ``train``, ``validation`` and ``test``, each at least 1.
        result: None before a run; asking for any of it then raises ``NoRunError``.
        class_counts: Training images of each class; empty where they are not known.
    """

    title: str
    recipe: Recipe
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    result: Result | None
    class_counts: tuple[int, ...] = ()

    @property
    def _finished(self) -> Result:
        if self.result is None:
            raise NoRunError(f"{self.title}: there is no run of it yet.")
        return self.result

    @property
    def history(self) -> Sequence[EpochRow]:
        """Every epoch."""
        return self._finished.history

    @property
    def judged(self) -> Verdict:
        """Of the curves, the gap and what they could have shown."""
        if self._finished.verdict is None:
            raise NoRunError(f"{self.title}: there is no verdict on the mean of several runs.")
        return self._finished.verdict

    @property
    def verdict(self) -> str:
        """The verdict's name."""
        return self.judged.name

    @property
    def since(self) -> int | None:
        """The epoch since which its validation loss has turned; None if it has not."""
        return self.judged.since

    @cached_property
    def layers(self) -> list[LayerRow]:
        """All rows of the summary, normalisation first and output last."""
        return walk(self.recipe.model, self.shape, self.classes)

    @cached_property
    def stages(self) -> list[Stage]:
        """The hidden layers, in order."""
        rows = self.layers
        hidden: Sequence[Layer] = self.recipe.model.layers
        return [Stage(layer, rows[i + 1], rows[i].output) for i, layer in enumerate(hidden)]

    @property
    def convs(self) -> list[Stage]:
        """The convolutions."""
        return [s for s in self.stages if isinstance(s.layer, Conv2D)]

    @property
    def pools(self) -> list[Stage]:
        """The pooling layers with windows."""
        return [s for s in self.stages if isinstance(s.layer, MaxPooling2D | AveragePooling2D)]

    @property
    def first_dense(self) -> Stage | None:
        """The first hidden dense layer."""
        return next((s for s in self.stages if isinstance(s.layer, Dense)), None)

    @property
    def flat(self) -> int | None:
        """Values after Flatten."""
        return next((s.row.output[0] for s in self.stages if s.layer.type == "Flatten"), None)

    def has(self, kind: str) -> bool:
        """Whether there is a layer of this type, such as ``BatchNormalization``."""
        return any(s.layer.type == kind for s in self.stages)

    @property
    def params(self) -> int:
        """All parameters."""
        return sum(row.params for row in self.layers)

    @property
    def trainable(self) -> int:
        """Parameters that are learned."""
        return sum(row.trainable for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def heaviest(self) -> Share:
        """The layer with the most parameters."""
        row = max(self.layers, key=lambda r: r.params)
        return Share(row.name, row.params, row.params / self.params)

    @property
    def slowest(self) -> Share:
        """The layer with the most multiply-adds."""
        row = max(self.layers, key=lambda r: r.multiply_adds)
        return Share(row.name, row.params, row.multiply_adds / self.macs)

    def change(self, name: str) -> Variant:
        """The network with one thing changed: a name in ``variants.CHANGES``."""
        return variant(name, self.recipe.model, self.shape, self.classes)

    @property
    def changes(self) -> list[Variant]:
        """Every change that fits the images and changes anything."""
        return [v for v in map(self.change, CHANGES) if v.fits and list(v.rows) != self.layers]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.shape[1]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.shape[2]

    @property
    def classes(self) -> int:
        """How many."""
        return len(self.class_names)

    @property
    def train(self) -> int:
        """Training images."""
        return self.counts["train"]

    @property
    def validation(self) -> int:
        """Validation images."""
        return self.counts["validation"]

    @property
    def test_images(self) -> int:
        """Test images, opened or not."""
        return self.counts["test"]

    @property
    def total(self) -> int:
        """All images."""
        return self.train + self.validation + self.test_images

    def megabytes(self, bytes_each: int) -> float:
        """Of all images, for values of this many bytes."""
        return self.total * math.prod(self.shape) * bytes_each / 1e6

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.recipe.training.batch_size

    def steps_at(self, batch: float) -> int:
        """Steps an epoch for batches of this size, 1 at least."""
        return math.ceil(self.train / max(1, int(batch)))

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.steps_at(self.batch)

    @property
    def epochs(self) -> int:
        """Epochs that were made."""
        return len(self.history)

    @property
    def rate(self) -> float:
        """The highest learning rate; range tests find it at the beginning of a run."""
        if self.recipe.training.learning_rate == "auto":
            raise NoRunError(f"{self.title}: its learning rate is found when training begins.")
        return self.recipe.training.rate

    @property
    def optimizer(self) -> str:
        """Its name in Keras."""
        return self.recipe.training.optimizer

    @property
    def schedule(self) -> str:
        """Of the learning rate."""
        return self.recipe.training.schedule

    @property
    def precision(self) -> str:
        """Of products."""
        return self.recipe.training.precision

    @property
    def loss(self) -> str:
        """Its name in Keras."""
        return loss_name(self.classes)

    @property
    def guess(self) -> float:
        """The loss of equal probabilities for all classes."""
        return math.log(self.classes)

    @property
    def base_rate_loss(self) -> float:
        """The lowest loss of giving every image the same probabilities: the entropy of the training classes' shares.

        It is ``guess`` where all are equally common, or where their counts are not known.
        """
        total = sum(self.class_counts)
        shares = [count / total for count in self.class_counts if count]
        return -sum(p * math.log(p) for p in shares) if shares else self.guess

    @property
    def first(self) -> EpochRow:
        """The first epoch."""
        return self.history[0]

    @property
    def last(self) -> EpochRow:
        """The last epoch."""
        return self.history[-1]

    @property
    def lowest(self) -> EpochRow:
        """The epoch of the lowest validation loss."""
        return min(self.history, key=lambda row: row.val_loss)

    @property
    def validation_error(self) -> float:
        """The standard error of the last validation accuracy."""
        p = self.last.val_accuracy
        return math.sqrt(p * (1 - p) / self.validation)

    @property
    def test(self) -> PartScores | None:
        """None while the test set is sealed."""
        return self._finished.parts.get("test")

    @property
    def trained(self) -> PartScores | None:
        """The training images, with the final weights."""
        return self._finished.parts.get("train")

    @property
    def worst(self) -> Mapping[str, Any] | None:
        """The class with the lowest recall on the test images; None if all are equal, or the set is sealed."""
        if self.test is None or len({recall for _, _, recall in self.test.classes}) < 2:
            return None
        name, images, recall = min(self.test.classes, key=lambda c: c[2])
        return {"name": name, "support": images, "recall": recall}


def facts_of(run: Run, title: str | None = None) -> Facts:
    """Reads the facts of a finished run.

    Raises:
        RunError: It was not finished, or a file of it is damaged.
    """
    if run.status != "done":
        raise RunError(
            f"{run.path}: the lesson needs a finished run; this one is {run.status}. "
            f"Finish it with: {call('resume', run.path)}"
        )
    data, evaluation = run.data, run.evaluation
    return Facts(
        title=title or f"your run {run.path}",
        recipe=run.config,
        shape=data.decoding.shape,
        class_names=tuple(data.class_names),
        counts=data.counts.totals,
        class_counts=tuple(data.counts.train),
        result=Result(
            history=tuple(run.history),
            verdict=run.verdict,
            parts={name: _part(score) for name, score in evaluation.parts.items()},
        ),
    )


def recorded_facts() -> Facts:
    """A run of the lab on Fashion-MNIST that comes with the package, for people who have none of their own."""
    with resources.as_file(resources.files("conviction.lesson") / "recorded") as path:
        return facts_of(load_run(Path(path)), RECORDED)


def _part(score: RunScore) -> PartScores:
    low, high = score.accuracy_ci95
    openings = score.openings if isinstance(score, RunTestScore) else 0
    classes = tuple(
        (c.name, c.support, c.recall) for c in score.per_class if c.support and c.recall is not None
    )
    return PartScores(score.n, score.loss, score.accuracy, low, high, openings, classes)
