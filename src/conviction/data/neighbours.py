"""Nearest neighbours of pictures in the features of a network, a block of pictures at a time."""

from __future__ import annotations

import numpy as np

_BLOCK = 256
"""Pictures whose similarities to all others are in memory together."""


def nearest(vectors: np.ndarray, k: int, apart: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar pictures of each picture, all of them compared with all.

    Args:
        vectors: (n, d) float32 of unit length.
        k: How many, at least 1.
        apart: (n,) int64, pictures of equal numbers are no neighbours of each other; None where all are.

    Returns:
        (n, k) int64 numbers of pictures and (n, k) float32 similarities, the most similar first; -1 and ``-inf``
        where there are fewer than k others.

    >>> nearest(np.eye(3, dtype=np.float32)[[0, 0, 1]], 1)[0].ravel().tolist()
    [1, 0, 0]
    """
    n, most = len(vectors), max(min(k, len(vectors) - 1), 0)
    neighbours = np.full((n, k), -1, np.int64)
    similarities = np.full((n, k), -np.inf, np.float32)
    others = np.ascontiguousarray(vectors.T)
    for start in range(0, n if most else 0, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        products = vectors[rows] @ others
        products[np.arange(len(rows)), rows] = -np.inf
        if apart is not None:
            products[apart[rows][:, None] == apart] = -np.inf
        some = np.argpartition(-products, most - 1, axis=1)[:, :most]
        values = np.take_along_axis(products, some, 1)
        # Of equally similar ones, the first: what is reported must not depend on the partition.
        order = np.lexsort((some, -values), axis=1)
        some, values = np.take_along_axis(some, order, 1), np.take_along_axis(values, order, 1)
        neighbours[rows, :most] = np.where(np.isfinite(values), some, -1)
        similarities[rows, :most] = values
    return neighbours, similarities
