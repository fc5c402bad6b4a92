"""Runs side by side: tables, and the pictures that one gets right and another wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.data import ImageSet
from conviction.evaluation import Comparison, openings_sentence
from conviction.reporting.folds import NAME, interval
from conviction.reporting.steps import Step, Table

SHOWN = 12


@dataclass(frozen=True)
class Answered:
    """A picture, its class, and the answer of each of two runs with its probability."""

    name: str
    pixels: np.ndarray
    truth: str
    answers: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Contrast:
    """Pictures that one run alone gets right, the surest first."""

    title: str
    count: int
    pictures: tuple[Answered, ...]


def comparison_step(comparison: Comparison) -> Step:
    """Compare: accuracies, differences, and what limits them."""
    sentences = [f"{comparison.n:,} {comparison.part} images, answered by each run."]
    if comparison.part == "test":
        sentences.append(openings_sentence(comparison.openings))
    for pair in comparison.pairs:
        sentences += [s for s in (pair.sentence, pair.folds_sentence) if s]
    for run, changes in comparison.changed_networks.items():
        sentences.append(f"{run}, its network against the first: {'; '.join(changes)}.")
    sentences += comparison.notes
    return Step("Compare", tuple(sentences), comparison_table(comparison))


def comparison_table(comparison: Comparison) -> Table:
    """A row per run."""
    low, high = comparison.ci95
    rows = [(comparison.runs[0], f"{comparison.accuracy:.2%}", f"{low:.2%} to {high:.2%}", "", "", "")]
    for pair in comparison.pairs:
        (a, b), (low, high) = pair.ci95, pair.difference_ci95
        rows.append(
            (
                pair.run,
                f"{pair.accuracy:.2%}",
                f"{a:.2%} to {b:.2%}",
                f"{100 * pair.difference:+.2f}",
                f"{100 * low:+.2f} to {100 * high:+.2f}",
                f"{pair.p_value:.2g}",
            )
        )
    heads = ("run", "accuracy", "95% interval", "difference in points", "95% interval", "McNemar's p")
    if not any(comparison.folds):
        return Table(heads, tuple(rows), (1, 2, 3, 4, 5))
    estimates = [(f"{f.value:.2%}", interval(f)) if f else ("", "") for f in comparison.folds]
    whole = tuple((*row, *estimate) for row, estimate in zip(rows, estimates, strict=True))
    return Table((*heads, NAME, "95% interval"), whole, tuple(range(1, 8)))


def specification_table(comparison: Comparison, column: str = "key") -> Table:
    """The keys that differ, a column per run; ``column`` is the head of the first."""
    rows = [(key, *map(str, values)) for key, values in comparison.specification.items()]
    return Table((column, *comparison.runs), tuple(rows))


def contrasts(comparison: Comparison, images: ImageSet) -> list[Contrast]:
    """For each pair of runs, both ways round.

    Args:
        comparison: From ``compare``.
        images: The set that its images come from; those that are missing are skipped.
    """
    index_of = images.rows_of(comparison.hashes)
    candidates = []
    for other in range(1, len(comparison.runs)):
        for better, worse in ((other, 0), (0, other)):
            candidates.append(_contrast(comparison, images, index_of, better, worse))
    return [contrast for contrast in candidates if contrast.count]


def _contrast(
    comparison: Comparison, images: ImageSet, index_of: Sequence[int | None], better: int, worse: int
) -> Contrast:
    names, labels = comparison.class_names, comparison.labels
    both = [comparison.probabilities[i] for i in (better, worse)]
    predicted = [p.argmax(axis=1) for p in both]
    rows = np.flatnonzero((predicted[0] == labels) & (predicted[1] != labels))
    order = rows[np.argsort(-both[1][rows].max(axis=1), kind="stable")]

    def answered(row: int) -> Answered:
        index = index_of[row]
        assert index is not None
        answers = [
            (comparison.runs[run], names[s[row]], float(p[row].max()))
            for run, s, p in zip((better, worse), predicted, both, strict=True)
        ]
        return Answered(images.names[index], images.pixels[index], names[labels[row]], tuple(answers))

    shown: Sequence[int] = [r for r in order.tolist() if index_of[r] is not None][:SHOWN]
    title = f"{Path(comparison.runs[better])} is right, {Path(comparison.runs[worse])} is wrong"
    return Contrast(title, len(rows), tuple(answered(row) for row in shown))
