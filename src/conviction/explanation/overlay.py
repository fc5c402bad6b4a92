"""Evidence over a photograph."""

from __future__ import annotations

import numpy as np
from PIL import Image

# A picture is enlarged to about this side, so that a smooth map can lie over its pixels.
LARGE = 256
EVIDENCE = np.array([235.0, 80.0, 10.0])


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) uint8 as RGB, enlarged by a whole factor to about 256 pixels."""
    factor = max(1, LARGE // max(pixels.shape[:2]))
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return colours.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A map over the picture in gray: the more of it, the more orange.

    Args:
        pixels: (h, w, 1 or 3) uint8.
        heat: (h, w) in [0, 1].

    Returns:
        RGB uint8, as large as ``enlarged`` makes the picture.
    """
    gray = np.asarray(Image.fromarray(enlarged(pixels)).convert("L"))
    smooth = Image.fromarray(heat).resize(gray.shape[::-1], Image.Resampling.BILINEAR)
    opacity = 0.8 * np.clip(np.asarray(smooth), 0.0, 1.0)[..., np.newaxis]
    return np.rint(gray[..., np.newaxis] * (1.0 - opacity) + EVIDENCE * opacity).astype(np.uint8)
