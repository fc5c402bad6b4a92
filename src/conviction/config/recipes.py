"""The recipes: what each changes in the defaults, which are the lab's, for the images at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ImageFacts:
    """What a recipe adapts to: the size of the decoded images in pixels, how many to train on, and 3 channels or 1."""

    height: int = 28
    width: int = 28
    images: int = 54_000
    channels: int = 1

    @classmethod
    def of(cls, shape: tuple[int, int, int], images: int) -> ImageFacts:
        """From the (height, width, channels) of every image."""
        return cls(shape[0], shape[1], images, shape[2])


def lab(facts: ImageFacts) -> dict[str, Any]:
    """Exactly the lab: its network, its optimizer, no change to the data."""
    return {
        "data.on_leak": "keep",
        "training.precision": "float32",
        "training.batch_size": _batch(facts, 64),
    }


def fast(facts: ImageFacts) -> dict[str, Any]:
    """The lab's accuracy and more in a fraction of its time: the same family of network, normalised, in one cycle.

    Half the lab's first filters, because the first maps are the largest; pooling before normalisation; silu, which
    brought 0.5 points of Fashion-MNIST's validation images in two epochs; the largest batches that leave enough steps.
    """
    batch = _batch(facts, next((b for b, least in _FAST_BATCHES.items() if facts.images >= least), 32))
    return {
        "model.filters": (16, 64, *(128 * 2**i for i in range(_halvings(facts, to=8) - 2))),
        "model.activation": "silu",
        "model.batch_norm": True,
        "model.pool_first": True,
        "training.batch_size": batch,
        "training.epochs": _epochs(facts, batch, seen=30_000, least=2, most=8),
        "training.learning_rate": 0.012 if batch == 256 else 0.008,
        "training.schedule": "one_cycle",
    }


def best(facts: ImageFacts) -> dict[str, Any]:
    """The highest accuracy in minutes on a CPU: whitened, wide, normalised, by Muon; mirrored and moved by pixels.

    The network is that of Jordan (2024, arXiv:2404.00498), with silu and the mean of each map. Colour needs width;
    without it, epochs count for more. Rate and decay were chosen on validation images of CIFAR-10.
    """
    batch = _batch(facts, next((b for b, least in _BEST_BATCHES.items() if facts.images >= least), 32))
    colour = facts.channels > 1
    stages = _halvings(facts, to=4)
    # Larger pictures have more stages, and the first of them cost most; training must still take only minutes.
    large = stages > 3
    first = 64 if colour and not large else 32
    seen = 540_000 if large else 440_000 if colour else 860_000
    return {
        "model.whitening": True,
        "model.filters": tuple(min(256, first * 2**i) for i in range(stages)),
        "model.convs": 2,
        "model.padding": "same",
        "model.kernel_initializer": "dirac",
        "model.activation": "silu",
        "model.batch_norm": True,
        "model.pool_first": True,
        "model.head": "global_average",
        "model.dense": (),
        "augmentation.flip": "auto",
        "augmentation.shift": 0.06 if colour else 0.04,
        "training.batch_size": batch,
        "training.epochs": _epochs(facts, batch, seen=seen, least=10, most=60),
        "training.optimizer": "muon",
        "training.weight_decay": 0.5,
        "training.learning_rate": 0.02,
        "training.schedule": "linear",
        "training.label_smoothing": 0.2 if colour else 0.1,
    }


def transfer(facts: ImageFacts) -> dict[str, Any]:
    """A network that has learned on a million photographs, frozen, and a new output layer: for photographs.

    What the frozen part makes of the pictures is computed once, so an epoch takes a fraction of a second.
    """
    batch = _batch(facts, 32)
    return {
        "data.image_size": (224, 224),
        "data.color_mode": "rgb",
        "data.fit": "crop",
        "model.backbone": "efficientnet_lite0",
        "model.dense": (),
        # Of eleven settings compared by folds of TrashNet's training images, all within a point of each other.
        "model.dropout": 0.2,
        "training.batch_size": batch,
        "training.epochs": _epochs(facts, batch, seen=60_000, least=10, most=60),
        "training.optimizer": "adamw",
        "training.weight_decay": 0.01,
        "training.learning_rate": 0.003,
        "training.schedule": "cosine",
        "training.precision": "float32",
    }


def fine_tuning(facts: ImageFacts) -> dict[str, Any]:
    """What ``transfer`` changes where some of the backbone learns: few epochs at a rate that spoils nothing."""
    return {
        "augmentation.flip": "horizontal",
        "training.batch_size": _batch(facts, 16),
        "training.epochs": 8,
        "training.learning_rate": 0.0001,
        "training.precision": "auto",
    }


# Batch sizes of ``fast``, by the smallest number of training images.
_FAST_BATCHES = {256: 50_000, 128: 12_800, 64: 6_400}

# The same of ``best``: a step of Muon costs so much more that batches are larger.
_BEST_BATCHES = {500: 12_800, 128: 2_500, 64: 500}

DEFAULT_RECIPE = "fast"
TRANSFER_RECIPE = "transfer"
RECIPES: dict[str, Callable[[ImageFacts], dict[str, Any]]] = {
    "fast": fast,
    "best": best,
    "lab": lab,
    TRANSFER_RECIPE: transfer,
}


def _batch(facts: ImageFacts, size: int) -> int:
    """Half of it, and so on, where there are fewer images than that."""
    while size > max(1, facts.images):
        size //= 2
    return size


def _halvings(facts: ImageFacts, *, to: int) -> int:
    """How often the shorter side is halved until it is at most ``to`` pixels, within 2 to 5."""
    return min(5, max(2, math.ceil(math.log2(max(1.0, min(facts.height, facts.width) / to)))))


def _epochs(facts: ImageFacts, batch: int, *, seen: int, least: int, most: int) -> int:
    """Enough epochs to see ``seen`` images in all, within bounds; but never fewer than 120 steps."""
    images = max(1, facts.images)
    return max(math.ceil(120 * batch / images), min(most, max(least, math.ceil(seen / images))))
