"""Resampling images with replacement: the intervals of whatever is not a plain proportion.

The percentile bootstrap over images (Efron and Tibshirani, 1993, chapter 13), seeded, so that the same predictions
always give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1_000
# Resamples at a time: their indices fit into the cache.
CHUNK = 50


@dataclass(frozen=True)
class Figure:
    """A value, and its 95% interval; None where there are too few images for one."""

    value: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class Counts:
    """Of m samples of images, (m, classes) each: right ones, those of the class, those called so."""

    right: np.ndarray
    true: np.ndarray
    called: np.ndarray

    def balanced_accuracy(self) -> np.ndarray:
        """(m,): the mean recall of the classes that have images (Brodersen et al., 2010)."""
        return np.nanmean(_ratio(self.right, self.true), axis=1)

    def f1(self) -> np.ndarray:
        """(m, classes): 2 right / (true + called), NaN where a class has neither."""
        return _ratio(2 * self.right, self.true + self.called)

    def macro_f1(self) -> np.ndarray:
        """(m,): the mean F1 of the classes that have images or were called."""
        return np.nanmean(self.f1(), axis=1)


def generator(n: int) -> np.random.Generator:
    """The random numbers for n images."""
    return np.random.Generator(np.random.Philox(key=[20, n]))


def counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Counts:
    """Of the images as they are, m = 1.

    Args:
        labels: (n,) integers in [0, classes).
        predicted: (n,) the same.
        classes: How many.
    """
    parts = (labels[labels == predicted], labels, predicted)
    return Counts(*(np.bincount(p, minlength=classes)[np.newaxis].astype(np.float64) for p in parts))


def resampled_counts(
    labels: np.ndarray, predicted: np.ndarray, classes: int, rng: np.random.Generator
) -> Counts:
    """Of ``RESAMPLES`` samples. Resampling images is resampling the filled cells of the confusion matrix."""
    from scipy.sparse import coo_array

    n = len(labels)
    cells, sizes = np.unique(labels * classes + predicted, return_counts=True)
    row, column = np.divmod(cells, classes)
    shape = (len(cells), classes)
    one = np.ones(len(cells))
    # (cells, classes): to which class a cell counts.
    members = [
        coo_array((values, (np.arange(len(cells)), to)), shape=shape).tocsr()
        for values, to in (((row == column) * one, row), (one, row), (one, column))
    ]
    drawn: list[list[np.ndarray]] = [[], [], []]
    for _ in range(RESAMPLES // CHUNK):
        sample = rng.multinomial(n, sizes / n, CHUNK).astype(np.float64)  # (CHUNK, cells)
        for kept, member in zip(drawn, members, strict=True):
            kept.append(sample @ member)  # (CHUNK, classes)
    return Counts(*(np.concatenate(kept) for kept in drawn))


def resampled(values: np.ndarray, of: Callable[..., np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(n,) -> (RESAMPLES,) of the statistic ``of(values, axis=1)``."""
    n = len(values)
    return np.concatenate(
        [of(values[rng.integers(0, n, (CHUNK, n))], axis=1) for _ in range(RESAMPLES // CHUNK)]
    )


def mean_interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float] | None:
    """The 95% interval of the mean of (n,) values; None of one image, which does not show how they differ."""
    return percentiles(resampled(values, np.mean, rng)) if len(values) > 1 else None


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The middle 95% of (m,) values, those that are undefined left out."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under > 0)
