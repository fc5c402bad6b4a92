"""The result of an exploration: each arm compared with the base, in numbers and in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conviction.evaluation import holm
from conviction.experiments.exploration import Plan, Planned, Trials
from conviction.experiments.measures import effects_of
from conviction.experiments.statistics import (
    Difference,
    paired_difference,
    seeds_interval,
)
from conviction.lesson import Facts
from conviction.lesson.facts import Result
from conviction.lesson.record import Effect
from conviction.model.changes import layer_changes
from conviction.training import EpochRow

# The smallest difference that is worth knowing about: half a point of accuracy.
WORTH_SEEING = 0.005
# Beyond this, a number of seeds says no more than that they are too many.
MOST_SAID = 60
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Summary:
    """An arm over its seeds.

    Attributes:
        question: The question that it belongs to; empty for the base.
        label: Its name.
        seeds: The seeds that finished.
        accuracy: (n,) validation accuracy of the weights that were kept, 0 to 1.
        loss: (n,) validation loss of the same epoch.
        gap: (n,) accuracy in training minus in validation, of the same epoch.
        resolution: One over the number of validation images; 0 if no seed finished.
        seconds: (n,) seconds of training.
        params: The number of parameters.
        multiply_adds: Multiply-adds for one image.
        changes: How its network differs from that of the base, a line for each layer.
        curve: The mean over the seeds, epoch by epoch.
        failures: Why seeds failed.
    """

    question: str
    label: str
    seeds: tuple[int, ...]
    accuracy: tuple[float, ...]
    loss: tuple[float, ...]
    gap: tuple[float, ...]
    resolution: float
    seconds: tuple[float, ...]
    params: int
    multiply_adds: int
    changes: tuple[str, ...]
    curve: tuple[EpochRow, ...]
    failures: Mapping[int, str]


@dataclass(frozen=True)
class ArmFinding:
    """An arm and its difference from the base, over the seeds that both finished.

    ``p`` is the p-value of accuracy, corrected by Holm for all comparisons of the exploration.
    """

    arm: Summary
    accuracy: Difference
    loss: Difference
    p: float
    sentence: str

    @property
    def detected(self) -> bool:
        """Whether the difference in accuracy is more than chance explains, given the number of comparisons."""
        return self.accuracy.known and self.p < SIGNIFICANT


@dataclass(frozen=True)
class ClaimFinding:
    """What an exploration says of a claim of the lesson: every measure of it, by name."""

    name: str
    seeds: int
    effects: Mapping[str, Effect]


@dataclass(frozen=True)
class Findings:
    """The whole answer: the base, the arms, and what could not be tried with its reason; the claim that was tested."""

    source: str
    base: Summary
    arms: tuple[ArmFinding, ...]
    untried: tuple[tuple[str, str, str], ...]  # question, label, reason
    about: tuple[str, ...]
    facts: Facts  # of the base, for the lesson's texts
    claim: ClaimFinding | None = None

    @property
    def questions(self) -> list[str]:
        """The questions, in the order of the command."""
        return list(dict.fromkeys([*(f.arm.question for f in self.arms), *(q for q, _, _ in self.untried)]))

    @property
    def nothing(self) -> str:
        """What is missing where no arm could be compared, in a sentence."""
        if not self.base.seeds:
            return "No seed of the base finished, so no arm can be compared with it."
        return "No arm finished a seed that the base finished, so nothing can be compared."

    def of(self, question: str) -> list[ArmFinding]:
        """The findings of a question."""
        return [f for f in self.arms if f.arm.question == question]

    def to_json(self) -> dict[str, Any]:
        """For ``result.json``; infinite ends of intervals are null."""
        return {
            "source": self.source,
            "base": _plain(asdict(self.base)),
            "arms": [_plain({**asdict(f), "detected": f.detected}) for f in self.arms],
            "untried": [
                {"question": q, "label": label, "reason": reason} for q, label, reason in self.untried
            ],
            "about": list(self.about),
            "claim": _plain(asdict(self.claim)) if self.claim else None,
        }


def findings(plan: Plan, trials: Trials, claim: str | None = None) -> Findings:
    """Compares every arm with the base; without a finished seed of both there is no finding.

    Args:
        plan: What was compared.
        trials: What is finished.
        claim: The claim of the lesson that its only arm tests.
    """
    base = _summary(plan.base, trials, plan.base)
    pairs = [
        (planned, _summary(planned, trials, plan.base)) for planned in plan.arms if planned.recipe is not None
    ]
    untried = [(p.arm.question, p.arm.label, p.refusal) for p in plan.arms if p.recipe is None]
    compared = [s for _, s in pairs if set(s.seeds) & set(base.seeds)]
    untried += [
        (s.question, s.label, _not_compared(s, base)) for _, s in pairs if not set(s.seeds) & set(base.seeds)
    ]
    accuracies = [_paired(s, base, "accuracy") for s in compared]
    corrected = holm([d.p for d in accuracies]) if compared else []
    arms = tuple(
        ArmFinding(
            arm,
            accuracy,
            _paired(arm, base, "loss"),
            p,
            sentence(arm, base, accuracy, p, fixed=plan.fixed_split),
        )
        for arm, accuracy, p in zip(compared, accuracies, corrected, strict=True)
    )
    about = tuple(_about(plan, base, len(arms)))
    tested = _claim_finding(claim, plan, trials, base) if claim and arms else None
    return Findings(plan.source, base, arms, tuple(untried), about, _facts(plan, base), tested)


def _claim_finding(claim: str, plan: Plan, trials: Trials, base: Summary) -> ClaimFinding:
    """Every measure of the first arm against the base."""
    first, second = (
        {seed: _history(value) for seed, value in trials.values[key].items()}
        for key in (plan.arms[0].key, plan.base.key)
    )
    seeds, effects = effects_of(first, second, base.resolution)
    return ClaimFinding(claim, seeds, effects)


def _history(value: Mapping[str, Any]) -> list[EpochRow]:
    return [EpochRow(**row) for row in value["history"]]


def _not_compared(arm: Summary, base: Summary) -> str:
    """Why an arm that was run has no finding."""
    if not arm.seeds:
        return f"None of its seeds finished: {next(iter(arm.failures.values()), 'it did not run')}."
    if not base.seeds:
        return "No seed of the base finished, so there is nothing to compare it with."
    return "It and the base finished different seeds, so there is no pair to compare."


def _facts(plan: Plan, base: Summary) -> Facts:
    recipe = plan.base.recipe
    assert recipe is not None
    counts = {**plan.counts, "train": plan.train_images or plan.counts["train"]}
    return Facts(
        title="the base of this exploration",
        recipe=recipe,
        shape=plan.images.rule.shape,
        class_names=tuple(plan.images.class_names),
        counts=counts,
        result=Result(base.curve, None),
    )


def _summary(planned: Planned, trials: Trials, base: Planned) -> Summary:
    values = trials.values.get(planned.key, {})
    seeds = tuple(sorted(values))
    histories = [_history(values[s]) for s in seeds]
    kept = [
        next(row for row in history if row.epoch == (values[s]["kept_epoch"] or len(history)))
        for s, history in zip(seeds, histories, strict=True)
    ]
    return Summary(
        question=planned.arm.question,
        label=planned.arm.label,
        seeds=seeds,
        accuracy=tuple(row.val_accuracy for row in kept),
        loss=tuple(row.val_loss for row in kept),
        gap=tuple(row.accuracy - row.val_accuracy for row in kept),
        resolution=max((1 / values[s]["validation_images"] for s in seeds), default=0.0),
        seconds=tuple(values[s]["seconds"] for s in seeds),
        params=sum(r.params for r in planned.rows),
        multiply_adds=sum(r.multiply_adds for r in planned.rows),
        changes=tuple(layer_changes(base.rows, planned.rows)),
        curve=_mean_curve(histories),
        failures=trials.failures.get(planned.key, {}),
    )


def _mean_curve(histories: Sequence[Sequence[EpochRow]]) -> tuple[EpochRow, ...]:
    """Averages epoch by epoch, as far as all seeds got."""
    return tuple(
        EpochRow(rows[0].epoch, *(float(np.mean([getattr(r, name) for r in rows])) for name in _FIGURES))
        for rows in zip(*histories, strict=False)
    )


_FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def _paired(arm: Summary, base: Summary, name: str) -> Difference:
    both = sorted(set(arm.seeds) & set(base.seeds))
    ours, theirs = (dict(zip(s.seeds, getattr(s, name), strict=True)) for s in (arm, base))
    resolution = base.resolution if name == "accuracy" else 0.0
    return paired_difference([ours[s] for s in both], [theirs[s] for s in both], resolution)


def sentence(arm: Summary, base: Summary, accuracy: Difference, p: float, *, fixed: bool) -> str:
    """The finding in words that a statistician would sign.

    Args:
        arm: The arm.
        base: What it is compared with.
        accuracy: Their difference.
        p: The p-value, corrected for all comparisons.
        fixed: Whether all seeds had the same split.
    """
    over = "seeds, on one split" if fixed else "splits and seeds"
    cost = _cost(arm, base)
    seeds = _count(accuracy.n, "seed")
    if not accuracy.known:
        return (
            f"{arm.label}: {accuracy.mean * 100:+.1f} points with one seed, which shows nothing yet; {cost}."
        )
    if accuracy.sd == 0 and accuracy.mean == 0:
        return f"{arm.label}: the same validation accuracy with each of {seeds}; {cost}."
    low, mean, high = (f"{value * 100:+.1f}" for value in (accuracy.low, accuracy.mean, accuracy.high))
    measured = f"{arm.label}: {mean} points [{low}, {high}] over {over}"
    if p < SIGNIFICANT:
        way = "better" if accuracy.mean > 0 else "worse"
        return f"{measured}, {way} than the base (p {_p(p)} after correction, {seeds}); {cost}."
    if accuracy.low > 0 or accuracy.high < 0:
        way = "better" if accuracy.mean > 0 else "worse"
        return (
            f"{measured}: by this interval alone {way} than the base, but not after correction for all comparisons "
            f"(p {_p(p)}, {seeds}); {cost}."
        )
    return f"{measured}, no detectable difference at {seeds}; {cost}. {_advice(accuracy)}"


def _advice(accuracy: Difference) -> str:
    if accuracy.sd == 0:
        return ""
    size = f"{WORTH_SEEING * 100:g} points"
    low, high = seeds_interval(accuracy.sd, accuracy.n, WORTH_SEEING)
    words, judged = f"Detecting a difference of {size} would take", f"judging from these {accuracy.n}"
    if low > MOST_SAID:
        return f"{words} more than {MOST_SAID} seeds, {judged}."
    if high > MOST_SAID:
        return f"{words} {low:,} seeds or more, perhaps over {MOST_SAID}, {judged}."
    return f"{words} {low:,} to {high:,} seeds, {judged}."


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _cost(arm: Summary, base: Summary) -> str:
    work = arm.multiply_adds / base.multiply_adds
    cost = f"{_times(arm.params / base.params)} the parameters, {_times(work)} the work"
    if base.seconds and arm.seconds:
        cost += f", {_times(float(np.mean(arm.seconds) / np.mean(base.seconds)))} the time"
    return cost


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:.0f} times"


def _about(plan: Plan, base: Summary, comparisons: int) -> list[str]:
    recipe = plan.base.recipe
    assert recipe is not None
    split = "all on the split of seed 0" if plan.fixed_split else "each with its own validation images"
    images = "all training images" if plan.train_images is None else f"{plan.train_images:,} training images"
    length = f"{_count(recipe.training.epochs, 'epoch')} of {images} in every trial"
    if plan.seconds:
        length = f"as many epochs of {images} as fit into {plan.seconds:g} seconds ({len(base.curve)} for the base)"
    own = " with its own layers" if "model.layers" in plan.settle.base_keys else ""
    out = [
        f"Base: recipe={recipe.recipe}{own}, {base.params:,} parameters; {length}, "
        f"{_count(recipe.training.threads or 1, 'thread')}.",
        f"{_count(plan.seeds, 'seed')}, {split}. Every arm has the same seeds, so differences are paired. "
        "The test set stays sealed.",
    ]
    if comparisons > 1:
        out.append(
            f"{comparisons} comparisons: p-values are corrected by Holm's method; intervals are 95% each, without "
            "correction."
        )
    return out


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plain(value: Any) -> Any:
    """Replaces infinities by None, for JSON."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
