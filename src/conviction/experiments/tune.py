"""``tune``: searches, runs the best again on fresh seeds, and tests what it recommends once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

from conviction.audience import option, without_home
from conviction.card import card
from conviction.config import Recipe
from conviction.config.recipe import Overrides, user_settings
from conviction.data.in_memory import Source, source_path
from conviction.errors import RequestError, StudyError
from conviction.experiments.belief import Belief, Contender, believe
from conviction.experiments.exploration import plan
from conviction.experiments.optuna_study import open_optuna
from conviction.experiments.questions import Arm, has_backbone
from conviction.experiments.request import going_on, loading, threads_of
from conviction.experiments.search import Against, Search
from conviction.experiments.space import Space, default_space, parse_space, read_space
from conviction.experiments.store import DESIGN, REPORT, RESULT, RUN, SPECIFICATION, clear_study
from conviction.experiments.study import SEARCHES, no_answer_message, study_at
from conviction.experiments.trials import (
    confirmation_failures,
    done_trials,
    search_failures,
    storing_trials,
)
from conviction.experiments.tuning import confirm, run_search
from conviction.experiments.tuning_page import render_tuning, tuning_json
from conviction.pool.executors import On, Where
from conviction.process import restores_process
from conviction.reporting import Silent, StudyShowing, board
from conviction.runs import RunFolder, folder, open_run

if TYPE_CHECKING:
    import optuna


# Never stops early, and keeps the best epoch.
PATIENT = {"training.early_stopping": 10_000}


@dataclass(frozen=True, repr=False)
class Tuned:
    """A finished search.

    Attributes:
        path: Its folder, with ``report.html`` and ``best.yaml``.
        search: What was searched.
        study: Optuna's study.
        belief: What is recommended, and why.
        run: What is recommended, trained on all training images and tested; None with ``test=False``.
    """

    path: Path
    search: Search
    study: optuna.Study
    belief: Belief
    run: RunFolder | None

    def __repr__(self) -> str:
        winner = self.belief.winner
        return f"Tuned({str(self.path)!r}, recommended: {winner.name if winner else 'nothing'})"

    def _repr_html_(self) -> str:
        winner = self.belief.winner
        facts = {
            "recommended": winner.name if winner else "nothing",
            "specification": str(self.path / "best.yaml"),
            "report": str(self.path / "report.html"),
        }
        return card("Search", facts, [*self.belief.sentences, self.test_sentence])

    @property
    def test_sentence(self) -> str:
        """The result of the one look at the test set; empty if there was none."""
        if self.run is None or (test := self.run.evaluation.test) is None:
            return ""
        low, high = test.accuracy_ci95
        return (
            f"Trained on all training images, it gets {test.accuracy:.2%} of the test images right, 95% "
            f"interval {low:.2%} to {high:.2%} ({without_home(self.run.path)})."
        )

    def to_json(self) -> dict[str, Any]:
        """For ``result.json``."""
        accuracy = self.run.evaluation.accuracy if self.run is not None else None
        return {**tuning_json(self.search, self.study, self.belief), "test_accuracy": accuracy}


@restores_process
def tune(
    source: Source,
    overrides: Overrides = (),
    *,
    trials: int = 50,
    budget: float | None = None,
    images: int | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    against: Against | None = None,
    confirm_seeds: int = 3,
    storage: str | None = None,
    study: str = "tune",
    seed: int = 0,
    jobs: int | None = None,
    limit: float | None = None,
    on: On = "local",
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    test: bool = True,
    config: str | Path | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: StudyShowing = "live",
) -> Tuned:
    """Searches with Optuna, runs the best again on fresh seeds, and tests what is recommended once.

    Args:
        source: As for ``fit``.
        overrides: Keys of the base; ``recipe`` defaults to ``lab``.
        trials: How many in all, pruned ones included.
        budget: Seconds after which no new trial starts.
        images: Training images that a trial may see, over all its epochs.
        space: A YAML file or its content; None for the default space.
        against: A second objective, for a front of accuracy against cost.
        confirm_seeds: Fresh seeds on which the best three and the base are run again.
        storage: A database that machines share, or ``journal:FILE``; None for SQLite in the folder.
        study: The study's name in the storage.
        seed: The seed of the search and its trials.
        jobs: Trials at once; None for one per core, or on Ray for as many as fit.
        limit: Seconds that one trial may take.
        on: ``local``, or ``ray`` for the cluster that ``RAY_ADDRESS`` names, or one that is started here.
        cpus_per_trial: CPUs of a node that each trial takes; None for the number of its threads.
        gpus_per_trial: GPUs of a node that each trial takes; a fraction lets several trials share one.
        test: Whether to train what is recommended on all images and open the test set.
        config: A YAML file; overrides win over it.
        out: As for ``explore``; the default is below ``searches``.
        data_dir: As for ``fit``.
        show: "live": a table of what runs, in a notebook or on stderr; "plain": a line on stderr for each run that
            has ended; "log": the same to Python's logging; None: nothing.

    Raises:
        RequestError: Something in the request or the data is wrong, or Optuna is not installed.
        StudyError: No trial finished, or no run on fresh seeds did; the folder says why; the test set stays sealed.
        Interrupted: SIGINT or SIGTERM; what is finished is kept.
        StorageError: No space is left.
    """
    shown = board(show)
    where = Where(on, jobs, limit, cpus_per_trial, gpus_per_trial)
    for name, value in ((option("trials"), trials), (option("confirm", "confirm_seeds"), confirm_seeds)):
        if value < 1:
            raise RequestError(f"{name}: expected at least 1; got {value}.")
    if against not in (None, *get_args(Against)):
        raise RequestError(
            f"{option('against')}: expected params, multiply_adds or latency; got '{against}'."
        )
    source = source_path(source)
    base_keys = user_settings(overrides, config)
    wanted = _space(space, base_keys)
    with loading(source, shown.file):
        base = plan(
            source, {**PATIENT, **base_keys}, [Arm("", "base")], seeds=1, budget=images, data_dir=data_dir
        )
    search = Search(base, wanted, trials, budget, against, seed, {"recipe": "lab", **base_keys})
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(where.opened(threads_of(base), shown.file))
        path, watch = stack.enter_context(study_at(out, str(source), shown, SEARCHES))
        stack.enter_context(going_on(path))
        stack.enter_context(folder.claimed(path))
        clear_study(path)
        stack.enter_context(storing_trials(path))
        opened = _open(path, study, storage, search)
        how: dict[str, Any] = {"executor": executor, "watch": watch}
        run_search(search, opened, path, shared=storage is not None, **how)
        done = done_trials(opened)
        again = confirm(search, opened, path, seeds=confirm_seeds, **how) if done else {}
        belief = believe(opened, again, sum(row.params for row in base.base.rows))
        run = None
        if belief.winner is not None:
            folder.write_text(path / SPECIFICATION, _recommended(search, belief.winner).to_yaml())
            run = _test(source, path, data_dir, shown.file) if test else None
        tuned = Tuned(path, search, opened, belief, run)
        folder.write_record(path / RESULT, tuned.to_json())
        folder.write_text(path / REPORT, render_tuning(search, opened, belief, tuned.test_sentence))
        if belief.winner is None:
            reasons = search_failures(opened)
            if done:  # the search succeeded and the confirmation failed
                reasons = [r for seeds in confirmation_failures(opened).values() for r in seeds]
            raise StudyError(no_answer_message(belief.sentences[0], reasons, path))
    return tuned


def _space(space: str | Path | Mapping[str, Any] | None, base_keys: Mapping[str, Any]) -> Space:
    if space is None:
        return default_space(backbone=has_backbone(base_keys))
    return parse_space(space) if isinstance(space, Mapping) else read_space(Path(space))


def _open(path: Path, name: str, storage: str | None, search: Search) -> optuna.Study:
    try:
        study = open_optuna(path, name, storage, search)
    except RequestError:
        with contextlib.suppress(OSError):
            path.rmdir()  # a wrong request leaves nothing; a study that was there before is not empty
        raise
    folder.write_record(path / DESIGN, search.design())
    return study


def _recommended(search: Search, winner: Contender) -> Recipe:
    planned = search.plan.settle(Arm("", "", winner.keys)) if winner.keys else search.plan.base
    assert planned.recipe is not None
    # What suits trials that share a machine does not suit a run on its own.
    alone = {"threads": None, "precision": "auto", "checkpoint_minutes": 5.0}
    return planned.recipe.model_copy(update={"training": planned.recipe.training.model_copy(update=alone)})


def _test(source: str | Path, path: Path, data_dir: str | Path | None, file: IO[str]) -> RunFolder:
    """Trains what is recommended on all images and opens the test set, once per study."""
    from conviction.flow.fit import fit
    from conviction.flow.resume import resume

    run_path = path / RUN
    print(f"Training the recommended network on all images, in {run_path} ...", file=file)
    if run_path.is_dir() and any(run_path.iterdir()):
        run = open_run(run_path)
        return run if run.status == "done" else resume(run_path, [], data_dir=data_dir, show=Silent())
    return fit(source, config=path / SPECIFICATION, out=run_path, data_dir=data_dir, show=Silent())
