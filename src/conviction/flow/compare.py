"""``conviction compare``: runs on the same images, paired image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conviction.audience import by_key, call, run_name
from conviction.data import ImageSet
from conviction.errors import RequestError
from conviction.evaluation import (
    Comparison,
    Figure,
    Pair,
    count_openings,
    holm,
    mcnemar,
    newcombe_paired,
    paired_difference,
    wilson,
)
from conviction.flow.again import few, load_again, load_finished
from conviction.flow.differences import layers_of, network_changes, settings_of
from conviction.runs import RunFolder, RunLike, open_run, run_paths
from conviction.runs.folds import read_folds
from conviction.runs.predictions import Answers, read_predictions


def compare(*runs: RunLike | Sequence[RunLike]) -> Comparison:
    """Compares runs by the answers that they have kept; nothing is predicted and no test set is opened.

    Args:
        runs: At least two runs or paths of their folders, one by one or as a list; the first is what the others are
            compared with.

    Raises:
        RunError: One is not a run, is not finished, or has no predictions.
        RequestError: Fewer than two, one given twice, or runs whose classes or images differ.
    """
    opened = [load_finished(path) for path in run_paths(runs)]
    if len(opened) < 2:
        raise RequestError(f"compare: expected at least two runs; got {len(opened)}.")
    if len({run.path.resolve() for run in opened}) < len(opened):
        raise RequestError("compare: a run is given twice; a run cannot be compared with itself.")
    _check_classes(opened)
    part, answers = _same_images(opened)
    right = [a.probabilities.argmax(axis=1) == a.labels for a in answers]
    n, hits = len(right[0]), int(right[0].sum())
    notes = _notes(opened, part)
    openings = count_openings(opened[0].split.test_hash) if part == "test" else 0
    return Comparison(
        runs=[str(run.path) for run in opened],
        part=part,
        n=n,
        openings=openings,
        accuracy=hits / n,
        ci95=wilson(hits, n),
        pairs=_pairs(opened, right),
        specification=_differences(opened),
        networks=_networks(opened),
        notes=notes,
        histories=[run.epoch_rows for run in opened],
        hashes=answers[0].hashes,
        labels=answers[0].labels,
        probabilities=[a.probabilities for a in answers],
        class_names=opened[0].class_names,
        folds=[run.evaluation.folds.accuracy if run.evaluation.folds else None for run in opened],
    )


def _check_classes(runs: Sequence[RunFolder]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.class_names != first.class_names:
            odd = sorted({*first.class_names} ^ {*other.class_names})
            reason = f"such as {few(odd)}" if odd else "in another order"
            raise RequestError(
                f"{run_name(first.path)} and {run_name(other.path)} have different classes, {reason}, so they answer "
                "different questions."
            )


def _same_images(runs: Sequence[RunFolder]) -> tuple[str, list[Answers]]:
    """The part that all runs have answered, image by image and in the same order.

    Raises:
        RequestError: The images differ, or there is no part that all have answered.
    """
    first = runs[0]
    for other in runs[1:]:
        mine, its = (Counter(r.split.test.values()) for r in (first, other))
        if mine != its:
            raise RequestError(
                f"{run_name(first.path)} and {run_name(other.path)} have different test sets "
                f"({(mine - its).total():,} images are only in the first, {(its - mine).total():,} only in the "
                "second), so their accuracies cannot be compared. Train both on the same "
                f"data{by_key('data.test')}, leaving out the same images{by_key('data.exclude')}."
            )
    known = [read_predictions(run.path) for run in runs]
    if all("test" in answers for answers in known):
        return "test", [_sorted(answers["test"]) for answers in known]
    validation = [_sorted(answers["validation"]) for answers in known]
    if any(answers.hashes != validation[0].hashes for answers in validation):
        sealed = next(r.path for r, a in zip(runs, known, strict=True) if "test" not in a)
        raise RequestError(
            f"The validation images of the runs differ (another seed draws others), and the test set of "
            f"{run_name(sealed)} is sealed, so there are no images that all have answered. When you have made all your "
            f"choices, open it with: {call('evaluate', sealed)}"
        )
    return "validation", validation


def _sorted(answers: Answers) -> Answers:
    """Sorts by content; equal images keep their order."""
    order = np.argsort(np.array(answers.hashes), kind="stable")
    return Answers(answers.probabilities[order], answers.labels[order], [answers.hashes[i] for i in order])


def _pairs(runs: Sequence[RunFolder], right: Sequence[np.ndarray]) -> list[Pair]:
    first = right[0]
    tables = [(first & r, first & ~r, ~first & r, ~first & ~r) for r in right[1:]]
    counted = [tuple(int(cell.sum()) for cell in table) for table in tables]
    corrected = holm([mcnemar(mine, its) for _, mine, its, _ in counted])
    pairs = []
    for run, mask, (both, mine, its, neither), p in zip(runs[1:], right[1:], counted, corrected, strict=True):
        n, hits = len(mask), int(mask.sum())
        low, high = newcombe_paired(both, its, mine, neither)
        pairs.append(
            Pair(
                str(run.path),
                hits / n,
                wilson(hits, n),
                (its - mine) / n,
                (low, high),
                p,
                mine,
                its,
                _folds_difference(runs[0], run),
            )
        )
    return pairs


def _folds_difference(first: RunFolder, other: RunFolder) -> Figure | None:
    """The difference of two recipes by cross-validation; None without it, or where the folds are not the same."""
    if first.evaluation.folds is None or other.evaluation.folds is None:
        return None
    mine, its = read_folds(first.path), read_folds(other.path)
    if not (np.array_equal(mine.hashes, its.hashes) and np.array_equal(mine.fold, its.fold)):
        return None
    if mine.learned.shape != its.learned.shape:
        return None
    right = [answers.probabilities.argmax(axis=2) == answers.labels for answers in (mine, its)]
    return paired_difference(right[0], right[1], mine.fold, np.minimum(mine.learned, its.learned))


def _differences(runs: Sequence[RunFolder]) -> dict[str, list[Any]]:
    flat = [settings_of(run) for run in runs]
    every = dict.fromkeys(key for values in flat for key in values)
    columns = {key: [values.get(key) for values in flat] for key in every}
    return {key: values for key, values in columns.items() if any(v != values[0] for v in values)}


def _networks(runs: Sequence[RunFolder]) -> list[list[str]]:
    rows = [layers_of(run) for run in runs]
    return [network_changes(rows[0], others) for others in rows[1:]]


def _notes(runs: Sequence[RunFolder], part: str) -> list[str]:
    """What readers must know before they believe the difference."""
    notes = []
    if part == "validation":
        notes.append(
            "A test set is sealed, so the validation images are compared; choices were made with them."
        )
    learned = [frozenset(run.split.train.values()) for run in runs]
    if len(set(learned)) > 1:
        notes.append(
            "They did not learn from the same images (another seed, or other settings of the data), so the difference "
            "comes from both the networks and what they learned from."
        )
    if any(run.evaluation.folds for run in runs):
        notes.append(
            "Cross-validation estimates the recipe of a run by other networks, from the images outside the test set."
        )
    notes.append(
        "Each run is one training, and another seed would give another accuracy: the interval accounts for the images "
        "alone."
    )
    return notes


def find_pictures(comparison: Comparison, data_dir: str | Path | None = None) -> tuple[ImageSet | None, str]:
    """The images of the first run whose contents ``comparison.hashes`` names; or None, and the reason.

    Args:
        comparison: From ``compare``.
        data_dir: Where to look for named sets first.
    """
    first = open_run(comparison.runs[0])
    try:
        return load_again(first, data_dir), ""
    except RequestError as failure:
        return None, str(failure)
