"""Whether the winner of a search is believed: what was left of its lead on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.experiments.statistics import Difference, paired_difference
from conviction.experiments.tuning import base_accuracy, best_trials

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Contender:
    """One of the best of a search, run again.

    Attributes:
        name: ``base``, or the number of the trial.
        keys: What it changes of the base.
        searched: Its accuracy in the search, on the ranking half of the validation images.
        again: Accuracies on fresh seeds, each with validation images of its own.
        difference: Of those from the base's, paired by seed.
        params: Parameters.
    """

    name: str
    keys: Mapping[str, Any]
    searched: float
    again: tuple[float, ...]
    difference: Difference | None
    params: int


@dataclass(frozen=True)
class Belief:
    """The base and the contenders, and which of them is recommended."""

    base: Contender
    contenders: tuple[Contender, ...]

    @property
    def winner(self) -> Contender:
        """The best on fresh seeds; the base if none is better."""
        return max((self.base, *self.contenders), key=lambda c: float(np.mean(c.again)) if c.again else -1.0)

    @property
    def sentences(self) -> list[str]:
        """What became of the lead of the search's own first."""
        if not self.contenders:
            return ["No trial beat the base, which is what is recommended."]
        out = [self._luck(self.contenders[0])] if self.contenders[0].again and self.base.again else []
        winner = self.winner
        if winner is self.base:
            out.append("On fresh seeds nothing is better than the base, which is what is recommended.")
        else:
            out.append(f"Recommended: trial {winner.name}, {_against_base(winner.difference)}")
        return out

    def _luck(self, first: Contender) -> str:
        lead = (first.searched - self.base.searched) * 100
        left = (float(np.mean(first.again)) - float(np.mean(self.base.again))) * 100
        led = f"Trial {first.name} led the base by {lead:+.2f} points in the search, and by {left:+.2f} on "
        seeds = f"{len(first.again)} fresh seeds"
        return (
            f"{led}{seeds}: {lead - left:.2f} points were luck."
            if left < lead
            else f"{led}{seeds}: none was luck."
        )


def _against_base(d: Difference | None) -> str:
    if d is None or not d.known:
        return "with too few seeds to say more."
    said = f"{d.mean * 100:+.2f} points [{d.low * 100:+.2f}, {d.high * 100:+.2f}] from the base over {d.n} fresh seeds"
    return f"{said}." if d.low > 0 else f"{said}, which chance could explain."


def believe(
    study: optuna.Study, again: Mapping[str, Mapping[int, Mapping[str, Any]]], base_params: int
) -> Belief:
    """Sets what the search said beside what fresh seeds say.

    Args:
        study: The search.
        again: From ``confirm``.
        base_params: Parameters of the base.
    """
    base_again = {seed: float(v["rank_accuracy"]) for seed, v in again["base"].items()}
    base = Contender("base", {}, base_accuracy(study), tuple(base_again.values()), None, base_params)
    resolution = max((1 / v["rank_images"] for v in again["base"].values()), default=0.0)
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
            )
        )
    return Belief(base, tuple(contenders))
