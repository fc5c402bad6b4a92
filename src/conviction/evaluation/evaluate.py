"""The last step of ``fit``: score training and validation images, and open the test set once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.data import ImageSet, Split
from conviction.evaluation.figures import Figure, ReliabilityBin, confidence_sentence, figures, reliability
from conviction.evaluation.gap import describe_gap
from conviction.evaluation.metrics import Score, score
from conviction.model.probabilities import predict_probabilities
from conviction.training import EpochRow, Verdict, read_curves

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """Scores by part; ``test`` is None while the test set is sealed.

    ``openings`` is how often the test set has been opened, this time included. ``shown`` are the
    probabilities (n, classes) of the part that pictures are taken from: test, or validation if sealed;
    ``shown_figures``, ``reliability`` and ``confidence`` are of the same part.
    """

    train: Score
    validation: Score
    test: Score | None
    overfitting: dict[str, Any]
    openings: int
    shown_part: str
    shown: np.ndarray
    shown_figures: dict[str, Figure]
    reliability: list[ReliabilityBin]
    confidence: str

    def figures(self) -> dict[str, float]:
        """The essential ones by name, such as ``test_accuracy``."""
        parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
        found: dict[str, float] = {}
        for name, part in parts:
            if part is not None:
                low, high = part.accuracy_ci95
                found |= {f"{name}_loss": part.loss, f"{name}_accuracy": part.accuracy}
                found |= {f"{name}_accuracy_ci95_low": low, f"{name}_accuracy_ci95_high": high}
        return found

    def to_json(self) -> dict[str, Any]:
        """The content of ``evaluation.json``."""
        test = None if self.test is None else {**self.test.to_json(), "openings": self.openings}
        parts: dict[str, Any] = {"test": test, "validation": self.validation.to_json()}
        parts[self.shown_part] |= {
            "figures": {name: asdict(figure) for name, figure in self.shown_figures.items()},
            "reliability": [asdict(b) for b in self.reliability],
        }
        return {
            **parts,
            "train": self.train.to_json(),
            "overfitting": self.overfitting,
        }


def evaluate(
    model: keras.Sequential,
    images: ImageSet,
    split: Split,
    history: list[EpochRow],
    *,
    open_test: Callable[[], int] | None,
    remedy: Callable[[Verdict], str],
) -> Evaluation:
    """Scores the model as it was saved.

    Args:
        model: Loaded from ``model.keras``.
        images: The data.
        split: Which image is in which part.
        history: At least one epoch.
        open_test: Records the opening and returns how many there have been; None leaves the set sealed.
        remedy: Makes of what the curves show the command that might mend it.
    """
    scores: dict[str, Score] = {}
    shown_part = "validation" if open_test is None else "test"
    shown = np.empty((0, len(images.class_names)))
    openings = 0
    for part in ("train", "validation") if open_test is None else ("train", "validation", "test"):
        if part == "test" and open_test is not None:
            openings = open_test()
        indices = split.of(part)
        probabilities = predict_probabilities(model, images.pixels, indices)
        scores[part] = score(probabilities, images.labels[indices], images.class_names)
        if part == shown_part:
            shown = probabilities
    test = scores.get("test")
    verdict = read_curves(history, classes=len(images.class_names), validation_images=len(split.validation))
    overfitting = describe_gap(history, scores["train"], scores["validation"], test, verdict)
    overfitting["remedy"] = remedy(verdict) if verdict.remedy else None
    labels = images.labels[split.of(shown_part)]
    return Evaluation(
        scores["train"],
        scores["validation"],
        test,
        overfitting,
        openings,
        shown_part,
        shown,
        figures(shown, labels),
        reliability(shown, labels),
        confidence_sentence(shown, labels),
    )
