"""Near-duplicate pictures: a perceptual hash proposes pairs, a comparison after alignment confirms them.

Two pictures are near-duplicates where one is the other re-encoded, resized, brightened, mirrored or cropped
by a few percent, or where both are the same photograph. Everything works on thumbnails of 32x32.

1. Propose. The lowest 8x8 coefficients of the discrete cosine transform of the luminance, as in pHash
   (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), but kept as numbers
   instead of signs. What all pictures of the set share says nothing about a pair, so the set's mean is taken
   off and its covariance is whitened. Mirroring flips the sign of the odd horizontal frequencies: with the
   even and odd ones apart, a pair's correlation is e + o, and e - o where one picture is mirrored, so one
   product over all pairs finds both.
2. Confirm. One picture is aligned to the other by scale and shift along each axis (Lucas & Kanade, "An
   Iterative Image Registration Technique with an Application to Stereo Vision", 1981), together with
   brightness and contrast, first at 16x16, then at 32x32. Where they overlap, the luminance, the fine
   structure alone, and the colours must agree.

The work is done in the order of the thumbnails' digests, so that the order of the pictures does not matter.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from conviction.data.alignment import (
    SIDE,
    agreement,
    align,
    blurred,
    halved,
    luminance,
    smoothed,
    warped,
)

METHOD = 1
"""Version of the method: it changes whenever the pairs may differ, because they are kept on disk."""

MIN_DEVIATION = 2.0
"""Gray levels; below, a picture is all but constant, and what is left of it is noise of the encoder."""

LOW = 8
"""Frequencies per axis in the descriptor: more would lose copies cropped by 5%, fewer separate pictures less well."""
WHITENING = 0.75
"""0 keeps the spectrum as it is, 1 makes all coefficients count alike. Between them lost the fewest crops."""
PRIOR_WEIGHT = 1000.0
"""Pictures' worth of the 1/f prior in the covariance, for sets too small to tell."""
ALIKE = 0.42, 0.54
# Up to the lower value a set's pictures are unlike, from the higher on they are look-alikes.
"""Correlation of descriptors that 2% of all pairs reach: 0.34 in CIFAR-10, 0.53 in MNIST, 0.56 in Fashion-MNIST."""
PROPOSE = 0.70, 0.94
# 97% of crops by 5% reach the lower; 95% of what TEXTURE_MATCH leaves of Fashion-MNIST, the higher.
"""Smallest correlation of descriptors for a proposal, among unlike pictures and among look-alikes."""
PROPOSALS_PER_PICTURE = 5.0
"""Most proposals to look at: in large sets the limit rises until only these are left."""
SAMPLE = 4096
"""Pictures from which the number of proposals, and how alike the pictures are, are estimated."""

COARSE_MATCH = 0.90
FINE_MATCH = 0.95
"""Smallest correlation of luminance after alignment, at 16x16 and at 32x32."""
DETAIL_MATCH = 0.85
"""Smallest correlation without light and shade. Copies cropped by 5% have 0.95, ships at sea 0.6 to 0.8."""
TEXTURE_MATCH = 0.70, 0.98
# Copies not cropped have 0.96 and more, those cropped by 5% lose some by resampling (0.9). In Fashion-MNIST,
# any two trousers agree in all but texture, and only the higher limit parts them.
"""Smallest correlation of the finest structure, in a set of unlike pictures and in one of look-alikes."""
NOISE = 1.0
"""Gray levels of texture that an encoder makes up: where there is no more, it need not agree."""
COLOUR_SHARE = 0.35
COLOUR_LEVELS = 6.0
"""Largest difference in colour: a share of the colour there is, and gray levels on top for JPEG's losses."""
BLOCK, TILE, CHUNK = 2048, 512, 256  # pictures, pictures along each side, and pairs at a time
COARSE_STEPS, FINE_STEPS = 3, 3


@dataclass(frozen=True)
class NearPairs:
    """Pairs of pictures that are near-duplicates of each other.

    Attributes:
        first: (m,) int64, the picture that comes first; pairs are sorted by ``first``, then ``second``.
        second: (m,) int64, always larger than ``first``.
        similarity: (m,) float32 in [0, 1]: correlation of the luminance after alignment; 1 for exact copies.
        mirrored: (m,) bool, whether one is the other's mirror image.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray


def find_near_duplicates(thumbs: np.ndarray) -> NearPairs:
    """Finds all pairs of near-duplicates among the pictures of a set.

    Of k exact copies only k - 1 pairs are given, each with the first of them; the pairs that a copy has with
    other pictures are given for that first one. Pictures that are all but constant are in no pair.

    Args:
        thumbs: (n, 32, 32, 1 or 3) uint8, each picture stretched to 32x32; may be a memory map.

    Returns:
        The pairs; the same whatever the order of the pictures, but for their numbers.
    """
    if thumbs.ndim != 4 or thumbs.shape[1:3] != (SIDE, SIDE) or thumbs.shape[3] not in (1, 3):
        raise ValueError(f"expected thumbnails of shape (n, 32, 32, 1 or 3); got {thumbs.shape}.")
    digests, coefficients, deviation = _scan(thumbs)
    usable = np.flatnonzero(deviation >= MIN_DEVIATION)
    _, first, group = np.unique(digests[usable], return_index=True, return_inverse=True)
    distinct = usable[first]  # the first copy of each, in the order of digests
    copies = np.setdiff1d(usable, distinct, assume_unique=True)
    originals = distinct[group[np.searchsorted(usable, copies)]]
    even, odd = _descriptors(coefficients[distinct])
    # Our own threads do the products and all the rest; the threads of BLAS would wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        limit, texture = _limits(even, odd)
        proposed = _propose(even, odd, limit, pool)
        near, similarity = _confirm(thumbs, distinct, proposed, texture, pool)
    return _pairs(
        np.concatenate([distinct[near.a], originals]),
        np.concatenate([distinct[near.b], copies]),
        np.concatenate([similarity, np.ones(len(copies), np.float32)]),
        np.concatenate([near.mirrored, np.zeros(len(copies), bool)]),
    )


def _pairs(one: np.ndarray, other: np.ndarray, similarity: np.ndarray, mirrored: np.ndarray) -> NearPairs:
    """Sorts pairs; of a pair found both plain and mirrored, the more similar stays."""
    first, second = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((mirrored, -similarity, second, first))
    first, second = first[order].astype(np.int64), second[order].astype(np.int64)
    keep = np.ones(len(first), bool)
    keep[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    return NearPairs(first[keep], second[keep], similarity[order][keep], mirrored[order][keep])


def _scan(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) uint64 digests, (n, 63) float32 low coefficients without the mean, (n,) deviations."""
    n = len(thumbs)
    digests = np.empty(n, np.uint64)
    coefficients = np.empty((n, LOW * LOW - 1), np.float32)
    deviation = np.empty(n, np.float32)
    angles = np.pi / SIDE * (np.arange(SIDE) + 0.5) * np.arange(LOW)[:, None]
    cosines = np.cos(angles).astype(np.float32)
    for start in range(0, n, BLOCK):
        block = np.ascontiguousarray(thumbs[start : start + BLOCK])
        stop = start + len(block)
        packed = b"".join(hashlib.blake2b(image.data, digest_size=8).digest() for image in block)
        digests[start:stop] = np.frombuffer(packed, np.uint64)
        gray = luminance(block)
        deviation[start:stop] = gray.std((1, 2))
        coefficients[start:stop] = (cosines @ gray @ cosines.T).reshape(-1, LOW * LOW)[:, 1:]
    return digests, coefficients, deviation


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _descriptors(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 31) and (n, 32) float32: even and odd horizontal frequencies, together of unit length."""
    vertical, horizontal = (grid.ravel()[1:] for grid in np.mgrid[:LOW, :LOW])
    rows = _unit(coefficients)
    whitened = []
    for parity in (0, 1):
        columns = np.flatnonzero(horizontal % 2 == parity)
        part = rows[:, columns]
        if parity == 0 and len(part):  # odd ones have a mean of 0 in a set with its mirror images
            weight = len(part) / (len(part) + PRIOR_WEIGHT)
            part = part - np.float32(weight) * part.mean(0, dtype=np.float64).astype(np.float32)
        prior = 1.0 / (vertical[columns] ** 2 + horizontal[columns] ** 2)
        whitened.append(part @ _whitener(part, prior))
    joint = _unit(np.concatenate(whitened, axis=1))
    split = whitened[0].shape[1]
    return np.ascontiguousarray(joint[:, :split]), np.ascontiguousarray(joint[:, split:])


def _whitener(part: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(k, k) float32 that takes off ``WHITENING`` of the covariance of (n, k) rows."""
    scatter = np.zeros((part.shape[1], part.shape[1]))
    for start in range(0, len(part), BLOCK):
        block = part[start : start + BLOCK]
        scatter += block.T @ block
    spread = np.trace(scatter) / max(len(part), 1) or 1.0
    covariance = (scatter + PRIOR_WEIGHT * np.diag(prior / prior.sum() * spread)) / (len(part) + PRIOR_WEIGHT)
    values, vectors = np.linalg.eigh(covariance)
    return ((vectors * values ** (-WHITENING / 2)) @ vectors.T).astype(np.float32)


def _limits(even: np.ndarray, odd: np.ndarray) -> tuple[float, float]:
    """From a sample of pairs: the correlation that makes a proposal, and what texture must agree.

    The first leaves ``PROPOSALS_PER_PICTURE``. The second asks more where unrelated pictures are alike.
    """
    n = len(even)
    sample = min(n, SAMPLE)  # digests are as good as random, so the first are a fair sample
    scores = [np.empty(0, np.float32)]
    for start in range(0, sample, TILE):
        rows = slice(start, min(start + TILE, sample))
        both = even[rows] @ even[:sample].T
        both += np.abs(odd[rows] @ odd[:sample].T)
        scores.append(both[np.triu(np.ones(both.shape, bool), start + 1)])
    ranked = np.sort(np.concatenate(scores))
    allowed = int(PROPOSALS_PER_PICTURE * sample * (sample - 1) / max(n - 1, 1))
    # Minus the number of true copies there may be: some small sets consist of them.
    unrelated = ranked[: max(len(ranked) - int(PROPOSALS_PER_PICTURE * sample), 0)]
    alike = float(unrelated[int(0.98 * len(unrelated))]) if len(unrelated) else 0.0
    limit = float(np.interp(alike, ALIKE, PROPOSE))
    if len(ranked) > allowed:
        limit = max(limit, float(ranked[-1 - allowed]))
    return limit, float(np.interp(alike, ALIKE, TEXTURE_MATCH))


class Proposals(NamedTuple):
    """(m,) int64 rows of the descriptors, (m,) int64 other rows, (m,) bool whether mirrored."""

    a: np.ndarray
    b: np.ndarray
    mirrored: np.ndarray


NONE = Proposals(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))


def _propose(even: np.ndarray, odd: np.ndarray, limit: float, pool: ThreadPoolExecutor) -> Proposals:
    """All pairs whose descriptors correlate as much as the limit asks."""
    n = len(even)

    def search(top: int) -> Proposals:
        # Memory is allocated once a strip: doing so for each tile takes longer than the products.
        strip, proposals = even[top : top + TILE], [NONE]
        sums, signed, sizes = (np.empty(TILE * len(strip), np.float32) for _ in range(3))
        for left in range(top, n, TILE):
            shape = len(strip), min(TILE, n - left)
            e, o, size = (part[: shape[0] * shape[1]].reshape(shape) for part in (sums, signed, sizes))
            np.matmul(strip, even[left : left + TILE].T, out=e)
            np.matmul(odd[top : top + TILE], odd[left : left + TILE].T, out=o)
            np.add(np.abs(o, out=size), e, out=size)
            a, b = np.divmod(np.flatnonzero(size >= limit), shape[1])
            if top == left:
                a, b = a[a < b], b[a < b]
            plain, mirror = (np.flatnonzero(e[a, b] + sign * o[a, b] >= limit) for sign in (1, -1))
            both = np.r_[plain, mirror]
            proposals.append(Proposals(a[both] + top, b[both] + left, np.arange(len(both)) >= len(plain)))
        return _joined(proposals)

    return _joined([NONE, *pool.map(search, range(0, n, TILE))])


def _joined(parts: list[Proposals]) -> Proposals:
    return Proposals(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _confirm(
    thumbs: np.ndarray, distinct: np.ndarray, proposed: Proposals, texture: float, pool: ThreadPoolExecutor
) -> tuple[Proposals, np.ndarray]:
    """The proposals that hold after alignment, and their (m,) float32 similarity."""

    def check(start: int) -> tuple[np.ndarray, np.ndarray]:
        chunk = slice(start, start + CHUNK)
        one, other = thumbs[distinct[proposed.a[chunk]]], thumbs[distinct[proposed.b[chunk]]]
        other[proposed.mirrored[chunk]] = other[proposed.mirrored[chunk], :, ::-1]
        kept, similarity = _same_picture(one, other, texture)
        return kept + start, similarity

    checked = list(pool.map(check, range(0, len(proposed.a), CHUNK)))
    kept = np.concatenate([np.empty(0, np.int64), *(part for part, _ in checked)])
    similarity = np.concatenate([np.empty(0, np.float32), *(part for _, part in checked)])
    return Proposals(proposed.a[kept], proposed.b[kept], proposed.mirrored[kept]), similarity


def _same_picture(one: np.ndarray, other: np.ndarray, texture: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of (m, 32, 32, c) uint8 pairs show the same picture: (k,) int64 numbers, (k,) similarity."""
    kept = np.arange(len(one))
    x, y = luminance(one), luminance(other)
    small_x, small_y = halved(x), halved(y)
    warp, _ = align(small_x, small_y, np.zeros((len(one), 2, 2), np.float32), COARSE_STEPS)
    match, _ = agreement(small_x, *warped(small_y, warp))
    good = match >= COARSE_MATCH
    kept, x, y, warp = kept[good], x[good], y[good], warp[good]
    smooth_x, smooth_y = smoothed(x), smoothed(y)
    warp, gain = align(smooth_x, smooth_y, warp, FINE_STEPS)
    moved, weight = warped(smooth_y, warp)
    match, deviation = agreement(smooth_x, moved, weight)
    detail, _ = agreement(smooth_x - blurred(smooth_x), moved - blurred(moved), weight)
    good = (match >= FINE_MATCH) & (detail >= DETAIL_MATCH) & (deviation >= MIN_DEVIATION)
    kept, match, warp, gain, x, y = kept[good], match[good], warp[good], gain[good], x[good], y[good]
    moved, weight = warped(y, warp)
    fine, _ = agreement(x - smoothed(x), moved - smoothed(moved), weight, NOISE)
    good = fine >= texture
    if one.shape[-1] == 3:
        good[good] = _same_colours(one[kept[good]], other[kept[good]], warp[good], gain[good])
    return kept[good], np.clip(match[good], 0, 1).astype(np.float32)


def _same_colours(one: np.ndarray, other: np.ndarray, warp: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """(m,) bool: whether the differences from gray agree, given (m, 32, 32, 3) uint8 pairs."""
    x, y = luminance(one), luminance(other)
    error = energy = np.zeros(len(one), np.float32)
    for channel in (0, 2):
        a = smoothed(one[..., channel] - x)
        b, weight = warped(smoothed(other[..., channel] - y), warp)
        b = b * gain[:, None, None]
        error = error + (weight * (a - b) ** 2).sum((1, 2)) / weight.sum((1, 2))
        energy = energy + (weight * (a * a + b * b)).sum((1, 2)) / (2 * weight.sum((1, 2)))
    return np.sqrt(error) <= COLOUR_LEVELS + COLOUR_SHARE * np.sqrt(energy)
