"""What several effects need: batches in pieces that fit the cache, and the way back to uint8."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Float copies are made of about this many values at a time: they stay in the cache, and no batch of large
# images exists as floats as a whole.
GROUP = 2**16


def groups(n: int, values: int, most: int = GROUP) -> Iterator[slice]:
    """Cuts n images of this many values each into runs that fit the cache."""
    size = max(1, most // values)
    for start in range(0, n, size):
        yield slice(start, start + size)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Rounds and clips float values in place, then converts."""
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def draw_around(chance: np.random.Generator, middle: float, reach: float, n: int) -> np.ndarray:
    """(n,) float64, uniform over middle ± reach; a reach of 0 gives exactly the middle."""
    return chance.uniform(middle - reach, middle + reach, n)
