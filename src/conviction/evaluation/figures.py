"""More figures than accuracy, each with a 95% interval: Wilson's for proportions, the bootstrap's for the rest."""

from __future__ import annotations

import numpy as np

from conviction.evaluation.bootstrap import (
    Counts,
    Figure,
    counts,
    generator,
    percentiles,
    resampled,
    resampled_counts,
)
from conviction.evaluation.calibration import calibration_error
from conviction.evaluation.intervals import wilson
from conviction.evaluation.metrics import cross_entropies

# A right answer among the first k says something only if there are many more.
TOP = {10: 3, 50: 5}


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
    rng = generator(n)
    predicted = probabilities.argmax(axis=1)
    here, drawn = counts(labels, predicted, classes), resampled_counts(labels, predicted, classes, rng)
    found = {
        name: Figure(float(of(here)[0]), percentiles(of(drawn)))
        for name, of in (("balanced_accuracy", Counts.balanced_accuracy), ("macro_f1", Counts.macro_f1))
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
        found[name] = Figure(float(values.mean()), percentiles(resampled(values, np.mean, rng)))
    return found | {"ece": calibration_error(probabilities, labels, rng)}
