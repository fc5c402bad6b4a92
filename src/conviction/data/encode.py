"""Labels as the loss wants them."""

from __future__ import annotations

import numpy as np


def encode_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Encodes integer labels (n,) as float32 targets.

    Args:
        labels: (n,) integers in [0, classes).
        classes: At least 2.

    Returns:
        One-hot (n, classes) for three classes or more, for softmax and categorical cross-entropy; (n, 1)
        of 0 and 1 for two, for one sigmoid unit and binary cross-entropy.

    >>> encode_labels(np.array([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    >>> encode_labels(np.array([0, 1]), 2).tolist()
    [[0.0], [1.0]]
    """
    if classes == 2:
        return labels.astype(np.float32)[:, np.newaxis]  # (n,) -> (n, 1)
    return np.eye(classes, dtype=np.float32)[labels]  # (n,) -> (n, classes)
