"""Pixels to probabilities, one column per class, whatever the network's last layer looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from conviction.model.views import views_of

if TYPE_CHECKING:
    import keras

BATCH = 500


def predict_probabilities(
    model: keras.Sequential, pixels: np.ndarray, indices: np.ndarray | None = None, views: int = 1
) -> np.ndarray:
    """Runs the network in inference mode.

    Args:
        model: From ``build``, or loaded from ``model.keras``.
        pixels: (n, h, w, c) uint8.
        indices: Which of them, default all; only a batch at a time is copied.
        views: Over how many versions of each picture to average; see ``views_of``.

    Returns:
        (len(indices), classes) float32, rows summing to 1. A single sigmoid unit p becomes (1 - p, p).
    """
    chosen = np.arange(len(pixels)) if indices is None else indices
    versions = views_of(views, *pixels.shape[1:3]) if views > 1 else [None]

    def answers(batch: np.ndarray) -> np.ndarray:
        by_view = [np.asarray(model.predict_on_batch(view.of(batch) if view else batch)) for view in versions]
        return average(by_view)

    parts = [answers(pixels[chosen[i : i + BATCH]]) for i in range(0, len(chosen), BATCH)]
    width = model.output_shape[-1]
    out = np.concatenate(parts) if parts else np.empty((0, width), np.float32)
    if width == 1:
        out = np.concatenate([1.0 - out, out], axis=1)  # (n, 1) -> (n, 2)
    return out


def average(by_view: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the answers for the versions of the same pictures, each (n, k) float32."""
    return sum(by_view[1:], by_view[0]) / np.float32(len(by_view)) if len(by_view) > 1 else by_view[0]


def divide_logits(model: keras.Sequential, temperature: float) -> None:
    """Temperature scaling (Guo et al., 2017) inside the network: softmax(Wx + b) becomes softmax((Wx + b) / T).

    Its answers stay the same, and wherever the model goes, its probabilities are the calibrated ones.

    Args:
        model: From ``build``, whose last layer is the output.
        temperature: Above 0; above 1 makes it less sure.
    """
    output = model.layers[-1]
    output.set_weights([weights / temperature for weights in output.get_weights()])
