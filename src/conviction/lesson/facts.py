"""What the lesson's placeholders and questions are filled from: the numbers of one run, or of one that is planned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from conviction.audience import call
from conviction.config import Recipe
from conviction.errors import RunError
from conviction.evaluation import Verdict
from conviction.lesson.backbone import transfer_recipe, tuned_recipe, with_learning
from conviction.lesson.planned import NoRunError, PlannedFacts
from conviction.runs import RunFolder, open_run
from conviction.runs.content import RunScore, RunTestScore
from conviction.training import EpochRow


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
class Facts(PlannedFacts):
    """The numbers of a run; without a ``result``, those that are known before it.

    Attributes:
        result: None before a run; asking for any of it then raises ``NoRunError``.
        recorded: Whether the run is not the reader's, but the one that comes with the package.
    """

    result: Result | None
    recorded: bool = field(default=False, kw_only=True)

    @cached_property
    def transfer(self) -> PlannedFacts:
        """This network if it begins with a backbone; otherwise what the recipe of that name makes of these images."""
        if self.backbone is not None:
            return self
        recipe, shape = transfer_recipe(self.train)
        return self._planned(recipe, shape)

    @cached_property
    def tuned(self) -> PlannedFacts:
        """``transfer`` while the last two blocks of its backbone learn."""
        base = self.transfer
        return self._planned(tuned_recipe(base.recipe, base.shape, self.train), base.shape)

    @property
    def learning(self) -> list[tuple[str, int]]:
        """Of ``transfer``: how much of its backbone may learn, in words, and how many parameters then learn in all."""
        base = self.transfer
        assert base.backbone is not None
        some = [n for n in (1, 2, 4, 8) if n < base.backbone.blocks]
        choices: list[str | int] = ["head", *some, "all"]
        plans = [self._planned(with_learning(base.recipe, part), base.shape) for part in choices]
        return [(plan.backbone.learns, plan.trainable) for plan in plans if plan.backbone is not None]

    def _planned(self, recipe: Recipe, shape: tuple[int, int, int]) -> PlannedFacts:
        return PlannedFacts(self.title, recipe, shape, self.class_names, self.counts)

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

    @property
    def epochs(self) -> int:
        """Epochs that were made."""
        return len(self.history)

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


def facts_of(run: RunFolder, title: str | None = None) -> Facts:
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
            history=tuple(run.epoch_rows),
            verdict=run.verdict,
            parts={name: _part(score) for name, score in evaluation.parts.items()},
        ),
    )


def recorded_facts() -> Facts:
    """A run of the lab on Fashion-MNIST that comes with the package, for people who have none of their own."""
    with resources.as_file(resources.files("conviction.lesson") / "recorded") as path:
        facts = facts_of(open_run(Path(path)), "a recorded run of the lab on Fashion-MNIST")
    return replace(facts, recorded=True)


def _part(score: RunScore) -> PartScores:
    low, high = score.accuracy_ci95
    openings = score.openings if isinstance(score, RunTestScore) else 0
    classes = tuple(
        (c.name, c.support, c.recall) for c in score.per_class if c.support and c.recall is not None
    )
    return PartScores(score.n, score.loss, score.accuracy, low, high, openings, classes)
