"""Intervals of proportions and of their differences, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95% score interval of a proportion (Wilson, 1927), by SciPy.

    Args:
        successes: In 0..n.
        n: At least 1.
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def f1_interval(right: int, either: int) -> tuple[float, float]:
    """The 95% interval of the F1 of one class.

    Of the images that are of the class or were called so, the share J that is both is a proportion, and F1 is
    2 J / (1 + J), which rises with it: Wilson's interval of J, carried over. Percentiles of the bootstrap have no
    width where all are right.

    Args:
        right: Images of the class that were called so.
        either: Images of the class plus images that were called so, at least 1.
    """
    low, high = wilson(right, either - right)
    return 2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """The 95% interval of the difference of two independent proportions, by the hybrid of their Wilson intervals.

    Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10.

    Args:
        first: Successes, and of how many.
        second: The same; the difference is first minus second.
    """
    p1, p2 = first[0] / first[1], second[0] / second[1]
    return _hybrid(p1, wilson(*first), p2, wilson(*second), 0.0)


def mean_of_shares(shares: Sequence[float], intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The 95% interval of the mean of independent figures that have intervals of their own, such as recalls of classes.

    Zou and Donner (2008), "Construction of confidence limits about effect measures: a general approach", which is
    ``newcombe`` for a mean. It has a width where all are right.

    Args:
        shares: One for each class, at least one.
        intervals: As many.
    """
    below = math.sqrt(sum((share - low) ** 2 for share, (low, _) in zip(shares, intervals, strict=True)))
    above = math.sqrt(sum((high - share) ** 2 for share, (_, high) in zip(shares, intervals, strict=True)))
    mean = math.fsum(shares) / len(shares)
    return max(0.0, mean - below / len(shares)), min(1.0, mean + above / len(shares))


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int) -> tuple[float, float]:
    """The 95% interval of the difference of two proportions of the same images, first minus second.

    Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10: the hybrid of the Wilson intervals, narrowed by the correlation phi.

    Args:
        both: Images that both get right.
        first_only: That the first alone gets right.
        second_only: That the second alone gets right.
        neither: That none gets right.
    """
    n = both + first_only + second_only + neither
    right1, right2 = both + first_only, both + second_only
    product = right1 * (n - right1) * right2 * (n - right2)
    numerator: float = both * neither - first_only * second_only
    if numerator > 0:
        numerator = max(0, numerator - n / 2)
    phi = numerator / math.sqrt(product) if product else 0.0
    return _hybrid(right1 / n, wilson(right1, n), right2 / n, wilson(right2, n), phi)


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value of McNemar's test (1947), exact: of the images that one alone gets right, half each.

    Args:
        first_only: Images that the first alone gets right.
        second_only: That the second alone gets right.
    """
    from scipy.stats import binomtest

    n = first_only + second_only
    return float(binomtest(first_only, n).pvalue) if n else 1.0


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number (Holm, 1979), in the same order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _hybrid(
    p1: float, ci1: tuple[float, float], p2: float, ci2: tuple[float, float], phi: float
) -> tuple[float, float]:
    (l1, u1), (l2, u2) = ci1, ci2

    def length(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return p1 - p2 - length(p1 - l1, u2 - p2), p1 - p2 + length(u1 - p1, p2 - l2)
