"""Whether the network's confidence can be trusted, and temperature scaling, which may correct it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conviction.evaluation.bootstrap import RESAMPLES, Figure, percentiles
from conviction.evaluation.intervals import wilson
from conviction.evaluation.metrics import cross_entropies

# Bins of equal width, as in Guo et al. (2017).
BINS = 15
# Outside of these a network is not miscalibrated, but wrong, or always right.
COLDEST, HOTTEST = 0.1, 10.0
# With this p-value confidence and accuracy differ by more than chance explains.
SURE = 0.05
# Up to here the distribution of the right answers is calculated; beyond, it is normal.
EXACT = 1_000
# Below the smallest float32 a probability is 0, which has no finite logarithm.
_TINY = 1e-38


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


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[ReliabilityBin]:
    """The bins that have images, from the lowest confidence to the highest."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = _bins(confidence)
    filled = []
    for number in np.unique(bins):
        inside = bins == number
        n, hits = int(inside.sum()), int(right[inside].sum())
        filled.append(ReliabilityBin(n, float(confidence[inside].mean()), hits / n, wilson(hits, n)))
    return filled


def confidence_sentence(probabilities: np.ndarray, labels: np.ndarray) -> str:
    """Whether its confidence matches how often it is right, over all images."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = int((probabilities.argmax(axis=1) == labels).sum())
    mean = float(confidence.mean()) - right / len(labels)
    rates = (
        f"On average its highest probability is {confidence.mean():.1%}, and it is right in "
        f"{right / len(labels):.1%} of cases"
    )
    if _chance_of(right, confidence) >= SURE:
        images = f"{len(labels):,} image{'s' if len(labels) > 1 else ''}"
        return f"{rates}: as sure as it should be, as far as {images} can show."
    return f"{rates}: it is {'surer' if mean > 0 else 'less sure'} than it should be, by {100 * abs(mean):.1f} points."


def _chance_of(right: int, confidence: np.ndarray) -> float:
    """The two-sided p-value of ``right`` right answers if each is right with its own confidence."""
    if len(confidence) <= EXACT:
        # The Poisson binomial distribution, by convolution: (k,) -> (k + 1,) with each image.
        chances = np.ones(1)
        for p in np.clip(confidence, 0.0, 1.0):
            chances = np.convolve(chances, (1.0 - p, p))
        return float(min(1.0, 2 * min(chances[: right + 1].sum(), chances[right:].sum())))
    from scipy.stats import norm

    spread = float(np.sqrt((confidence * (1.0 - confidence)).sum()))
    distance = abs(right - float(confidence.sum()))
    return float(2 * norm.sf(distance / spread)) if spread else float(distance < 0.5)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Figure:
    """The expected calibration error: the mean distance of accuracy and confidence over bins (Guo et al., 2017)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    # What an image adds to its bin's surplus of confidence over accuracy.
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    bins = _bins(confidence)

    def error(index: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins[index], surplus[index], BINS)).sum() / len(index))

    n = len(labels)
    if n < 2:
        return Figure(error(np.arange(n)), None)
    drawn = [error(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    return Figure(error(np.arange(n)), percentiles(np.array(drawn)))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which these images have the lowest log loss (Guo et al., 2017, section 4.2).

    Args:
        probabilities: (n, classes) of images that the network has not learned from.
        labels: (n,) integers.

    Returns:
        In [0.1, 10]; above 1 makes the network less sure.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(cross_entropies(at_temperature(probabilities, np.exp(log_temperature)), labels).mean())

    optimum = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(optimum.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T), which is softmax(logits / T): (n, classes) -> (n, classes) float64."""
    scaled = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def _bins(confidence: np.ndarray) -> np.ndarray:
    """(n,) in (0, 1] -> (n,) numbers of bins."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)
