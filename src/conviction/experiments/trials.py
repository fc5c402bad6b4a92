"""What became of the trials of a search: which finished, which led, which failed and why."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from conviction.config.text import shortened
from conviction.errors import StorageError
from conviction.experiments.store import TrialValue
from conviction.runs.content import C, Content

if TYPE_CHECKING:
    import optuna

# How many trials are run again on fresh seeds, and the key under which the study keeps their results.
CONFIRMED, CONFIRMED_RUNS = 3, "confirmed"
# One in so many trials goes on after each power of it, in epochs.
HALVING = 3


class _Kept(Content):
    """What is kept with a trial of a search."""

    keys: dict[str, Any] = Field(default_factory=dict)
    value: TrialValue | None = None
    failure: str | None = None
    misfit: str | None = None
    seconds: float = 0.0
    base: bool = False


class _Confirmed(Content):
    """A run on a fresh seed."""

    value: TrialValue | None
    failure: str | None


def check_kept(study: optuna.Study) -> None:
    """Refuses a study whose trials do not hold what those of a search do.

    Raises:
        ValueError: One does not; whatever the storage raises for a damaged one.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False):
        kept = _validated(_Kept, trial.user_attrs, f"trial {trial.number}")
        if trial.state == TrialState.COMPLETE:
            if kept.value is None or kept.value.rank_accuracy is None or "keys" not in trial.user_attrs:
                raise ValueError(f"trial {trial.number} is done and has no value")
            if len(trial.values or ()) != len(study.directions):
                raise ValueError(f"trial {trial.number} has not one value for each objective")
    confirmed = study.user_attrs.get(CONFIRMED_RUNS, {})
    if not isinstance(confirmed, dict):
        raise ValueError(f"{CONFIRMED_RUNS} is not a mapping")
    for key, record in confirmed.items():
        run = _validated(_Confirmed, record, f"run {key}")
        if not re.fullmatch(r"(base|\d{1,9})/\d{1,9}", key) or (run.value is None) == (run.failure is None):
            raise ValueError(f"run {shortened(key)} has neither a value nor a failure")
        if run.value is not None and (run.value.rank_accuracy is None or run.value.rank_images is None):
            raise ValueError(f"run {key} has no accuracy")


@contextlib.contextmanager
def storing_trials(path: Path) -> Iterator[None]:
    """Turns what the database raises while a search works into our error.

    Raises:
        StorageError: It could not be written: no space is left, or the database has gone.
    """
    try:
        yield
    except Exception as failure:
        if type(failure).__module__.partition(".")[0] not in ("optuna", "sqlalchemy", "sqlite3"):
            raise
        reason = shortened(str(failure)) or type(failure).__name__
        raise StorageError(f"{path}: the study could not be written ({reason}).") from None


def _validated(model: type[C], content: Any, what: str) -> C:
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        raise ValueError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def is_finished(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the trial ended by itself: done, pruned, or failed with a reason."""
    from optuna.trial import TrialState

    if "misfit" in trial.user_attrs:
        return False
    if trial.state == TrialState.FAIL:
        return "failure" in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def keeps_up(study: optuna.Study, epoch: int, accuracy: float) -> bool:
    """Whether a trial goes on: after 1, 3, 9, ... epochs it must be among the best third of those that came so far.

    Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020), whose
    answer is the same when a trial that was killed is run again; Optuna's remembers that it has answered.

    Args:
        study: In which the trial has reported its accuracy.
        epoch: Counted from 1.
        accuracy: On validation images, after this epoch.
    """
    rest = epoch
    while rest % HALVING == 0:
        rest //= HALVING
    if rest != 1:
        return True
    reported = [t.intermediate_values.get(epoch) for t in study.get_trials(deepcopy=False)]
    best = sorted((value for value in reported if value is not None), reverse=True)
    return accuracy >= best[max(len(best) // HALVING, 1) - 1]


def best_trials(study: optuna.Study, count: int = CONFIRMED) -> list[optuna.trial.FrozenTrial]:
    """The best finished trials by accuracy; trials that did not beat the base need no second look.

    Where the base failed, all finished trials count, because there is nothing to beat.
    """
    base = base_accuracy(study)
    others = [t for t in done_trials(study) if not t.user_attrs.get("base")]
    others = [t for t in others if base is None or t.values[0] > base]
    return sorted(others, key=lambda t: (-t.values[0], t.number))[:count]


def done_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ran to their end, neither pruned nor failed."""
    from optuna.trial import TrialState

    return [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]


def base_accuracy(study: optuna.Study) -> float | None:
    """The accuracy of the base in the search; None if it did not finish there."""
    return max((float(t.values[0]) for t in done_trials(study) if t.user_attrs.get("base")), default=None)


def search_failures(study: optuna.Study) -> list[str]:
    """Why trials of the search failed, one reason for each."""
    return [
        str(t.user_attrs["failure"]) for t in study.get_trials(deepcopy=False) if "failure" in t.user_attrs
    ]


def confirmation_failures(study: optuna.Study) -> dict[str, tuple[str, ...]]:
    """Why runs on fresh seeds failed: by ``base`` or the number of the trial, one reason for each seed."""
    out: dict[str, tuple[str, ...]] = {}
    for key, record in study.user_attrs.get(CONFIRMED_RUNS, {}).items():
        if record["failure"] is not None:
            name = key.partition("/")[0]
            out[name] = (*out.get(name, ()), str(record["failure"]))
    return out
