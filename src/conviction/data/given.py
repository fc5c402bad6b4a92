"""Images handed over as numbers, to be classified, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conviction.data.decode import DecodingRule, decode_array
from conviction.data.pixels import to_uint8, with_channels
from conviction.errors import RequestError


@dataclass(frozen=True)
class Predictions:
    """Classes and probabilities for n images.

    Attributes:
        labels: n class names, those of the highest probability.
        probabilities: (n, classes) float32, rows summing to 1.
        class_names: One per column.
    """

    labels: list[str]
    probabilities: np.ndarray
    class_names: list[str]

    @classmethod
    def of(cls, probabilities: np.ndarray, class_names: list[str]) -> Predictions:
        """With the likeliest class of each row."""
        return cls([class_names[i] for i in probabilities.argmax(axis=1)], probabilities, class_names)


def given_pixels(images: np.ndarray | Sequence[np.ndarray], rule: DecodingRule) -> np.ndarray:
    """What a model is fed for images given as numbers on the scale of its training data.

    Args:
        images: (n, h, w) or (n, h, w, channels), or a sequence of single images of any sizes.
        rule: The model's.

    Returns:
        (n, height, width, channels) uint8.

    Raises:
        RequestError: Values outside that scale, or a shape that is no image.
    """
    batch = list(images) if not isinstance(images, np.ndarray) else images
    if isinstance(batch, np.ndarray) and batch.ndim == 2:
        raise RequestError(
            "predict: expected images (n, height, width[, channels]); got one of shape "
            f"{batch.shape}. Wrap it in a list."
        )
    pixels = np.empty((len(batch), *rule.shape), np.uint8)
    for i, image in enumerate(batch):
        one = with_channels(np.asarray(image)[np.newaxis], f"predict: image {i}")
        pixels[i] = decode_array(to_uint8(one, _scale(one, i, rule))[0], rule)
    return pixels


def _scale(image: np.ndarray, number: int, rule: DecodingRule) -> tuple[float, float]:
    scale = rule.array_range or (0.0, 255.0)
    if image.dtype == np.uint8 and scale == (0.0, 1.0):
        scale = (0.0, 255.0)  # trained on fractions; uint8 can only mean 0-255
    low, high = float(image.min()), float(image.max())
    fractions = image.dtype.kind == "f" and scale == (0.0, 255.0) and 0.0 < high <= 1.0
    if not scale[0] <= low <= high <= scale[1] or fractions:
        raise RequestError(
            f"predict: image {number}: expected pixel values from {scale[0]:g} (black) to {scale[1]:g} "
            f"(white), as in training; got {image.dtype} from {low:g} to {high:g}."
        )
    return scale
