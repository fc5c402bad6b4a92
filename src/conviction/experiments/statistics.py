"""What paired runs can show: differences with intervals, and how many seeds it takes to see a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
# The chance of seeing a real difference, for which numbers of seeds are calculated: Cohen's (1988) convention.
POWER = 0.8
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences.

    Attributes:
        mean: In the unit of the values.
        low: Lower end of the 95% interval, by Student's t.
        high: Upper end.
        sd: Standard deviation of the differences; 0 for a single pair.
        n: Pairs.
        p: Two-sided p-value of the hypothesis that the mean is 0; 1 where the pairs show nothing.
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    p: float

    @property
    def known(self) -> bool:
        """Whether there are enough pairs for an interval."""
        return self.n >= 2


def paired_difference(first: Sequence[float], second: Sequence[float], resolution: float = 0.0) -> Difference:
    """``first`` minus ``second``, pair by pair; a single pair gets an infinite interval.

    Args:
        first: (n,) values.
        second: (n,) values of the same seeds in the same order.
        resolution: The step in which the values come, for accuracies 1 over the number of images. Values
            that are equal in such steps may still differ: each has a uniform error of that width, so the standard
            deviation of differences counts as at least the width over the root of 6.
    """
    from scipy.stats import t

    d = np.asarray(first, float) - np.asarray(second, float)
    n, mean = len(d), float(d.mean())
    if n < 2:
        return Difference(mean, -math.inf, math.inf, 0.0, n, 1.0)
    sd = float(d.std(ddof=1))
    error = max(sd, resolution / math.sqrt(6)) / math.sqrt(n)
    if error == 0:
        return Difference(mean, mean, mean, 0.0, n, 1.0 if mean == 0 else 0.0)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * error
    return Difference(mean, mean - half, mean + half, sd, n, float(2 * t.sf(abs(mean) / error, n - 1)))


def power(sd: float, difference: float, n: int, alpha: float = 1 - CONFIDENCE) -> float:
    """The chance that a paired t-test of n pairs finds a true difference, by the noncentral t distribution.

    Args:
        sd: The true standard deviation of paired differences, above 0.
        difference: The true mean difference.
        n: Pairs, at least 2.
        alpha: The level of the test, two-sided.
    """
    from scipy.stats import nct, t

    shift = abs(difference) / sd * math.sqrt(n)
    edge = float(t.ppf(1 - alpha / 2, n - 1))
    upper = float(nct.sf(edge, n - 1, shift))
    # SciPy's lower tail is NaN where it is 0 to machine precision.
    lower = float(nct.cdf(-edge, n - 1, shift))
    return min(1.0, upper + (0.0 if math.isnan(lower) else lower))


def seeds_needed(sd: float, difference: float, alpha: float = 1 - CONFIDENCE) -> int:
    """The smallest number of pairs that finds a difference with a power of 80%; at most ``MOST_SEEDS``.

    Args:
        sd: The standard deviation of paired differences.
        difference: The difference to be seen, not 0.
        alpha: The level of the test.
    """
    if sd <= 0:
        return 2
    low, high = 1, 2
    while power(sd, difference, high, alpha) < POWER:
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(sd, difference, middle, alpha) >= POWER else (middle, high)
    return high


def seeds_interval(sd: float, n: int, difference: float) -> tuple[int, int]:
    """95% bounds of ``seeds_needed`` where ``sd`` is estimated from n pairs: the chi-squared interval of a variance."""
    from scipy.stats import chi2

    tail = (1 - CONFIDENCE) / 2
    low = sd * math.sqrt((n - 1) / float(chi2.ppf(1 - tail, n - 1)))
    high = sd * math.sqrt((n - 1) / float(chi2.ppf(tail, n - 1)))
    return seeds_needed(low, difference), seeds_needed(high, difference)
