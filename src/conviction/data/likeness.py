"""How alike two pictures are, by what a network sees in them or by their pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from conviction.data.image_set import ImageSet

CHUNK, BLOCK = 256, 2048  # pairs at a time, and pairs whose pictures are transformed together
LEAST_BY_FEATURES = 0.65
# Of pairs of one class, 1 in 740 reaches it in TrashNet, some of which show one object, and 1 of 17,700 in CIFAR-10;
# of 234 neighbouring crops of one photograph, all. It keeps pictures apart that are only sorted by kind.
"""Smallest similarity of features within a class that links two pictures."""
LEAST_BY_PIXELS = 0.85
"""Smallest correlation of pixels that links two pictures."""
SIDE, WINDOW, PADDED = 16, 10, 32
SCALES = (13, 16, 20)
"""The middle 10x10 pixels of one picture are sought in the other, at these sizes: 0.8 to 1.25 times its own."""


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are.

    Attributes:
        eyes: What decides.
        of: From (m, 2) int64 pairs of one class to (m,) float32, 1 for the same picture; it may use labels.
        vectors: (n, d) float32 of unit length, without use of labels: their products are similarities.
        least: Below this, two pictures are never taken for pictures of one session.
        network: Whose features they are, for people; empty for pixels.
        pictures: From (m,) int64 rows to (m, 224, 224, 3) uint8, as the network takes them; None for pixels.
    """

    eyes: Literal["features", "pixels"]
    of: Callable[[np.ndarray], np.ndarray]
    vectors: np.ndarray
    least: float
    network: str = ""
    pictures: Callable[[np.ndarray], np.ndarray] | None = None


def by_features(
    features: np.ndarray,
    labels: np.ndarray,
    network: str = "a network",
    pictures: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Likeness:
    """By the features of a network.

    Args:
        features: (n, d) float32.
        labels: (n,) int64. What all pictures of a class share says nothing about a pair of them, so it is taken off.
        network: As for ``Likeness``.
        pictures: As for ``Likeness``.
    """
    within = features.astype(np.float32)
    for label in np.unique(labels):
        within[labels == label] -= within[labels == label].mean(0)
    within = _unit(within)

    def of(pairs: np.ndarray) -> np.ndarray:
        return _in_chunks(lambda a, b: np.einsum("md,md->m", within[a], within[b]), pairs)

    vectors = _unit(features - features.mean(0))
    return Likeness("features", of, vectors, LEAST_BY_FEATURES, network, pictures)


def by_pixels(images: ImageSet) -> Likeness:
    """By the small copies of the pictures: how well the middle of one fits somewhere in the other."""
    thumbs = images.thumbs

    def of(pairs: np.ndarray) -> np.ndarray:
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(pairs), BLOCK):
            used, rows = np.unique(pairs[start : start + BLOCK], return_inverse=True)
            sought = _Sought(thumbs[used])
            parts.append(_in_chunks(sought.fit, rows.reshape(-1, 2)))
        return np.concatenate(parts)

    n, side, _, channels = thumbs.shape
    blocks = thumbs.reshape(n, 8, side // 8, 8, side // 8, channels)
    small = blocks.mean((2, 4), dtype=np.float32).reshape(n, -1)
    return Likeness("pixels", of, _unit(small - small.mean(1, keepdims=True)), LEAST_BY_PIXELS)


def _in_chunks(compare: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: np.ndarray) -> np.ndarray:
    parts = [pairs[i : i + CHUNK] for i in range(0, len(pairs), CHUNK)]
    return np.concatenate([np.empty(0, np.float32), *(compare(p[:, 0], p[:, 1]) for p in parts)])


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-9)).astype(np.float32)


def _resized(thumbs: np.ndarray, side: int) -> np.ndarray:
    """(n, 32, 32, c) uint8 to (n, side, side, c) float32."""
    out = np.empty((len(thumbs), side, side, thumbs.shape[3]), np.float32)
    for i, thumb in enumerate(thumbs):
        picture = Image.fromarray(thumb[..., 0] if thumb.shape[-1] == 1 else thumb)
        out[i] = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)).reshape(out[i].shape)
    return out


class _Sought:
    """Pictures as what is sought and as what it is sought in; correlations are products of Fourier transforms."""

    def __init__(self, thumbs: np.ndarray) -> None:
        first = (SIDE - WINDOW) // 2
        middle = _resized(thumbs, SIDE)[:, first : first + WINDOW, first : first + WINDOW]
        middle = middle - middle.mean((1, 2), keepdims=True)
        self.size = np.sqrt((middle**2).sum((1, 2, 3)))
        self.middle = _transformed(middle).conj()
        others = [_resized(thumbs, side) for side in SCALES]
        self.others = [_transformed(other) for other in others]
        self.spreads = [_spread(other) for other in others]

    def fit(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(m,) float32: the largest correlation of the middle of one of (m,) pictures with a window of the other."""
        return np.maximum(self._fit(a, b), self._fit(b, a))

    def _fit(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        from scipy.fft import irfft2

        best = np.full(len(a), -1.0, np.float32)
        for other, spread in zip(self.others, self.spreads, strict=True):
            count = spread.shape[1]
            spectrum = (self.middle[a] * other[b]).sum(1)
            products = irfft2(spectrum, (PADDED, PADDED))[:, :count, :count]
            # Where a window or the middle is flat, there is nothing to recognise.
            fits = products / np.maximum(spread[b] * self.size[a][:, None, None], WINDOW**2)
            best = np.maximum(best, fits.max((1, 2)))
        return best


def _transformed(pictures: np.ndarray) -> np.ndarray:
    """(n, k, k, c) float32 to (n, c, 32, 17) complex64."""
    from scipy.fft import rfft2

    return rfft2(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), (PADDED, PADDED))


def _spread(pictures: np.ndarray) -> np.ndarray:
    """(n, k, k, c) to (n, k - 9, k - 9): how far the pixels of each window are from its mean, as a length."""
    area, squares = WINDOW**2, _sums(pictures**2)
    return np.sqrt(np.maximum((squares - _sums(pictures) ** 2 / area).sum(3), 0)).astype(np.float32)


def _sums(pictures: np.ndarray) -> np.ndarray:
    """(n, k, k, c) to (n, k - 9, k - 9, c): the sum over each window."""
    sums = np.pad(pictures.astype(np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0), (0, 0)))
    rows = sums[:, WINDOW:] - sums[:, :-WINDOW]
    return rows[:, :, WINDOW:] - rows[:, :, :-WINDOW]
