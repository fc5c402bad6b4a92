"""The numbers that images and a specification have before anything is trained, by the names that the texts use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from conviction.config import Recipe
from conviction.config.layer_edits import POOLINGS
from conviction.config.model import Conv2D, Dense, Layer
from conviction.errors import RunError
from conviction.lesson.backbone import BackboneFacts, backbone_of
from conviction.lesson.variants import CHANGES, Variant, variant
from conviction.model import LayerRow, loss_name, walk
from conviction.model.backbones.kinds import Scaling
from conviction.model.shapes import Shape, scaling_of


@dataclass(frozen=True)
class Stage:
    """A hidden layer: its specification, its row of the summary and the shape that comes in."""

    layer: Any  # one of config.model.Layer; templates use the attributes of its type
    row: LayerRow
    before: Shape


@dataclass(frozen=True)
class Share:
    """The layer with the most of something, and its share of all, 0 to 1."""

    name: str
    params: int
    share: float


class NoRunError(RunError):
    """A text asks for what only a finished run can say."""


@dataclass(frozen=True)
class PlannedFacts:
    """Images, a specification, and what follows from both.

    Attributes:
        title: What the texts call it.
        recipe: Its specification.
        shape: (height, width, channels) of an image.
        class_names: At least 2.
        counts: Images in ``train``, ``validation`` and ``test``, each at least 1.
        class_counts: Training images of each class; empty where they are not known.
    """

    title: str
    recipe: Recipe
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    class_counts: tuple[int, ...] = field(default=(), kw_only=True)

    @cached_property
    def layers(self) -> list[LayerRow]:
        """All rows of the summary, normalisation first and output last."""
        return walk(self.recipe.model, self.shape, self.classes)

    @cached_property
    def stages(self) -> list[Stage]:
        """The hidden layers, in order."""
        rows = self.layers
        hidden: Sequence[Layer] = self.recipe.model.layers
        return [Stage(layer, rows[i + 1], rows[i].output) for i, layer in enumerate(hidden)]

    @property
    def convs(self) -> list[Stage]:
        """The convolutions."""
        return [s for s in self.stages if isinstance(s.layer, Conv2D)]

    @property
    def pools(self) -> list[Stage]:
        """The pooling layers with windows."""
        return [s for s in self.stages if isinstance(s.layer, POOLINGS)]

    @property
    def first_dense(self) -> Stage | None:
        """The first hidden dense layer."""
        return next((s for s in self.stages if isinstance(s.layer, Dense)), None)

    @property
    def flat(self) -> int | None:
        """Values after Flatten."""
        return next((s.row.output[0] for s in self.stages if s.layer.type == "Flatten"), None)

    @property
    def scaling(self) -> Scaling:
        """How pixels are scaled for the network; ``words`` has it as a formula."""
        return scaling_of(self.recipe.model)

    def has(self, kind: str) -> bool:
        """Whether there is a layer of this type, such as ``BatchNormalization``."""
        return any(s.layer.type == kind for s in self.stages)

    @cached_property
    def backbone(self) -> BackboneFacts | None:
        """What the network begins with, if that has learned before."""
        return backbone_of(self.recipe, self.layers)

    @property
    def params(self) -> int:
        """All parameters."""
        return sum(row.params for row in self.layers)

    @property
    def trainable(self) -> int:
        """Parameters that are learned."""
        return sum(row.trainable for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def heaviest(self) -> Share:
        """The layer with the most parameters."""
        row = max(self.layers, key=lambda r: r.params)
        return Share(row.name, row.params, row.params / self.params)

    @property
    def slowest(self) -> Share:
        """The layer with the most multiply-adds."""
        row = max(self.layers, key=lambda r: r.multiply_adds)
        return Share(row.name, row.params, row.multiply_adds / self.macs)

    def change(self, name: str) -> Variant:
        """The network with one thing changed: a name in ``variants.CHANGES``."""
        return variant(name, self.recipe.model, self.shape, self.classes)

    @property
    def changes(self) -> list[Variant]:
        """Every change that fits the images and changes anything."""
        return [v for v in map(self.change, CHANGES) if v.fits and list(v.rows) != self.layers]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.shape[1]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.shape[2]

    @property
    def classes(self) -> int:
        """How many."""
        return len(self.class_names)

    @property
    def train(self) -> int:
        """Training images."""
        return self.counts["train"]

    @property
    def validation(self) -> int:
        """Validation images."""
        return self.counts["validation"]

    @property
    def test_images(self) -> int:
        """Test images, opened or not."""
        return self.counts["test"]

    @property
    def total(self) -> int:
        """All images."""
        return self.train + self.validation + self.test_images

    def megabytes(self, bytes_each: int) -> float:
        """Of all images, for values of this many bytes."""
        return self.total * math.prod(self.shape) * bytes_each / 1e6

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.recipe.training.batch_size

    def steps_at(self, batch: float) -> int:
        """Steps an epoch for batches of this size, 1 at least."""
        return math.ceil(self.train / max(1, int(batch)))

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.steps_at(self.batch)

    @property
    def rate(self) -> float:
        """The highest learning rate; range tests find it at the beginning of a run."""
        if self.recipe.training.learning_rate == "auto":
            raise NoRunError(f"{self.title}: its learning rate is found when training starts.")
        return self.recipe.training.rate

    @property
    def optimizer(self) -> str:
        """Its name in Keras."""
        return self.recipe.training.optimizer

    @property
    def schedule(self) -> str:
        """Of the learning rate."""
        return self.recipe.training.schedule

    @property
    def precision(self) -> str:
        """Of products."""
        return self.recipe.training.precision

    @property
    def loss(self) -> str:
        """Its name in Keras."""
        return loss_name(self.classes)

    @property
    def guess(self) -> float:
        """The loss of equal probabilities for all classes."""
        return math.log(self.classes)

    @property
    def base_rate_loss(self) -> float:
        """The lowest loss of giving every image the same probabilities: the entropy of the training classes' shares.

        It is ``guess`` where all are equally common, or where their counts are not known.
        """
        total = sum(self.class_counts)
        shares = [count / total for count in self.class_counts if count]
        return -sum(p * math.log(p) for p in shares) if shares else self.guess
