"""Whether to believe the winner of a search: how much of its lead is left on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.experiments.statistics import Difference, paired_difference
from conviction.experiments.trials import base_accuracy, best_trials, confirmation_failures

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Contender:
    """One of the best of a search, run again.

    Attributes:
        name: ``base``, or the number of the trial.
        keys: The keys of the base that it changes.
        searched: Its accuracy in the search, on the ranking half of the validation images; None if it failed there.
        again: Accuracies on fresh seeds, each with validation images of its own.
        difference: The difference of those from the base's, paired by seed.
        params: The number of parameters.
        failures: Why it failed on fresh seeds, one for each on which it did.
    """

    name: str
    keys: Mapping[str, Any]
    searched: float | None
    again: tuple[float, ...]
    difference: Difference | None
    params: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Belief:
    """The base and the contenders, and which of them is recommended."""

    base: Contender
    contenders: tuple[Contender, ...]

    @property
    def winner(self) -> Contender | None:
        """The best on fresh seeds, by its differences from the base; the base if none is better.

        None where nothing finished that could be recommended: neither a trial of the search nor a run on fresh seeds.
        """
        if self.base.again:
            compared = [(c.difference.mean, c) for c in self.contenders if c.difference is not None]
            lead, best = max(compared, key=lambda pair: pair[0], default=(0.0, self.base))
            return best if lead > 0 else self.base
        if not self.contenders:
            return None if self.base.searched is None else self.base
        again = [c for c in self.contenders if c.again]
        return max(again, key=lambda c: float(np.mean(c.again)), default=None)

    @property
    def sentences(self) -> list[str]:
        """How much of the lead of the search's best is left, and what failed."""
        failures = [s for c in (self.base, *self.contenders) for s in _failed(c)]
        winner = self.winner
        if winner is None:
            what = "run on fresh seeds" if self.contenders else "trial of the search"
            return [f"No {what} finished, so nothing is recommended.", *failures]
        if not self.contenders:
            return ["No trial beat the base, so the base is recommended.", *failures]
        first = self.contenders[0]
        out = []
        if self.base.searched is None:
            out.append("The base failed in the search, so it is not known which trials beat it there.")
        elif first.difference is not None:
            out.append(_luck(first.name, first.searched, self.base.searched, first.difference))
        if winner is self.base:
            out.append("On fresh seeds nothing is better than the base, so the base is recommended.")
        elif winner.difference is None:
            mean, n = float(np.mean(winner.again)), len(winner.again)
            seeds = "a fresh seed" if n == 1 else f"{n} fresh seeds"
            out.append(
                f"Recommended: trial {winner.name}, with {mean:.2%} on {seeds}. The base finished on none, so it is "
                "not known whether the trial is better."
            )
        else:
            out.append(f"Recommended: trial {winner.name}, {_against_base(winner.difference)}")
        return [*out, *failures]


def _failed(c: Contender) -> list[str]:
    if not c.failures:
        return []
    name = "The base" if c.name == "base" else f"Trial {c.name}"
    of = len(c.failures) + len(c.again)
    return [f"{name} failed on {len(c.failures)} of {of} fresh seeds: {c.failures[0]}."]


def _luck(name: str, searched: float | None, base: float, difference: Difference) -> str:
    assert searched is not None  # a contender finished
    lead, left = (searched - base) * 100, difference.mean * 100
    led = f"Trial {name} led the base by {lead:+.2f} points in the search, and by {left:+.2f} on "
    seeds = "a fresh seed" if difference.n == 1 else f"{difference.n} fresh seeds"
    return (
        f"{led}{seeds}: {lead - left:.2f} points were luck."
        if left < lead
        else f"{led}{seeds}: none of it was luck."
    )


def _against_base(d: Difference | None) -> str:
    if d is None or not d.known:
        return "with too few seeds to say more."
    lead, low, high = (f"{value * 100:+.2f}" for value in (d.mean, d.low, d.high))
    difference = f"{lead} points [{low}, {high}] from the base over {d.n} fresh seeds"
    return f"{difference}." if d.low > 0 else f"{difference}, which chance could explain."


def believe(
    study: optuna.Study, again: Mapping[str, Mapping[int, Mapping[str, Any]]], base_params: int
) -> Belief:
    """Compares the results of the search with those on fresh seeds.

    Args:
        study: The search.
        again: From ``confirm``; empty where no trial finished, so that nothing was run again.
        base_params: Parameters of the base.
    """
    base_again = {seed: float(v["rank_accuracy"]) for seed, v in again.get("base", {}).items()}
    failures = confirmation_failures(study)
    base = Contender(
        "base",
        {},
        base_accuracy(study),
        tuple(base_again.values()),
        None,
        base_params,
        failures.get("base", ()),
    )
    resolution = max((1 / v["rank_images"] for v in again.get("base", {}).values()), default=0.0)
    contenders = []
    for trial in best_trials(study):
        ours = {seed: float(v["rank_accuracy"]) for seed, v in again.get(str(trial.number), {}).items()}
        both = sorted(set(ours) & set(base_again))
        pairs = [ours[s] for s in both], [base_again[s] for s in both]
        difference = paired_difference(*pairs, resolution) if both else None
        contenders.append(
            Contender(
                str(trial.number),
                trial.user_attrs["keys"],
                trial.values[0],
                tuple(ours.values()),
                difference,
                int(trial.user_attrs["value"]["params"]),
                failures.get(str(trial.number), ()),
            )
        )
    return Belief(base, tuple(contenders))
