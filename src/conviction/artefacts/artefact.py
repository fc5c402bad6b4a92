"""An exported model, read back: pixels in, probabilities of named classes out, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from conviction.artefacts.card import Card
from conviction.data.decision import Decision
from conviction.data.prediction_images import ArrayPredictions, Pictures, check_decoded, pixels_to_predict
from conviction.data.rule import DecodingRule
from conviction.errors import ArtefactError, printable

# (n, height, width, channels) uint8 -> (n, classes) float32
Answer = Callable[[np.ndarray], np.ndarray]


class Predictor(Protocol):
    """What a run and an artefact have in common."""

    @property
    def class_names(self) -> list[str]:
        """In the order of the probabilities."""

    @property
    def rule(self) -> DecodingRule:
        """How pictures are decoded for this model."""

    @property
    def decision(self) -> Decision | None:
        """The threshold between two classes; None for the most likely class."""

    def predict_pixels(self, pixels: np.ndarray) -> ArrayPredictions:
        """Classifies (n, height, width, channels) uint8."""


@dataclass(frozen=True)
class Artefact:
    """An exported model, open for use.

    Attributes:
        path: Its file or folder.
        card: What it says about itself.
        answer: (n, height, width, channels) uint8 -> (n, classes) float32, for any n of at least 1.
    """

    path: Path
    card: Card
    answer: Answer

    @property
    def class_names(self) -> list[str]:
        """In the order of the probabilities."""
        return list(self.card.class_names)

    @property
    def rule(self) -> DecodingRule:
        """How pictures are decoded for this model."""
        return self.card.decoding

    @property
    def decision(self) -> Decision | None:
        """The threshold between two classes; None for the most likely class."""
        return self.card.decision

    def predict(self, images: Pictures) -> ArrayPredictions:
        """Classifies pictures given as numbers or by Pillow, as ``RunFolder.predict`` does.

        Args:
            images: (n, h, w, channels) with 1, 3 or 4 channels; (n, h, w) if the model takes gray pictures; one picture
                of exactly the model's shape, which gives one answer; a Pillow picture, which is decoded as its file is;
                or a sequence of single pictures of any sizes. uint8 is 0-255, uint16 0-65535, bool black and white,
                floats 0-1, unless the training data had its own scale.

        Raises:
            RequestError: Values outside that scale, or a shape that is not a picture or is ambiguous.
        """
        return self.predict_pixels(pixels_to_predict(images, self.rule))

    def predict_pixels(self, pixels: np.ndarray) -> ArrayPredictions:
        """Classifies images decoded by ``rule``, (n, height, width, channels) uint8.

        Raises:
            RequestError: They have another shape or type.
        """
        check_decoded(pixels, self.rule)
        if not len(pixels):
            return ArrayPredictions([], np.empty((0, len(self.class_names)), np.float32), self.class_names)
        return ArrayPredictions.of(self.answer(pixels), self.class_names, decision=self.decision)

    def checked(self) -> Artefact:
        """Itself, after it has answered one black image as its card promises.

        Raises:
            ArtefactError: It cannot, or its outputs are not probabilities of its classes.
        """
        black = np.zeros((1, *self.rule.shape), np.uint8)
        try:
            output = np.asarray(self.answer(black))
        except Exception as failure:  # whatever a format's runtime raises
            reason = printable(str(failure), 200)
            raise ArtefactError(
                f"{self.path}: does not take the pixels that its card states, {self.rule.shape} ({reason})."
            ) from None
        if output.shape != (1, len(self.class_names)):
            raise ArtefactError(
                f"{self.path}: its card names {len(self.class_names)} classes; the model gives shape {output.shape}."
            )
        if not np.isfinite(output).all() or abs(float(output.sum()) - 1.0) > 0.01 or output.min() < 0.0:
            raise ArtefactError(f"{self.path}: its outputs are not probabilities.")
        return self
