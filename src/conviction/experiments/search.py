"""What a search is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from conviction.experiments.exploration import Plan
from conviction.experiments.space import Space

Against = Literal["params", "multiply_adds", "latency"]


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
