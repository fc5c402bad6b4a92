"""``tune``: Optuna searches, worker processes run its trials, and the winner is run again before it is believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.errors import RequestError
from conviction.experiments.exploration import Planned, Watch, task_of
from conviction.experiments.optuna_study import draw, former_owner_of, owner_of
from conviction.experiments.questions import Arm
from conviction.experiments.search import Search
from conviction.experiments.space import base_values, suggest
from conviction.experiments.trials import CONFIRMED_RUNS, best_trials, is_finished, keeps_up
from conviction.pool.executors import Executor
from conviction.pool.processes import Outcome, Task

if TYPE_CHECKING:
    import optuna

# After this many proposals in a row that do not fit the images, the space is taken not to fit them.
MOST_MISFITS = 200
# The first seed of trials that are run again; no trial of the search uses it.
FRESH_SEED = 1000


def run_search(
    search: Search, study: optuna.Study, path: Path, *, shared: bool, executor: Executor, watch: Watch
) -> None:
    """Runs trials until there are enough, or time is up.

    Args:
        search: What is searched.
        study: From ``open_optuna``.
        path: The claimed folder.
        shared: Whether other machines may work on the study.
        executor: Where trials run.
        watch: Where trials are shown.
    """
    driver = _Driver(search, study, path, shared=shared, watch=watch)
    driver.take_up()
    done = driver.finished()
    watch.begin(search.trials, min(done, search.trials))
    try:
        if done < search.trials:
            plan = search.plan
            with executor.begun(plan.images, plan.audit, path, search.trials - done) as (pool, data):
                for outcome in pool.run(driver.tasks(data), driver.hear):
                    driver.tell(outcome)
    finally:
        watch.close()


class _Driver:
    """Between Optuna, which proposes, and the pool, which runs."""

    def __init__(
        self, search: Search, study: optuna.Study, path: Path, *, shared: bool, watch: Watch
    ) -> None:
        self._search, self._study, self._owner, self._watch = search, study, owner_of(path), watch
        self._owners = (self._owner, former_owner_of(path))
        self._shared = shared
        self._running: dict[str, optuna.Trial] = {}
        self._labels: dict[str, str] = {}
        self._began = time.monotonic()
        # Trials that failed in an earlier command are run again: this one may allow more time or memory.
        self._failed_before: frozenset[int] = frozenset()
        # As they were when the process that ran them was killed.
        self._unfinished: list[optuna.trial.FrozenTrial] = []
        self._before: dict[str, optuna.trial.FrozenTrial] = {}

    def take_up(self) -> None:
        """Queues the base as the first trial, and takes up the trials of a process of ours that was killed."""
        from optuna.trial import TrialState

        marks = {"owner": self._owner, "base": True}
        trials = self._study.get_trials(deepcopy=False)
        if not trials:
            self._study.enqueue_trial(base_values(self._search.space, self._search.base_keys), marks)
        failed = [t for t in trials if "failure" in t.user_attrs]
        self._failed_before = frozenset(t.number for t in failed)
        bases = [t for t in trials if t.user_attrs.get("base")]
        if bases and all("failure" in t.user_attrs for t in bases):
            self._study.enqueue_trial(bases[-1].params, marks)
        for trial in trials:
            if trial.state == TrialState.RUNNING and self._is_ours(trial):
                self._unfinished.append(trial)

    def _is_ours(self, trial: optuna.trial.FrozenTrial) -> bool:
        return not self._shared or trial.user_attrs.get("owner") in self._owners

    def finished(self) -> int:
        """How many trials have ended, successfully or not; those that never ran do not count."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(is_finished(t) for t in trials if t.number not in self._failed_before)

    def tasks(self, data: Any) -> Iterator[Task]:
        """Proposes trials as long as more are needed."""
        search = self._search
        misfits = 0
        while self.finished() + len(self._running) < search.trials:
            if search.seconds is not None and time.monotonic() - self._began > search.seconds:
                return
            before = self._unfinished.pop(0) if self._unfinished else None
            planned, trial = self._propose(before)
            if planned.recipe is None:
                misfits += 1
                if misfits > MOST_MISFITS:
                    raise RequestError(
                        f"space: almost nothing in it fits the images; the last misfit: {planned.refusal}"
                    )
                continue
            misfits = 0
            measured = search.against == "latency"
            task = task_of(search.plan, planned, search.seed, data, rank=True, latency=measured)
            task = replace(task, key=f"trial {trial.number}/{search.seed}")
            self._running[task.key], self._labels[task.key] = trial, f"trial {trial.number}"
            if before is not None:
                self._before[task.key] = before
            yield task

    def _next(self, before: optuna.trial.FrozenTrial | None) -> optuna.Trial:
        """A new trial, or one that was not finished.

        A new one is queued with its values, as ours, before Optuna hands it out: a kill in between loses nothing.
        """
        from optuna.trial import Trial, TrialState

        if before is not None:
            # Optuna has no other way back to a trial that is running.
            return Trial(self._study, before._trial_id)
        trials = self._study.get_trials(deepcopy=False)
        if not any(t.state == TrialState.WAITING and self._is_ours(t) for t in trials):
            values = draw(self._search, trials, self._owner if self._shared else None)
            self._study.enqueue_trial(values, {"owner": self._owner})
        return self._study.ask()

    def _propose(self, before: optuna.trial.FrozenTrial | None) -> tuple[Planned, optuna.Trial]:
        from optuna.trial import TrialState

        trial = self._next(before)
        trial.set_user_attr("owner", self._owner)  # it may be another machine's from the queue
        base = bool(trial.user_attrs.get("base"))
        values = {} if base else suggest(self._search.space, trial)
        if base:  # it has its own values, which the space need not include
            known = base_values(self._search.space, self._search.base_keys)
            for parameter in self._search.space:
                if parameter.key in known:
                    parameter.suggest(trial)
        try:
            planned = self._search.plan.settle(Arm("", f"trial {trial.number}", values))
        except RequestError as wrong:
            planned = Planned(Arm("", "", values), None, refusal=str(wrong))
        trial.set_user_attr("keys", values)
        if planned.recipe is None:
            trial.set_user_attr("misfit", planned.refusal)
            # The sampler learns nothing from failed trials and takes pruned ones, which a front does not have, as bad.
            self._study.tell(trial, state=TrialState.FAIL if self._search.against else TrialState.PRUNED)
        return planned, trial

    def hear(self, key: str, row: Any) -> bool:
        """Shows and reports an epoch; returns False to end a trial that has fallen behind the others."""
        trial = self._running[key]
        self._watch.epoch(key, self._labels[key], row)
        if self._search.against or trial.user_attrs.get("base"):
            return True
        epoch, before = row["epoch"], self._before.get(key)
        reported = before.last_step if before is not None else None
        if reported is None or epoch > reported:
            trial.report(row["val_accuracy"], epoch)
        return keeps_up(self._study, epoch, row["val_accuracy"])

    def tell(self, outcome: Outcome) -> None:
        """Records the end of a trial; it is stored when this returns."""
        from optuna.trial import TrialState

        trial = self._running.pop(outcome.key)
        trial.set_user_attr("seconds", round(outcome.seconds, 3))
        if outcome.failure is not None:
            trial.set_user_attr("failure", outcome.failure)
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            value = outcome.value
            trial.set_user_attr("value", value)
            if value["pruned"]:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                objectives = [value["rank_accuracy"]]
                objectives += [float(value[self._search.against])] if self._search.against else []
                self._study.tell(trial, objectives)
        record = {"value": outcome.value, "failure": outcome.failure, "seconds": outcome.seconds}
        self._watch.ended(outcome.key, self._labels[outcome.key], record)


def confirm(
    search: Search,
    study: optuna.Study,
    path: Path,
    *,
    seeds: int,
    executor: Executor,
    watch: Watch,
) -> dict[str, dict[int, dict[str, Any]]]:
    """Trains the base and the best few again, with seeds and validation images that the search has not seen.

    Returns:
        What ``run_trial`` returned, by ``base`` or the number of the trial, and seed; kept in the study.
    """
    wanted: dict[str, Planned] = {"base": search.plan.base}
    for trial in best_trials(study):
        wanted[str(trial.number)] = search.plan.settle(
            Arm("", f"trial {trial.number}", trial.user_attrs["keys"])
        )
    kept: dict[str, dict[str, Any]] = dict(study.user_attrs.get(CONFIRMED_RUNS, {}))
    kept = {key: record for key, record in kept.items() if record["failure"] is None}  # others are run again
    todo = [
        (name, planned, seed)
        for seed in range(FRESH_SEED, FRESH_SEED + seeds)
        for name, planned in wanted.items()
        if f"{name}/{seed}" not in kept
    ]
    watch.begin(len(wanted) * seeds, len(wanted) * seeds - len(todo))
    try:
        if todo:
            plan = search.plan
            with executor.begun(plan.images, plan.audit, path, len(todo)) as (pool, data):
                tasks = (
                    replace(task_of(search.plan, planned, seed, data, rank=True), key=f"{name}/{seed}")
                    for name, planned, seed in todo
                )
                for outcome in pool.run(tasks, _shows(watch)):
                    kept[outcome.key] = {"value": outcome.value, "failure": outcome.failure}
                    study.set_user_attr(CONFIRMED_RUNS, kept)
                    record = {**kept[outcome.key], "seconds": outcome.seconds}
                    watch.ended(outcome.key, _named(outcome.key), record)
    finally:
        watch.close()
    out: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in wanted}
    for key, record in kept.items():
        name, _, seed = key.partition("/")
        if name in out and record["failure"] is None:
            out[name][int(seed)] = record["value"]
    return out


def _shows(watch: Watch) -> Any:
    def hear(key: str, row: Any) -> bool:
        watch.epoch(key, _named(key), row)
        return True

    return hear


def _named(key: str) -> str:
    name = key.partition("/")[0]
    return name if name == "base" else f"trial {name}, again"
