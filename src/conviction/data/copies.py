"""Altered copies: pictures that show one photograph cropped, mirrored, lit or coloured in another way.

Pixels of small copies cannot be compared for these: what is in the middle of one is in a corner of the other.

1. Propose. Each picture with those that are most similar to it in the features of a network.
2. Seek. The middle of one is sought in the other, plain and mirrored, at sizes from all of it to half: by normalised
   correlation, whose products are made by Fourier transforms (Lewis, "Fast Normalized Cross-Correlation", 1995).
3. Confirm. Laid over each other by scale and shift, both must have the same fine structure at the same pixels, in all
   that both show. Another photograph of the same thing has it elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from conviction.data.alignment import agreement, align, blurred, halved, luminance, smoothed, warped
from conviction.data.likeness import Likeness
from conviction.data.neighbours import nearest

METHOD = 1
"""Version of the method: it changes whenever the pairs may differ, because runs keep them."""

PROPOSED = 10
"""The most similar pictures with which each is compared."""
VIEW, COARSE, SIDE = 112, 56, 32
"""Pixels along each side of gray pictures: as they are in memory, for the search, and after it for a first look."""
WINDOW = 70
"""Pixels along each side of the middle, of ``VIEW``."""
SIZES = (35, 30, 26, 23, 20, 17)
"""Sizes of the middle in ``COARSE``, for crops to 1, 0.86, ... 0.49 of a side; alignment spans what is between."""
SOUGHT, GLANCE = 0.6, 0.6
"""Smallest correlations of what is looked at closely: where the middle lies, and there without light and shade."""
CLOSE = 64
"""Pixels along each side of all that two pictures share, for the close look."""
MATCH = 0.90
# Of planted crops 96% reach it. Of TrashNet's own pairs, those between 0.7 and 0.9 were caps, bottles and jars of one
# kind; those above, by eye, the same photograph or one taken from the same place in another light.
"""Smallest correlation of the fine structure of all that two pictures share."""
SHARED, CONTRAST = 0.3, 2.0
"""Smallest share of pixels that are neither black nor white, and gray levels of structure that noise explains."""
BLACK, WHITE = 4, 250
NULL_RANKS, NULL_PAIRS = (31, 60), 2_000
"""Neighbours that are alike and hardly ever copies, by rank, and how many pairs of them show what chance does."""
BY_CHANCE, LEAST_CHANCE = 0.1, 3
"""Largest share of the copies that chance may explain, and how many pairs show it; beyond that, none are believed."""
CHUNK, BLOCK = 128, 256  # pairs that are compared, and pictures that are made gray, at a time


def find_altered_copies(likeness: Likeness, kept: np.ndarray) -> np.ndarray | None:
    """Finds the pairs of pictures that show one photograph.

    Args:
        likeness: By features, with pictures.
        kept: (k,) int64, the pictures that count.

    Returns:
        (m, 2) int64, the smaller number first, sorted; None where the pictures are so much alike that chance would
        make many of the pairs.
    """
    pictures = likeness.pictures
    pairs, null = _propose(likeness.vectors, kept)
    if not len(pairs) or pictures is None:
        return pairs[:0]
    views = np.zeros((len(likeness.vectors), VIEW, VIEW), np.uint8)
    for start in range(0, len(kept), BLOCK):
        rows = kept[start : start + BLOCK]
        views[rows] = _gray_views(pictures(rows))

    def confirmed(pairs: np.ndarray) -> np.ndarray:
        chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
        return np.concatenate(
            [pairs[:0], *pool.map(lambda chunk: _confirmed(views, chunk, pictures), chunks)]
        )

    # Our own threads do the products and all the rest; the threads of BLAS would wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        copies = confirmed(pairs)
        chance = len(confirmed(null))
    expected = chance / max(len(null), 1) * len(pairs)
    return None if chance >= LEAST_CHANCE and expected > BY_CHANCE * len(copies) else copies


def _propose(vectors: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, 2) pairs of each picture with its most similar ones, each once and sorted; and (k, 2) that chance makes."""
    first, last = NULL_RANKS
    neighbours, _ = nearest(vectors[kept], last)

    def paired(columns: np.ndarray) -> np.ndarray:
        rows = np.repeat(np.arange(len(kept)), columns.shape[1])
        pairs = np.stack([rows, columns.ravel()], axis=1)
        return np.unique(np.sort(kept[pairs[pairs[:, 1] >= 0]], axis=1), axis=0)

    null = paired(neighbours[:, first - 1 :])
    chosen = np.random.Generator(np.random.Philox(METHOD)).permutation(len(null))[:NULL_PAIRS]
    return paired(neighbours[:, :PROPOSED]), null[np.sort(chosen)]


def _gray_views(pixels: np.ndarray) -> np.ndarray:
    """(n, 224, 224, 3) uint8 to (n, 112, 112) uint8."""
    gray = luminance(pixels)
    n, height, width = gray.shape
    return np.rint(gray.reshape(n, VIEW, height // VIEW, VIEW, width // VIEW).mean((2, 4))).astype(np.uint8)


def _confirmed(
    views: np.ndarray, pairs: np.ndarray, pictures: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Those of (m, 2) pairs that show one photograph."""
    used, rows = np.unique(pairs, return_inverse=True)
    rows = rows.reshape(-1, 2)
    overlay = _laid_over(views[used].astype(np.float32), rows)
    pairs = pairs[overlay.pair]
    match = np.empty(len(pairs), np.float32)
    for k, frames in enumerate(overlay.frames()):
        inner, outer = pictures(pairs[k][:: -1 if overlay.turned[k] else 1])
        match[k] = _fine_match(inner[:, ::-1] if overlay.mirrored[k] else inner, outer, *frames)
    return pairs[match >= MATCH]


class _Overlay(NamedTuple):
    """How one picture of each pair lies over the other, for (m,) pairs that seem to show one photograph.

    ``pair`` is the number of the pair, ``turned`` whether its second picture lies inside the first, and ``mirrored``
    whether it must be mirrored to do so. Along each axis, (m, 2), ``middle`` and ``half`` say where the middle of the
    inner one lies in the outer one, in its widths.
    """

    pair: np.ndarray
    turned: np.ndarray
    mirrored: np.ndarray
    middle: np.ndarray
    half: np.ndarray

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each pair what both show, as (2, 2) axes by first and last in widths: of the inner, of the outer one."""
        reach = VIEW / WINDOW  # the whole of the inner picture, in halves of its middle
        for middle, half in zip(self.middle, self.half, strict=True):
            outer = np.clip(np.stack([middle - reach * half, middle + reach * half], axis=1), 0, 1)
            inner = 0.5 + 0.5 * (outer - middle[:, None]) / half[:, None] / reach
            yield inner, outer


def _laid_over(gray: np.ndarray, rows: np.ndarray) -> _Overlay:
    """Seeks the pictures of (m, 2) pairs in each other and takes a first look, given (u, 112, 112) float32."""
    sought = _Middles(gray)
    there, back = sought.best(rows[:, 0], rows[:, 1]), sought.best(rows[:, 1], rows[:, 0])
    turned = back.score > there.score
    best = _Position(*(np.where(turned, b, t) for t, b in zip(there, back, strict=True)))
    pair = np.flatnonzero(best.score >= SOUGHT)
    turned, best = turned[pair], _Position(*(values[pair] for values in best))
    inner, outer = (rows[pair, column] for column in (turned.astype(int), 1 - turned))
    one = _shrunk(_middle(gray)[inner], SIDE)
    one[best.mirrored] = one[best.mirrored][:, :, ::-1]
    other = np.empty_like(one)
    for number, size in enumerate(SIZES):
        for k in np.flatnonzero(best.size == number):
            top, left = 2 * best.row[k], 2 * best.column[k]
            other[k] = _shrunk(gray[outer[k], top : top + 2 * size, left : left + 2 * size], SIDE)
    x, y = _unshaded(one), _unshaded(other)
    warp, _ = align(halved(x), halved(y), np.zeros((len(one), 2, 2), np.float32), 3)
    warp, _ = align(x, y, warp, 3)
    one, other = smoothed(one), smoothed(other)
    moved, weight = warped(other, warp)
    detail, _ = agreement(one - blurred(one), moved - blurred(moved), weight)
    alike = detail >= GLANCE
    half = np.array(SIZES)[best.size][:, None] / (2 * COARSE)
    corner = np.stack([best.row, best.column], axis=1) / COARSE
    middle = corner + half + half * warp[:, :, 1]
    half = half * (1 + warp[:, :, 0])
    return _Overlay(*(values[alike] for values in (pair, turned, best.mirrored, middle, half)))


def _fine_match(one: np.ndarray, other: np.ndarray, frame: np.ndarray, other_frame: np.ndarray) -> float:
    """How well the fine structure of two (224, 224, 3) uint8 pictures agrees within their frames.

    Contrast counts the same everywhere, so that light does not matter; the colours of the other are mixed to the gray
    that fits best, so that colouring does not; and what is black or white in one of them does not count.
    """
    x = _cut(luminance(one)[..., None], frame)  # (1, 64, 64)
    colours = _cut(other.astype(np.float32), other_frame)  # (3, 64, 64)
    y = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), colours, 1)[None]
    warp, _ = align(_unshaded(x), _unshaded(y), np.zeros((1, 2, 2), np.float32), 4)
    y, weight = warped(y, warp)
    weight = weight * ((x > BLACK) & (x < WHITE) & (y > BLACK) & (y < WHITE)) + np.float32(1e-6)
    if weight.mean() < SHARED:
        return 0.0
    x = _structure(smoothed(x), weight)
    mixed = _structure(warped(smoothed(colours), np.repeat(warp, 3, 0))[0], weight)
    a = (mixed * np.sqrt(weight)).reshape(3, -1)
    b = (x * np.sqrt(weight)).ravel()
    shares = np.linalg.solve(a @ a.T + np.eye(3, dtype=np.float32) * b.size / 4, a @ b)
    y = np.tensordot(shares, mixed, 1)[None]
    x, y = _evened(x, weight), _evened(y, weight)
    xx, yy, xy = (float((weight * p * q).sum()) for p, q in ((x, x), (y, y), (x, y)))
    return xy / np.sqrt(max(xx * yy, 1e-9))


def _unshaded(pictures: np.ndarray) -> np.ndarray:
    """(m, s, s) without light and shade, so that these move nothing."""
    side = pictures.shape[-1]
    blur, pictures = _blurring(side, side / 8), smoothed(pictures)
    return pictures - blur @ pictures @ blur.T


def _cut(picture: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(h, w, c) to (c, 64, 64) float32: what lies in the frame, axes by first and last in widths."""
    rows, columns = (_shrinking(picture.shape[0], CLOSE, *axis) for axis in frame)
    return rows @ picture.transpose(2, 0, 1) @ columns.T


def _structure(pictures: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(m, 64, 64) less what is around each pixel, where there is weight."""
    blur = _blurring(CLOSE, 2.0)
    return (pictures - (blur @ (pictures * weight) @ blur.T) / (blur @ weight @ blur.T)) * (weight > 1e-3)


def _evened(structure: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(1, 64, 64) divided by how much structure there is around each pixel."""
    blur = _blurring(CLOSE, 4.0)
    energy = (blur @ (structure**2 * weight) @ blur.T) / (blur @ weight @ blur.T)
    return structure / np.sqrt(energy + CONTRAST**2)


def _middle(views: np.ndarray) -> np.ndarray:
    first = (VIEW - WINDOW) // 2
    return views[:, first : first + WINDOW, first : first + WINDOW]


def _shrinking(size: int, to: int, first: float = 0.0, last: float = 1.0) -> np.ndarray:
    """(to, size) float32: weights of an antialiased bilinear filter, for what lies between two widths."""
    step = (last - first) * size / to
    centres = first * size + (np.arange(to) + 0.5) * step - 0.5
    weights = np.maximum(1 - np.abs(np.arange(size) - centres[:, None]) / max(step, 1.0), 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=64)
def _shrinking_all(size: int, to: int) -> np.ndarray:
    return _shrinking(size, to)


@lru_cache(maxsize=4)
def _blurring(size: int, deviation: float) -> np.ndarray:
    """(size, size) float32: weights of a Gaussian."""
    distance = np.abs(np.arange(size)[:, None] - np.arange(size))
    weights = np.exp(-0.5 * (distance / deviation) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _shrunk(pictures: np.ndarray, side: int) -> np.ndarray:
    """(..., s, s) to (..., side, side) float32."""
    weights = _shrinking_all(pictures.shape[-1], side)
    return weights @ pictures @ weights.T


class _Position(NamedTuple):
    """Where (m,) middles lie in other pictures: correlation, number of the size, corner in ``COARSE``, mirrored."""

    score: np.ndarray
    size: np.ndarray
    row: np.ndarray
    column: np.ndarray
    mirrored: np.ndarray


class _Middles:
    """Pictures as what is sought and as what it is sought in."""

    def __init__(self, gray: np.ndarray) -> None:
        """From (u, 112, 112) float32."""
        whole = _shrunk(gray, COARSE)
        whole -= whole.mean((1, 2), keepdims=True)
        self.whole = _transformed(whole)
        middle = _middle(gray)
        self.middles, self.spreads = [], []
        for size in SIZES:
            small = _shrunk(middle, size)
            small -= small.mean((1, 2), keepdims=True)
            length = np.sqrt((small**2).sum((1, 2), keepdims=True))
            small /= np.maximum(length, size)  # one gray level: where a middle is flat, nothing is recognised
            self.middles.append(tuple(_transformed(picture).conj() for picture in (small, small[:, :, ::-1])))
            self.spreads.append(_spread(whole, size))

    def best(self, inner: np.ndarray, outer: np.ndarray) -> _Position:
        """Where the middles of (m,) pictures fit best in (m,) others."""
        from scipy.fft import irfft2

        m = len(inner)
        size, row, column = (np.zeros(m, np.int64) for _ in range(3))
        best = _Position(np.full(m, -1.0, np.float32), size, row, column, np.zeros(m, bool))
        for number, (spectra, spread) in enumerate(zip(self.middles, self.spreads, strict=True)):
            count = spread.shape[1]
            for mirrored, spectrum in enumerate(spectra):
                fits = irfft2(spectrum[inner] * self.whole[outer], (COARSE, COARSE))[:, :count, :count]
                fits = (fits * spread[outer]).reshape(m, -1)
                at = fits.argmax(1)
                score = fits[np.arange(m), at]
                better = np.flatnonzero(score > best.score)
                top, left = np.divmod(at[better], count)
                for values, new in zip(best, (score[better], number, top, left, mirrored), strict=True):
                    values[better] = new
        return best


def _transformed(pictures: np.ndarray) -> np.ndarray:
    """(u, k, k) float32 to (u, 56, 29) complex64."""
    from scipy.fft import rfft2

    return rfft2(np.ascontiguousarray(pictures), (COARSE, COARSE))


def _spread(pictures: np.ndarray, size: int) -> np.ndarray:
    """(u, 56, 56) to (u, 57 - size, 57 - size): one over the length of each window less its mean."""
    squares = _sums(pictures**2, size) - _sums(pictures, size) ** 2 / size**2
    return (1 / np.sqrt(np.maximum(squares, size**2))).astype(np.float32)


def _sums(pictures: np.ndarray, size: int) -> np.ndarray:
    sums = np.pad(pictures.astype(np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    rows = sums[:, size:] - sums[:, :-size]
    return rows[:, :, size:] - rows[:, :, :-size]
