"""Images that have been read, audited and divided, for people who train with a program of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from conviction.card import card
from conviction.config import load_recipe
from conviction.config.recipe import Overrides, user_settings
from conviction.config.text import shown as as_text
from conviction.data import ImageSet, encode_labels
from conviction.data.audit import Audit
from conviction.data.in_memory import Source, source_path
from conviction.data.split import Split
from conviction.errors import RequestError
from conviction.flow.prepare import Divided, divide
from conviction.flow.showing import Showing, shown
from conviction.process import restores_process
from conviction.training.dataset import plain_options

Learned = Literal["train", "validation"]


@dataclass(frozen=True, repr=False)
class DataSplit:
    """Images in three parts, of which the test part stays sealed.

    Attributes:
        source: Where the images are.
        settings: The keys that were given.
        divided: Images, audit and split.
    """

    source: str | Path
    settings: Mapping[str, Any]
    divided: Divided

    @property
    def images(self) -> ImageSet:
        """All images."""
        return self.divided.images

    @property
    def audit(self) -> Audit:
        """What the audit found."""
        return self.divided.audit

    @property
    def split(self) -> Split:
        """Which image is in which part."""
        return self.divided.split

    @property
    def class_names(self) -> list[str]:
        """In the order of the labels."""
        return self.images.class_names

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.images.rule.shape

    def arrays(self, part: Learned = "train") -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a part.

        Args:
            part: "train" or "validation".

        Returns:
            (n, height, width, channels) float32 from 0 to 1, and (n,) int64 labels.

        Raises:
            RequestError: It is another part; that of the test is opened by ``assess``.
        """
        index = self._index(part)
        return self.images.pixels[index].astype(np.float32) / np.float32(255), self.images.labels[index]

    def batches(
        self, part: Learned = "train", batch_size: int = 32, *, one_hot: bool = False, seed: int = 0
    ) -> Any:
        """A ``tf.data.Dataset`` of the same; training images are shuffled again in each epoch.

        Args:
            part: "train" or "validation".
            batch_size: The last batch has what is left.
            one_hot: Targets as ``categorical_crossentropy`` takes them, (n, classes), and (n, 1) for two classes.
            seed: Of the order.

        Raises:
            RequestError: It is another part; TensorFlow is not installed.
        """
        from conviction.extras import needed

        tf = needed("tensorflow", "split.batches")
        x, y = self.arrays(part)
        data = tf.data.Dataset.from_tensor_slices(
            (x, encode_labels(y, len(self.class_names)) if one_hot else y)
        )
        if part == "train":
            data = data.shuffle(len(x), seed=seed)
        return data.batch(batch_size).prefetch(2).with_options(plain_options())

    def _index(self, part: str) -> np.ndarray:
        if part == "test":
            raise RequestError(
                "part: the test images are sealed, so that the figure at the end means something. conviction.assess "
                "opens them, once."
            )
        if part not in ("train", "validation"):
            raise RequestError(f"part: expected train or validation; got {as_text(part)}.")
        return self.split.of(part)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(self.split.of(p)):,} {p}" for p in ("train", "validation", "test"))
        return f"DataSplit({self.images.name!r}, {sizes})"

    def _repr_html_(self) -> str:
        rows = [(name, *(f"{c[i]:,}" for c in self._counts())) for i, name in enumerate(self.class_names)]
        facts = {"images": " x ".join(map(str, self.shape)), "test part": "sealed until conviction.assess"}
        return card(
            f"Split: {self.images.name}", facts, head=("class", "train", "validation", "test"), rows=rows
        )

    def _counts(self) -> list[list[int]]:
        return [self.images.counts(self.split.of(p)) for p in ("train", "validation", "test")]


@restores_process
def split(
    source: Source,
    overrides: Overrides = (),
    *,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
) -> DataSplit:
    """Reads images, audits them and divides them as ``fit`` does, for a network that is trained elsewhere.

    Args:
        source: As for ``fit``.
        overrides: Keys of the specification: those of ``data`` and ``training.seed``.
        config: A YAML file; overrides win over it.
        data_dir: As for ``fit``.
        show: As for ``fit``.

    Raises:
        RequestError: The source or a key cannot be used.

    >>> import conviction
    >>> data = conviction.split("digits", {"data.image_size": 16}, show=None)
    >>> data.arrays("validation")[0].shape
    (143, 16, 16, 1)
    """
    path = source_path(source)
    settings = user_settings(overrides, config)
    settings.setdefault("recipe", "lab")
    watching = shown(show)
    try:
        divided = divide(path, load_recipe(settings), data_dir, loading=watching.loading)
    finally:
        watching.close()
    return DataSplit(path, settings, divided)
