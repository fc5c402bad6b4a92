"""Whitening of small patches of pixels: a first layer fitted on training images, which then stays as it is.

Krizhevsky (2009, "Learning Multiple Layers of Features from Tiny Images", appendix E) whitens pictures; a convolution
that whitens patches in front of a network is Page's (2019, "How to Train Your ResNet 8") and Jordan's (2024,
arXiv:2404.00498).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conviction.config.model import ModelSpec, Whitening

if TYPE_CHECKING:
    import keras

# Patches to fit on, about: the covariance of 12 numbers needs no more.
MOST_PATCHES = 5_000_000
# This share of the mean eigenvalue is added to each, so that noise in a direction without contrast stays noise.
DAMPING = 5e-4


def whiten(model: keras.Sequential, spec: ModelSpec, pixels: np.ndarray, indices: np.ndarray) -> None:
    """Fits the whitening of a network to its training images; does nothing where it has none.

    Args:
        model: From ``build``.
        spec: Of it.
        pixels: (n, h, w, c) uint8, all images.
        indices: Which of them are trained on.
    """
    if is_whitened(spec):
        layer = model.layers[1]  # after the scaling of pixels
        layer.set_weights(whitening_weights(pixels, indices, layer.kernel_size))


def is_whitened(spec: ModelSpec) -> bool:
    """Whether a network begins with a whitening."""
    return bool(spec.layers) and isinstance(spec.layers[0], Whitening)


def whitening_weights(
    pixels: np.ndarray, indices: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Kernels whose outputs, over the patches of training images, have mean 0, variance 1 and no correlation.

    Args:
        pixels: (n, h, w, c) uint8.
        indices: Which images, at least one; those used are evenly spaced among them.
        size: Rows and columns of a patch.

    Returns:
        The kernels (rows, columns, c, 2 m) float32 for pixels from 0 to 1, with m = rows * columns * c, the direction
        of the largest variance first and the negatives of all after the last; and the biases (2 m,) float32.
    """
    (rows, columns), (height, width, channels) = size, pixels.shape[1:]
    across, down = width - columns + 1, height - rows + 1
    most = max(1, MOST_PATCHES // (across * down))
    chosen = indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(np.int64)]
    m = rows * columns * channels
    count, total, products = 0, np.zeros(m), np.zeros((m, m))
    for index in np.sort(chosen):
        corners = [
            pixels[index, y : y + down, x : x + across].reshape(-1, channels)
            for y in range(rows)
            for x in range(columns)
        ]
        # Sums of whole numbers are exact in float64, so their order does not matter.
        patches = np.concatenate(corners, axis=1).astype(np.float64)  # (down * across, m)
        count += len(patches)
        total += patches.sum(axis=0)
        products += patches.T @ patches
    mean = total / count
    covariance = (products / count - np.outer(mean, mean)) / 255.0**2
    variances, directions = np.linalg.eigh(covariance)  # ascending; directions in columns
    variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    # An eigenvector has no sign of its own: its largest part is made positive.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(m)])
    kernels = directions / np.sqrt(variances + DAMPING * variances.mean() + 1e-8)
    kernels = np.concatenate([kernels, -kernels], axis=1)  # (m, 2 m)
    biases = -(mean / 255.0) @ kernels
    return kernels.reshape(rows, columns, channels, 2 * m).astype(np.float32), biases.astype(np.float32)
