"""Runs compared with one another on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from conviction.card import card
from conviction.evaluation.bootstrap import Figure
from conviction.training import EpochRow

SURE = 0.05


@dataclass(frozen=True)
class Pair:
    """A run against the first one, on the same images.

    Attributes:
        run: The other run.
        accuracy: Of the other.
        ci95: Of that accuracy, Wilson's.
        difference: Of the accuracies, the other minus the first.
        difference_ci95: Newcombe's interval for paired proportions.
        p_value: Of McNemar's exact test, corrected by Holm for the number of comparisons.
        first_only: Images that the first alone gets right.
        other_only: Images that the other alone gets right.
        folds_difference: Of the accuracies of the recipes on the same folds; None where those differ or there are none.
    """

    run: str
    accuracy: float
    ci95: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float]
    p_value: float
    first_only: int
    other_only: int
    folds_difference: Figure | None = None

    @property
    def is_detected(self) -> bool:
        """Whether the test tells the two apart, at 5%."""
        return self.p_value < SURE

    @property
    def sentence(self) -> str:
        """What it means."""
        low, high = (100 * v for v in self.difference_ci95)
        measured = (
            f"{self.run}: {100 * self.difference:+.2f} points [{low:+.2f}, {high:+.2f}] against the first; "
            f"it alone is right on {self.other_only:,} images, the first alone on {self.first_only:,} "
            f"(McNemar's test, p = {self.p_value:.2g})"
        )
        if not self.is_detected:
            return f"{measured}. No difference is detectable with these images."
        return (
            f"{measured}. {'It is better' if self.difference > 0 else 'The first is better'} on such images."
        )

    @property
    def folds_sentence(self) -> str:
        """What cross-validation says of the two recipes; empty where it says nothing."""
        if self.folds_difference is None:
            return ""
        beginning = f"{self.run}: by cross-validation on the same folds, its recipe is"
        by = f"{100 * self.folds_difference.value:+.2f} points"
        if self.folds_difference.ci95 is None:
            return f"{beginning} {by} against the first, in every fold, so there is no interval."
        low, high = (100 * v for v in self.folds_difference.ci95)
        measured = f"{beginning} {by} [{low:+.2f}, {high:+.2f}] against the first"
        if low <= 0 <= high:
            return f"{measured}. No difference is detectable."
        return f"{measured}. {'It is better' if low > 0 else 'The first is better'} with so many images."


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.2%} to {bounds[1]:.2%}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs or more; the others are compared with the first.

    Attributes:
        runs: The run folders, as they were given.
        part: "test", or "validation" where a test set is sealed.
        n: Images that all runs have answered.
        openings: How often the test set has been opened; 0 for validation.
        accuracy: Of the first.
        ci95: Of that accuracy, Wilson's.
        pairs: One for each other run.
        specification: By key, the values of all runs, where they differ; without the layers.
        networks: By other run, how its network differs from that of the first, a line for each layer.
        notes: What limits the comparison, in sentences.
        histories: By run, the epochs.
        hashes: n contents of images, in hex, whose order the following have.
        labels: (n,) the true classes.
        probabilities: By run, (n, classes).
        class_names: One per column.
        folds: By run, the accuracy that cross-validation estimates for its recipe; None without it.
    """

    runs: list[str]
    part: str
    n: int
    openings: int
    accuracy: float
    ci95: tuple[float, float]
    pairs: list[Pair]
    specification: dict[str, list[Any]]
    networks: list[list[str]]
    notes: list[str]
    histories: list[list[EpochRow]]
    hashes: list[str]
    labels: np.ndarray
    probabilities: list[np.ndarray]
    class_names: list[str]
    folds: list[Figure | None]

    @property
    def changed_networks(self) -> dict[str, list[str]]:
        """``networks`` by run, without those that are the same."""
        others = zip(self.runs[1:], self.networks, strict=True)
        return {run: changes for run, changes in others if changes}

    def renamed(self, names: Sequence[str]) -> Comparison:
        """The same, with other names for the runs."""
        pairs = [replace(pair, run=name) for pair, name in zip(self.pairs, names[1:], strict=True)]
        return replace(self, runs=list(names), pairs=pairs)

    def __repr__(self) -> str:
        pairs = ", ".join(f"{p.run} {p.accuracy:.2%}" for p in self.pairs)
        return f"Comparison({self.runs[0]} {self.accuracy:.2%}, {pairs}; {self.n:,} {self.part} images)"

    def _repr_html_(self) -> str:
        rows = [(self.runs[0], f"{self.accuracy:.2%}", _interval(self.ci95), "", "")]
        rows += [
            (
                p.run,
                f"{p.accuracy:.2%}",
                _interval(p.ci95),
                f"{100 * p.difference:+.2f} points",
                f"{p.p_value:.2g}",
            )
            for p in self.pairs
        ]
        changed = {key: " | ".join(map(str, values)) for key, values in self.specification.items()}
        changed |= {f"network of {run}": "; ".join(lines) for run, lines in self.changed_networks.items()}
        return card(
            f"Comparison on {self.n:,} {self.part} images",
            changed,
            self.notes,
            head=("run", "accuracy", "95% interval", "difference", "p (McNemar)"),
            rows=rows,
        )

    def to_json(self) -> dict[str, Any]:
        """For ``compare --json``."""
        return {
            "runs": self.runs,
            "part": self.part,
            "images": self.n,
            "openings": self.openings,
            "accuracy": self.accuracy,
            "accuracy_ci95": self.ci95,
            "pairs": [
                {**asdict(pair), "sentence": pair.sentence, "folds_sentence": pair.folds_sentence}
                for pair in self.pairs
            ],
            "specification": self.specification,
            "networks": self.changed_networks,
            "notes": self.notes,
            "folds": [None if figure is None else asdict(figure) for figure in self.folds],
        }
