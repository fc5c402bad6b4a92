"""``tune``: Optuna searches, worker processes run its trials, and the winner is run again before it is believed."""

from __future__ import annotations

import hashlib
import json
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from conviction.audience import option
from conviction.config.text import shortened
from conviction.errors import RequestError
from conviction.experiments.exploration import Plan, Planned, Watch, task_of
from conviction.experiments.questions import Arm
from conviction.experiments.space import Space, base_values, suggest
from conviction.experiments.store import DATABASE
from conviction.experiments.trials import CONFIRMED_RUNS, best_trials, check_kept, is_finished
from conviction.pool.executors import Executor
from conviction.pool.processes import Outcome, Task
from conviction.process import undone_at_the_end

if TYPE_CHECKING:
    import optuna

Against = Literal["params", "multiply_adds", "latency"]
# After this many proposals in a row that do not fit the images, the space is taken not to fit them.
MOST_MISFITS = 200
# The first seed of trials that are run again; no trial of the search uses it.
FRESH_SEED = 1000
# How often to try to start a study, since other machines may be starting it too.
BEGINNINGS = 5


@dataclass(frozen=True)
class Search:
    """What is searched, and for how long.

    Attributes:
        plan: Data, base and budget of a trial; it has no arms.
        space: What may be changed.
        trials: The number of finished trials, pruned ones included, at which the search ends.
        seconds: The time after which no new trial starts; None for no limit.
        against: A second objective to minimise, for a Pareto front; None for accuracy alone, with pruning.
        seed: The seed of the sampler and of the trials.
        base_keys: The user's keys, of the base.
    """

    plan: Plan
    space: Space
    trials: int
    seconds: float | None
    against: Against | None
    seed: int
    base_keys: Mapping[str, Any]

    def design(self) -> dict[str, Any]:
        """What may not change when a study is continued."""
        return {
            "kind": "search",
            "data": self.plan.design()["data"],
            "base": self.plan.base.key,
            "space": {p.key: p.to_json() for p in self.space},
            "against": self.against,
            "seed": self.seed,
            "train_images": self.plan.train_images,
        }


def open_optuna(path: Path, name: str, storage: str | None, search: Search) -> optuna.Study:
    """Begins the study of this name, or continues it.

    Args:
        path: The folder for this process's part of the study, which it has claimed.
        name: The study's name, the same on all machines that share the storage.
        storage: An address of a database, ``journal:FILE``, or None for SQLite in the folder.
        search: What is searched; its design is kept with the study.

    Raises:
        RequestError: Optuna is not installed, the storage cannot be reached, or the study has another design.
    """
    try:
        import optuna
    except ImportError:
        raise RequestError("tune needs Optuna: pip install 'conviction[tune]'") from None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    undone_at_the_end(lambda: optuna.logging.set_verbosity(verbosity))
    try:
        study = begin_study(name, storage or f"sqlite:///{path.resolve() / DATABASE}", search.against)
        check_kept(study)
    except Exception as failure:  # whatever a database driver raises
        reason = shortened(str(failure)) or type(failure).__name__
        where = f"{option('storage')} {storage}" if storage else path / DATABASE
        raise RequestError(
            f"{where}: the study cannot be opened ({reason}). Give another {option('storage' if storage else 'out')}."
        ) from None
    study.sampler = _sampler(search.seed, len(study.get_trials(deepcopy=False)), path if storage else None)
    design = json.loads(json.dumps(search.design()))
    before = study.user_attrs.get("design")
    if before is None:
        study.set_user_attr("design", design)
    elif before != design:
        differences = shortened(", ".join(_differences(before, design)), 500)
        raise RequestError(
            f"study '{name}' was started with another request; {differences}. "
            f"Give another {option('out')} or {option('study')}, or the old request."
        )
    return study


def begin_study(name: str, storage: str, against: Against | None) -> optuna.Study:
    """The study of this name; several machines may start it at the same moment."""
    import optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    directions = ["maximize", "minimize"] if against else ["maximize"]
    for attempt in range(BEGINNINGS):
        try:
            return optuna.create_study(
                storage=_storage(storage),
                study_name=name,
                directions=directions,  # type: ignore[arg-type]
                pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
                load_if_exists=True,
            )
        except (IntegrityError, ProgrammingError):
            # Optuna checks whether a table exists and then creates it. If two machines begin together, one of them
            # creates a table that the other has just created, and will see it on its next attempt.
            if attempt == BEGINNINGS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _sampler(seed: int, trials: int, path: Path | None) -> Any:
    """TPE (Bergstra et al., 2011), which models keys together.

    A process that continues a study, or works on it beside others, must not repeat the first draws.
    """
    import optuna

    drawn = hashlib.blake2b(f"{seed} {trials} {path and _owner(path)}".encode(), digest_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=int.from_bytes(drawn.digest()), multivariate=True, group=True)


def _owner(path: Path) -> str:
    """Names this process's part of a study among all machines, and tells nobody which machine it is."""
    return hashlib.blake2b(_place(path).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _place(path: Path) -> str:
    """The same in words, as studies of earlier versions have it."""
    return f"{socket.gethostname()}:{path.resolve()}"


def _storage(address: str) -> Any:
    if not address.startswith("journal:"):
        return address
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(address.removeprefix("journal:")))


def _differences(before: Any, now: Mapping[str, Any]) -> Iterator[str]:
    before = before if isinstance(before, dict) else {}
    for key in now:
        old, new = before.get(key), now[key]
        if key == "space" and isinstance(old, dict):
            for name in sorted({*old, *new}):
                if old.get(name) != new.get(name):
                    yield f"{name} was {json.dumps(old.get(name))} and is {json.dumps(new.get(name))}"
        elif before.get(key) != now[key]:
            yield f"{key} was {json.dumps(before.get(key))} and is {json.dumps(now[key])}"


def run_search(search: Search, study: optuna.Study, path: Path, *, executor: Executor, watch: Watch) -> None:
    """Runs trials until there are enough, or time is up.

    Args:
        search: What is searched.
        study: From ``open_optuna``.
        path: The claimed folder.
        executor: Where trials run.
        watch: Where trials are shown.
    """
    driver = _Driver(search, study, path, watch=watch)
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

    def __init__(self, search: Search, study: optuna.Study, path: Path, *, watch: Watch) -> None:
        self._search, self._study, self._owner, self._watch = search, study, _owner(path), watch
        self._owners = (self._owner, _place(path))
        self._running: dict[str, optuna.Trial] = {}
        self._labels: dict[str, str] = {}
        self._began = time.monotonic()
        # Trials that failed in an earlier command are run again: this one may allow more time or memory.
        self._failed_before: frozenset[int] = frozenset()

    def take_up(self) -> None:
        """Queues the base as the first trial, and again the trials of a process of ours that was killed.

        Both are marked as ours before Optuna hands them out: a kill between handing out and marking would lose them.
        """
        from optuna.trial import TrialState

        ours = {"owner": self._owner}
        trials = self._study.get_trials(deepcopy=False)
        if not trials:
            self._study.enqueue_trial(
                base_values(self._search.space, self._search.base_keys), {**ours, "base": True}
            )
        failed = [t for t in trials if "failure" in t.user_attrs]
        self._failed_before = frozenset(t.number for t in failed)
        bases = [t for t in trials if t.user_attrs.get("base")]
        if bases and all("failure" in t.user_attrs for t in bases):
            self._study.enqueue_trial(bases[-1].params, {**ours, "base": True})
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.user_attrs.get("owner") in self._owners:
                self._study.tell(trial.number, state=TrialState.FAIL)
                kept = {k: v for k, v in trial.user_attrs.items() if k == "base"}
                self._study.enqueue_trial(trial.params, {**ours, **kept})

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
            planned, trial = self._propose()
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
            yield task

    def _propose(self) -> tuple[Planned, optuna.Trial]:
        from optuna.trial import TrialState

        trial = self._study.ask()
        trial.set_user_attr("owner", self._owner)
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
        trial.report(row["val_accuracy"], row["epoch"])
        return not trial.should_prune()

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
