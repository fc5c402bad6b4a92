"""Images made brighter or darker, and with more or less contrast."""

from __future__ import annotations

import numpy as np

from conviction.training.augmentations.arithmetic import draw_around, groups, to_uint8
from conviction.training.augmentations.augmentation import Augmentation


def draw_biases(
    chance: np.random.Generator, brightness: float, n: int, height: int, width: int
) -> np.ndarray:
    """(n,) float64, gray levels to add."""
    return draw_around(chance, 0.0, 255.0 * brightness, n)


def draw_gains(chance: np.random.Generator, contrast: float, n: int, height: int, width: int) -> np.ndarray:
    """(n,) float64, factors of the distance from the image's mean."""
    return draw_around(chance, 1.0, contrast, n)


def tone(pixels: np.ndarray, gains: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Mean + gain * (pixel - mean) + bias, rounded and clipped, with each image's mean over all its values."""
    flat = pixels.reshape(len(pixels), -1)  # (n, h, w, c) -> (n, h*w*c)
    means = flat.sum(axis=1, dtype=np.uint64) / flat.shape[1]
    slopes = gains.astype(np.float32)[:, np.newaxis]
    levels = (means * (1 - gains) + biases).astype(np.float32)[:, np.newaxis]
    out = np.empty_like(flat)
    for group in groups(*flat.shape):
        values = flat[group] * slopes[group]
        values += levels[group]
        out[group] = to_uint8(values)
    return out.reshape(pixels.shape)


def _brighter(brightness: float, height: int, width: int) -> str:
    return f"up to {255 * brightness:.0f} gray levels brighter or darker"


def _contrasted(contrast: float, height: int, width: int) -> str:
    return f"contrast from {1 - contrast:g} to {1 + contrast:g} times"


BRIGHTNESS = Augmentation(
    key="brightness",
    stream=4,
    draw=draw_biases,
    effect=tone,
    takes=("contrast", "brightness"),
    sentence=_brighter,
)
CONTRAST = Augmentation(
    key="contrast",
    stream=5,
    draw=draw_gains,
    effect=tone,
    takes=("contrast", "brightness"),
    sentence=_contrasted,
)
