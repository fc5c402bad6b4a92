"""Images mirrored left to right, upside down, or both."""

from __future__ import annotations

import numpy as np

from conviction.training.augmentations.augmentation import Augmentation, PageField


def draw_flips(chance: np.random.Generator, flip: str, n: int, height: int, width: int) -> np.ndarray:
    """(n, 2) bool: turned upside down, mirrored left to right; each with probability 1/2."""
    axes = {"vertical": [0], "horizontal": [1], "both": [0, 1]}[flip]
    flips = np.zeros((n, 2), bool)
    flips[:, axes] = chance.integers(0, 2, (n, 2), dtype=bool, endpoint=False)[:, axes]
    return flips


def alternating_flips(images: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """(n, 2) bool as ``draw_flips``: each image is mirrored left to right in every other epoch.

    Args:
        images: (n,) which images they are, integers from 0.
        seed: Decides which of them are mirrored in the first epoch.
        epoch: From 0.
    """
    # A bit of each number, well mixed: SplitMix64 (Steele, Lea and Flood, 2014).
    bits = (images.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for right, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(right))) * np.uint64(factor)
    mirrored = (bits >> np.uint64(63)).astype(np.int64) != epoch % 2
    return np.column_stack([np.zeros(len(images), bool), mirrored])


def flip(pixels: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Mirrors images (n, h, w, c) where ``flips`` (n, 2) says so, by row and by column."""
    out = pixels.copy()
    upside = np.flatnonzero(flips[:, 0])
    if len(upside):
        out[upside] = out[upside, ::-1]
    mirrored = np.flatnonzero(flips[:, 1])
    if len(mirrored):
        before = out[mirrored]
        after = np.empty_like(before)
        # Channel by channel, NumPy's inner loop is a whole row instead of one pixel, which is several times faster.
        for channel in range(pixels.shape[3]):
            after[..., channel] = before[:, :, ::-1, channel]
        out[mirrored] = after
    return out


def _sentence(flip: str, height: int, width: int) -> str:
    if flip == "auto":
        return "mirrored left to right in every other epoch if mirror images look like their class"
    if flip == "alternate":
        return "mirrored left to right in every other epoch"
    return f"mirrored at random ({flip})"


FLIP = Augmentation(
    key="flip",
    stream=0,
    draw=draw_flips,
    effect=flip,
    takes=("flip",),
    sentence=_sentence,
    field=PageField(
        "Mirrored",
        choices={
            "none": "none",
            "horizontal": "left and right",
            "vertical": "up and down",
            "both": "both",
            "alternate": "left and right, in turns",
            "auto": "in turns, if the class stays",
        },
    ),
)
