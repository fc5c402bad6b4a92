"""More figures than accuracy, each with a 95% interval, and whether the probabilities can be believed.

Intervals of proportions are Wilson's. The others come from the percentile bootstrap over images (Efron and Tibshirani,
1993, chapter 13), seeded, so that the same predictions always give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from conviction.evaluation.metrics import cross_entropies, wilson

RESAMPLES = 1_000
# Images at a time in resampling: so many indices fit the cache.
_CHUNK = 50
# Bins of equal width, as in Guo et al. (2017).
BINS = 15
# A right answer among the first k says something only if there are many more.
TOP = {10: 3, 50: 5}


@dataclass(frozen=True)
class Figure:
    """A value, and its 95% interval."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose highest probability lies in one bin of ``BINS``.

    Attributes:
        n: How many; at least 1.
        confidence: The mean of their highest probabilities.
        accuracy: The share of them that is classified correctly, with Wilson's interval.
        ci95: Of the accuracy.
    """

    n: int
    confidence: float
    accuracy: float
    ci95: tuple[float, float]


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Figure]:
    """By name: ``balanced_accuracy``, ``macro_f1``, ``top_3`` or ``top_5``, ``log_loss``, ``brier``, ``ece``.

    - ``balanced_accuracy``: the mean recall of the classes that have images (Brodersen et al., 2010).
    - ``macro_f1``: the mean over the classes of 2 right / (predicted + true), over those with either.
    - ``top_k``: the true class is among the k likeliest; for 10 classes or more.
    - ``log_loss``: the mean of -log p(true class), in nats, clipped as by ``cross_entropies``.
    - ``brier``: the mean of the squared distance between probabilities and the one-hot target, 0 to 2 (Brier, 1950).
    - ``ece``: the expected calibration error, the mean distance between accuracy and confidence over bins, weighted by
      their images (Guo et al., 2017); with few images it is too large, because noise has no sign there.

    Args:
        probabilities: (n, classes), n at least 1.
        labels: (n,) integers in [0, classes).
    """
    n, classes = probabilities.shape
    rng = np.random.Generator(np.random.Philox(key=[20, n]))
    predicted = probabilities.argmax(axis=1)
    pairs = labels * classes + predicted
    matrix = np.bincount(pairs, minlength=classes**2).astype(np.float64)
    # Resampling images resamples cells of the confusion matrix: (RESAMPLES, classes, classes).
    drawn = rng.multinomial(n, matrix / n, RESAMPLES).reshape(-1, classes, classes)
    matrix = matrix.reshape(classes, classes)
    found = {
        name: Figure(float(of(matrix[np.newaxis])[0]), _percentiles(of(drawn)))
        for name, of in (("balanced_accuracy", _balanced_accuracy), ("macro_f1", _macro_f1))
    }
    most = max((k for least, k in TOP.items() if classes >= least), default=0)
    if most:
        rank = (probabilities > probabilities[np.arange(n), labels][:, np.newaxis]).sum(axis=1)
        hits = int((rank < most).sum())
        found[f"top_{most}"] = Figure(hits / n, wilson(hits, n))
    target = np.zeros_like(probabilities, dtype=np.float64)
    target[np.arange(n), labels] = 1.0
    squares = ((probabilities - target) ** 2).sum(axis=1)
    for name, values in (("log_loss", cross_entropies(probabilities, labels)), ("brier", squares)):
        found[name] = Figure(float(values.mean()), _percentiles(_resampled(values, np.mean, rng)))
    return found | {"ece": _calibration_error(probabilities, labels, rng)}


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[ReliabilityBin]:
    """The bins that have images, from the lowest confidence to the highest."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = _bins(confidence)
    found = []
    for number in np.unique(bins):
        inside = bins == number
        n, hits = int(inside.sum()), int(right[inside].sum())
        found.append(ReliabilityBin(n, float(confidence[inside].mean()), hits / n, wilson(hits, n)))
    return found


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """The 95% interval of the difference of two independent proportions, by the hybrid of their Wilson intervals.

    Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10.

    Args:
        first: Successes, and of how many.
        second: The same; the difference is first minus second.
    """
    (l1, u1), (l2, u2) = wilson(*first), wilson(*second)
    p1, p2 = first[0] / first[1], second[0] / second[1]
    low = p1 - p2 - float(np.hypot(p1 - l1, u2 - p2))
    high = p1 - p2 + float(np.hypot(u1 - p1, p2 - l2))
    return low, high


def confidence_sentence(probabilities: np.ndarray, labels: np.ndarray) -> str:
    """Whether it is as sure as it is right, on the whole."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    mean, error = float(surplus.mean()), float(surplus.std() / np.sqrt(len(surplus)))
    said = (
        f"On average its highest probability is {confidence.mean():.1%}, and it is right in "
        f"{np.mean(probabilities.argmax(axis=1) == labels):.1%}"
    )
    if abs(mean) <= 1.96 * error:
        return f"{said}: as sure as it should be, as far as {len(labels):,} images can show."
    return f"{said}: it is {'surer' if mean > 0 else 'less sure'} than it should be, by {100 * abs(mean):.1f} points."


def _balanced_accuracy(matrices: np.ndarray) -> np.ndarray:
    """For each matrix: (m, classes, classes) -> (m,)."""
    true = matrices.sum(axis=2)
    recalls = np.divide(_right(matrices), true, out=np.full(true.shape, np.nan), where=true > 0)
    return np.nanmean(recalls, axis=1)


def _macro_f1(matrices: np.ndarray) -> np.ndarray:
    """For each matrix: (m, classes, classes) -> (m,)."""
    both = matrices.sum(axis=1) + matrices.sum(axis=2)
    f1 = np.divide(2 * _right(matrices), both, out=np.full(both.shape, np.nan), where=both > 0)
    return np.nanmean(f1, axis=1)


def _right(matrices: np.ndarray) -> np.ndarray:
    """The diagonals: (m, classes, classes) -> (m, classes)."""
    return np.diagonal(matrices, axis1=1, axis2=2)


def _bins(confidence: np.ndarray) -> np.ndarray:
    """(n,) in (0, 1] -> (n,) numbers of bins."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Figure:
    confidence = probabilities.max(axis=1).astype(np.float64)
    # What an image adds to its bin's surplus of confidence over accuracy.
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    bins = _bins(confidence)

    def error(index: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins[index], surplus[index], BINS)).sum() / len(index))

    n = len(labels)
    drawn = [error(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    return Figure(error(np.arange(n)), _percentiles(np.array(drawn)))


def _resampled(values: np.ndarray, of: Callable[..., np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(n,) -> (RESAMPLES,) of the statistic over images that were drawn with replacement."""
    n = len(values)
    return np.concatenate(
        [of(values[rng.integers(0, n, (_CHUNK, n))], axis=1) for _ in range(RESAMPLES // _CHUNK)]
    )


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
