"""``explore``: arms around a base, over the same seeds, and what their differences say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from conviction.audience import option, without_home
from conviction.config import ImageFacts, Recipe, load_recipe
from conviction.data import Audit, ImageSet, audit_images, load_source, split_images
from conviction.data.image_set import PARTS, set_hash
from conviction.errors import RequestError
from conviction.experiments.questions import BASE, Arm
from conviction.experiments.store import EPOCHS, add_trial, open_study, read_epochs
from conviction.experiments.trial import FUNCTION
from conviction.flow.sessions import likeness_for
from conviction.model import LayerRow, check_memory, walk
from conviction.pool.executors import Executor
from conviction.pool.processes import Outcome, Runs, Task
from conviction.runs import folder
from conviction.training import check_batch_size, choose_precision


@dataclass(frozen=True)
class Planned:
    """An arm with its whole specification, or the reason why it is not tried.

    Attributes:
        arm: What it changes.
        recipe: Settled but for the seed; None if it does not fit.
        rows: Its layers.
        refusal: Why it does not fit, in a sentence; empty if it does.
    """

    arm: Arm
    recipe: Recipe | None
    rows: tuple[LayerRow, ...] = ()
    refusal: str = ""

    @property
    def key(self) -> str:
        """Equal for equal specifications, whatever they are called."""
        assert self.recipe is not None
        return hashlib.blake2b(self.recipe.model_dump_json().encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Plan:
    """A whole exploration before it starts.

    Attributes:
        source: As the user typed it, without the name of the home folder.
        images: The data.
        audit: The audit of the data.
        base: The base.
        arms: All other arms; one that equals the base is left out.
        seeds: How many seeds, from 0.
        fixed_split: Whether all seeds share the split of seed 0.
        train_images: How many training images each trial uses; None for all.
        counts: Images in each part, before ``train_images`` limits them.
        settle: Makes the complete specification of another arm.
        seconds: How long each trial trains, in whole epochs; None if all see the same number of images.
    """

    source: str
    images: ImageSet
    audit: Audit
    base: Planned
    arms: tuple[Planned, ...]
    seeds: int
    fixed_split: bool
    train_images: int | None
    counts: Mapping[str, int]
    settle: Settler
    seconds: float | None = None

    @property
    def tried(self) -> list[Planned]:
        """The base and every arm that fits, each specification once."""
        unique = {p.key: p for p in (self.base, *self.arms) if p.recipe is not None}
        return list(unique.values())

    def design(self) -> dict[str, Any]:
        """What decides the results, as plain values."""
        return {
            "kind": "exploration",
            "data": set_hash(self.images.hashes),
            "base": self.base.key,
            "arms": [[p.arm.question, p.arm.label, p.key if p.recipe else None] for p in self.arms],
            "seeds": self.seeds,
            "fixed_split": self.fixed_split,
            "train_images": self.train_images,
            "seconds": self.seconds,
        }


def plan(
    source: str | Path,
    base_keys: Mapping[str, Any],
    arms: Sequence[Arm],
    *,
    seeds: int,
    fixed_split: bool = False,
    budget: int | None = None,
    seconds: float | None = None,
    data_dir: str | Path | None = None,
) -> Plan:
    """Reads and audits the data, and settles the specification of each arm.

    Args:
        source: As for ``fit``.
        base_keys: Keys of the base; ``recipe`` defaults to ``lab``.
        arms: From ``arms_for``.
        seeds: At least 1.
        fixed_split: Hold the split of seed 0; otherwise each seed draws its own validation images.
        budget: Training images that every trial may see, over all epochs; None for as many as the base sees.
        seconds: See ``Plan``; a first epoch, in which the network is traced, does not count.
        data_dir: As for ``fit``.

    Raises:
        RequestError: Something in the request or the data is wrong.
    """
    if seeds < 1:
        raise RequestError(f"{option('seeds')}: expected at least 1; got {seeds}.")
    base_keys = {"recipe": "lab", **base_keys}
    _check_keys(base_keys, arms)
    first = load_recipe(base_keys)
    images = load_source(source, first.data, data_dir)
    audit = audit_images(images, first.data, likeness_for(source, images, first, data_dir))
    split = split_images(images, first.data, 0, audit.groups, audit.excluded)
    every = len(split.train)
    facts = ImageFacts.of(images.rule.shape, min(every, budget or every))
    epochs, train_images = _spread(budget, load_recipe(base_keys, facts=facts).training.epochs, every)
    facts = ImageFacts.of(images.rule.shape, train_images or every)
    settle = Settler(base_keys, images, facts, epochs)
    base = settle(BASE)
    if base.recipe is None:
        raise RequestError(base.refusal)
    planned = [settle(arm) for arm in arms]
    others = tuple(p for p in planned if p.recipe is None or p.key != base.key)
    counts = {part: len(split.of(part)) for part in PARTS}
    return Plan(
        without_home(source),
        images,
        audit,
        base,
        others,
        seeds,
        fixed_split,
        train_images,
        counts,
        settle,
        seconds,
    )


def check_arms(plan: Plan) -> None:
    """Refuses an exploration that would compare the base with nothing.

    Raises:
        RequestError: Every arm is the base itself, or none fits the images.
    """
    if not plan.arms:
        raise RequestError(
            "explore: every arm equals the base, so there is nothing to compare. Ask for other values "
            "(--vary, --question)."
        )
    if all(p.recipe is None for p in plan.arms):
        first = plan.arms[0]
        raise RequestError(f"explore: no arm fits the images. {first.arm.label}: {first.refusal}")


def _check_keys(base_keys: Mapping[str, Any], arms: Sequence[Arm]) -> None:
    for arm in arms:
        for key in arm.keys:
            if key.startswith(("data.", "evaluation.")) or key in ("training.seed", "training.epochs"):
                instead = (
                    "To judge one setting by all folds, train it with evaluation.folds=5."
                    if key.startswith("data.fold")
                    else "Vary something else."
                )
                raise RequestError(
                    f"{option('vary')} {key}: all arms share images, seeds, the number of images seen and how they "
                    f"are evaluated. {instead}"
                )
    if "training.seed" in base_keys:
        raise RequestError(f"explore: seeds are 0 to {option('seeds')}; leave out training.seed.")


def _spread(budget: int | None, epochs: int, every: int) -> tuple[int, int | None]:
    """(epochs, training images): as many epochs as the base has, of fewer images; then fewer epochs."""
    if budget is None:
        return epochs, None
    if budget < 1:
        raise RequestError(f"{option('budget')}: expected a number of images, at least 1; got {budget}.")
    images = min(every, max(1, budget // epochs))
    return max(1, round(budget / images)), None if images == every else images


@dataclass(frozen=True)
class Settler:
    """Makes the complete specification of an arm; see ``plan`` for its fields."""

    base_keys: Mapping[str, Any]
    images: ImageSet
    facts: ImageFacts
    epochs: int

    def __call__(self, arm: Arm) -> Planned:
        """The arm with everything settled, or with the reason why it does not fit."""
        recipe = arm.recipe(self.base_keys, self.facts)
        try:
            rows = walk(recipe.model, self.images.rule.shape, len(self.images.class_names))
            recipe = self._settled(recipe, rows)
            check_batch_size(recipe.training, self.facts.images)
            check_memory(rows, recipe.training)
        except RequestError as misfit:
            return Planned(arm, None, refusal=str(misfit))
        return Planned(arm, recipe, tuple(rows))

    def _settled(self, recipe: Recipe, rows: Sequence[LayerRow]) -> Recipe:
        rule = self.images.rule
        data = recipe.data.model_copy(
            update={"image_size": (rule.height, rule.width), "color_mode": rule.color_mode}
        )
        training = recipe.training.model_copy(
            update={
                "epochs": self.epochs,
                # One thread for each, however many run at once, so that results do not depend on it.
                "threads": recipe.training.threads or 1,
                "precision": choose_precision(recipe.training, sum(r.multiply_adds for r in rows)),
                "checkpoint_minutes": 0.0,
            }
        )
        return recipe.model_copy(update={"data": data, "training": training})


class Watch(Protocol):
    """Shows trials to a person."""

    def begin(self, trials: int, done: int) -> None:
        """There are ``trials`` trials, of which ``done`` are already done."""

    def epoch(self, key: str, label: str, row: Mapping[str, Any]) -> None:
        """A running trial has finished an epoch."""

    def ended(self, key: str, label: str, outcome: Mapping[str, Any]) -> None:
        """A trial has ended."""

    def close(self) -> None:
        """All trials have ended, or something went wrong."""


@dataclass
class Trials:
    """Finished trials by specification and seed: the value that ``run_trial`` returned, or why it failed."""

    values: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """Why trials failed, one reason for each."""
        return [reason for seeds in self.failures.values() for reason in seeds.values()]


def run_plan(plan: Plan, path: Path, *, executor: Executor, watch: Watch) -> Trials:
    """Runs the trials that are not finished yet, in the folder of the study.

    Args:
        plan: From ``plan``.
        path: The study's folder, which exists; a study of the same design that is there is continued.
        executor: Where trials run.
        watch: Where trials are shown.

    Raises:
        RequestError: The folder holds another study.
        StorageError: No space is left.
    """
    with folder.claimed(path):
        done = open_study(path, plan.design())
        labels = {p.key: p.arm.label for p in plan.tried}
        wanted = [(p, seed) for seed in range(plan.seeds) for p in plan.tried]
        # Failed trials are run again: this command may allow more time or memory.
        done = {key: trial for key, trial in done.items() if trial["failure"] is None}
        todo = [(p, seed) for p, seed in wanted if _key(p, seed) not in done]
        watch.begin(len(wanted), len(wanted) - len(todo))
        try:
            if todo:
                with executor.begun(plan.images, plan.audit, path, len(todo)) as (pool, data):
                    epochs, unmeasured = _measured(plan, path, data, pool) if plan.seconds else ({}, {})
                    tasks = (
                        task_of(plan, p, seed, data, epochs=epochs.get(p.key))
                        for p, seed in todo
                        if p.key not in unmeasured
                    )
                    lost = (
                        replace(unmeasured[p.key], key=_key(p, s)) for p, s in todo if p.key in unmeasured
                    )
                    for outcome in chain(lost, pool.run(tasks, _listener(watch, labels))):
                        done[outcome.key] = _record(outcome)
                        add_trial(path, done[outcome.key])
                        watch.ended(outcome.key, labels[outcome.key.split("/")[0]], done[outcome.key])
        finally:
            watch.close()
    return _sorted(done, labels)


def _listener(watch: Watch, labels: Mapping[str, str]) -> Callable[[str, Any], bool]:
    def hear(key: str, row: Any) -> bool:
        watch.epoch(key, labels[key.split("/", maxsplit=1)[0]], row)
        return True

    return hear


def _key(planned: Planned, seed: int) -> str:
    return f"{planned.key}/{seed}"


def _measured(
    plan: Plan, path: Path, data: Any, pool: Runs
) -> tuple[Mapping[str, int], Mapping[str, Outcome]]:
    """How many epochs of each specification fit into ``plan.seconds``, measured by the second of two epochs.

    The numbers are kept in the folder, because a study that is continued must not measure again. A specification that
    failed here has no number: it is returned separately, and its trials fail for the same reason.
    """
    assert plan.seconds is not None
    out = read_epochs(path)
    failed = {}
    missing = [p for p in plan.tried if p.key not in out]
    for outcome in pool.run(iter([task_of(plan, p, 0, data, epochs=2) for p in missing])):
        key = outcome.key.split("/")[0]
        if outcome.failure is not None:
            failed[key] = outcome
            continue
        second = outcome.value["timing"][-1]
        took = second["train_seconds"] + second["validation_seconds"]
        out[key] = max(1, int(plan.seconds / took)) if took else 1
    folder.write_json(path / EPOCHS, out)
    return out, failed


def task_of(
    plan: Plan,
    planned: Planned,
    seed: int,
    data: Any,
    *,
    rank: bool = False,
    latency: bool = False,
    epochs: int | None = None,
) -> Task:
    """The task of a trial, for images that an executor has shared; see ``run_trial`` for ``rank`` and ``latency``.

    Where ``epochs`` is None, the specification decides.
    """
    assert planned.recipe is not None
    spec = planned.recipe.training
    training = spec.model_copy(update={"seed": seed, "epochs": epochs or spec.epochs})
    recipe = planned.recipe.model_copy(update={"training": training})
    payload = {
        "recipe": recipe.model_dump_json(),
        "data": data,
        "split_seed": 0 if plan.fixed_split else seed,
        "images": plan.train_images,
        "rank": rank,
        "latency": latency,
    }
    return Task(_key(planned, seed), FUNCTION, payload)


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "key": outcome.key,
        "value": outcome.value,
        "failure": outcome.failure,
        "seconds": round(outcome.seconds, 3),
        "attempts": outcome.attempts,
    }


def _sorted(done: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> Trials:
    out = Trials()
    for key, trial in done.items():
        planned, _, seed = key.partition("/")
        if planned not in labels:
            continue
        if trial["failure"] is None:
            out.values.setdefault(planned, {})[int(seed)] = trial["value"]
        else:
            out.failures.setdefault(planned, {})[int(seed)] = trial["failure"]
    return out
