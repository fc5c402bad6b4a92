"""Pictures unlike their class: what a network sees in them lies far from their class, in no usual direction."""

from __future__ import annotations

import numpy as np

COMPONENTS, SHARE = 24, 10
"""Principal components whose spread is measured one by one, and pictures that each of them needs."""
# Of these and the limit below, the pair that saw foreign pictures in TrashNet best at 0.3% of its own.
LEAST_DISTANCE = 2.2
"""Robust standard deviations above the usual distance from which on a picture is unlike its class."""
LEAST_IN_CLASS = 5
"""Pictures of a class below which none of them can be called unlike the others."""


def unlike_pictures(vectors: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> tuple[int, ...]:
    """The pictures that are far from the mean of their class, the farthest first.

    What is usual is the same for all classes: a Gaussian with a few wide directions and an even rest (probabilistic
    principal components: Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999). The logarithm of
    the squared Mahalanobis distance in it is compared with its median, in units of 1.4826 times the median absolute
    deviation, which is the standard deviation of a normal distribution.

    Args:
        vectors: (n, d) float32.
        labels: (n,) int64.
        asked: (m,) int64, the images that are asked for and that say what is usual.

    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(100, 8)).astype(np.float32)
    >>> vectors[7] += 20
    >>> unlike_pictures(vectors, np.zeros(100, int), np.arange(100))
    (7,)
    """
    classes, counts = np.unique(labels[asked], return_counts=True)
    asked = asked[np.isin(labels[asked], classes[counts >= LEAST_IN_CLASS])]
    kept = min(COMPONENTS, len(asked) // SHARE, vectors.shape[1] - 1)
    if kept < 1:
        return ()
    rows = vectors[asked].astype(np.float64)
    for label in np.unique(labels[asked]):
        own = labels[asked] == label
        # Each from the mean of the others, or a picture of a small class would be near because it is in its mean.
        rows[own] = (rows[own] - rows[own].mean(0)) * own.sum() / (own.sum() - 1)
    distances = np.log(np.maximum(_squared_distances(rows, kept), np.finfo(float).tiny))
    beyond = distances - np.median(distances)
    usual = 1.4826 * np.median(np.abs(beyond))
    # Where more than half are all equally far, nothing can be said of the others.
    beyond = beyond / usual if usual > 0 else np.zeros(len(beyond))
    chosen = np.flatnonzero(beyond > LEAST_DISTANCE)
    order = chosen[np.lexsort((chosen, -beyond[chosen]))]
    return tuple(asked[order].tolist())


def _squared_distances(rows: np.ndarray, kept: int) -> np.ndarray:
    """(m, d) residuals to (m,) squared distances, the ``kept`` largest components apart from an even rest."""
    from scipy.linalg import eigh

    count, dimensions = rows.shape
    covariance = rows.T @ rows / count
    wide, directions = eigh(covariance, subset_by_index=[dimensions - kept, dimensions - 1])
    rest = max((np.trace(covariance) - wide.sum()) / (dimensions - kept), np.finfo(float).tiny)
    along = rows @ directions
    outside = np.maximum((rows**2).sum(1) - (along**2).sum(1), 0)
    return (along**2 / np.maximum(wide, np.finfo(float).tiny)).sum(1) + outside / rest
