"""Whether a mirror image still shows its class, by the nearest neighbours of training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MOST = 2_000
"""Images that are compared: their products take 16 MB and a fraction of a second."""

_SIDE = 16
"""The shorter side, in pixels, to which they are reduced at least."""

_SHARE = 0.5
"""What mirror images must keep of the agreement beyond chance.

Measured with 2,000 images: digits 0.29 and MNIST 0.36, where mirroring makes another character or none; TrashNet 0.60,
Fashion-MNIST 0.69 and CIFAR-10 0.98, where it does not.
"""

_CLEAR = 2.0
"""Standard errors from that share that decide without a look at the colours."""


@dataclass(frozen=True)
class Mirrors:
    """What the nearest neighbours of images and of their mirror images say.

    Attributes:
        images: How many training images were compared.
        agreement: In [0, 1]: of the images, the share whose nearest other image has their class, averaged over the
            classes.
        mirrored: The same of their mirror images, whose nearest image is sought among the other originals.
        chance: What guessing would reach.
        swapped: Two classes that are each other's mirror images; None if there are none.
        use: Whether training should mirror.
        clear: Whether the neighbours decided that; if not, colour did.
    """

    images: int
    agreement: float
    mirrored: float
    chance: float
    swapped: tuple[str, str] | None
    use: bool
    clear: bool


def compare_mirrors(
    pixels: np.ndarray, labels: np.ndarray, train: np.ndarray, class_names: list[str]
) -> Mirrors:
    """Compares training images and their mirror images with the other training images.

    Where the neighbours do not decide, as with few images of many classes, pictures in colour count as photographs,
    which may be mirrored, and gray ones as characters, which may not.

    Args:
        pixels: (n, height, width, channels) uint8, all images.
        labels: (n,) integers below the number of classes.
        train: The numbers of the training images; up to 2,000 of them are compared.
        class_names: By label.

    >>> ramps = np.tile(np.arange(32, dtype=np.uint8)[:, None] * 8, (40, 1, 32, 1))  # brighter to the right
    >>> sides = np.arange(40) % 2
    >>> ramps[sides == 1] = ramps[sides == 1, :, ::-1]
    >>> compare_mirrors(ramps, sides, np.arange(40), ["right", "left"]).swapped
    ('right', 'left')
    """
    chosen = np.sort(np.random.default_rng(0).permutation(train)[:_MOST])
    y = labels[chosen]
    reduced = _reduced(pixels, chosen)
    vectors = _unit(reduced)
    straight = y[_nearest(vectors, vectors)]
    turned = y[_nearest(_unit(reduced[:, :, ::-1]), vectors)]
    present, members, sizes = np.unique(y, return_inverse=True, return_counts=True)
    # (n,) what each image counts for in a mean over the classes.
    weight = 1 / (len(present) * sizes[members])
    chance = 1 / len(present)
    # (n,) what each image agrees beyond chance, and what its mirror image keeps beyond the share that it must.
    gain, kept = (straight == y) - chance, (turned == y) - chance
    margin = kept - _SHARE * gain
    swapped = _swapped(_confusion(y, turned, len(class_names)))
    clear = swapped is not None or (
        _errors_from_0(gain, weight) > _CLEAR and abs(_errors_from_0(margin, weight)) > _CLEAR
    )
    use = swapped is None and (weight @ margin > 0 if clear else pixels.shape[3] > 1)
    names = None if swapped is None else (class_names[swapped[0]], class_names[swapped[1]])
    agreement, mirrored = (float(np.clip(weight @ values + chance, 0, 1)) for values in (gain, kept))
    return Mirrors(len(chosen), agreement, mirrored, chance, names, bool(use), clear)


def _errors_from_0(values: np.ndarray, weight: np.ndarray) -> float:
    """How many standard errors the weighted mean of the values, (n,), is above 0."""
    mean = float(weight @ values)
    spread = float(np.sqrt(weight**2 @ (values - mean) ** 2))
    return mean / max(spread, 1e-12)


def _reduced(pixels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(images, h, w, c) float32: the means of square blocks of these images."""
    _, height, width, channels = pixels.shape
    block = max(1, min(height, width) // _SIDE)
    rows, columns = height // block, width // block
    reduced = np.empty((len(chosen), rows, columns, channels), np.float32)
    # One at a time: large pictures stay in the mapped cache.
    for row, image in enumerate(chosen):
        cut = pixels[image, : rows * block, : columns * block]
        # (rows, block, columns, block, c), the blocks averaged away.
        reduced[row] = cut.reshape(rows, block, columns, block, channels).mean((1, 3), dtype=np.float32)
    return reduced


def _unit(reduced: np.ndarray) -> np.ndarray:
    """(n, values) of mean 0 and length 1, so that products are correlations."""
    flat = reduced.reshape(len(reduced), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _nearest(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(n,) the most similar of the other vectors, by number."""
    similarities = queries @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    return similarities.argmax(1)


def _confusion(y: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) shares of each true class by answer; rows of absent classes are 0."""
    counts = np.bincount(y * classes + answers, minlength=classes * classes).reshape(classes, classes)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _swapped(turned: np.ndarray) -> tuple[int, int] | None:
    """The first two classes most of whose mirror images look like the other."""
    both = (turned > 0.5) & (turned.T > 0.5)
    np.fill_diagonal(both, False)
    pairs = np.argwhere(both)
    return (int(pairs[0, 0]), int(pairs[0, 1])) if len(pairs) else None
