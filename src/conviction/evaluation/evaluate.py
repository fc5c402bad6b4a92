"""What predictions are worth: everything in the report and ``evaluation.json``, from probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.config import Recipe
from conviction.data import ImageSet, Split
from conviction.errors import EvaluationError
from conviction.evaluation.binary import Binary, two_classes
from conviction.evaluation.bootstrap import Figure
from conviction.evaluation.calibration import ReliabilityBin, at_temperature, confidence_sentence, reliability
from conviction.evaluation.figures import figures
from conviction.evaluation.folds import RecipeEstimate
from conviction.evaluation.metrics import Score, score
from conviction.evaluation.mistakes import Suspect, confused_pairs, suspect_labels
from conviction.evaluation.slices import Slicing, properties, slices
from conviction.evaluation.verdict import Verdict, judge_run
from conviction.model import predict_images
from conviction.training import EpochRow

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling: the temperature, fitted on validation images, and figures before and after.

    ``before`` and ``after`` are of the shown part: ``log_loss``, ``brier`` and ``ece``.
    """

    temperature: float
    before: dict[str, Figure]
    after: dict[str, Figure]


@dataclass(frozen=True)
class Part:
    """What is known of the part whose pictures are shown: test, or validation while the test set is sealed.

    Attributes:
        name: "test" or "validation".
        index: (n,) of the images in their set.
        probabilities: (n, classes).
        score: Of it.
        figures: With intervals, by name.
        reliability: Accuracy at each level of confidence.
        confidence: Whether it is as sure as it should be, in a sentence.
        pairs: The classes that are confused most often, in a sentence; may be empty.
        suspects: Images whose label may be wrong, the surest first.
        slices: Accuracy by properties of the pictures.
        binary: For two classes, if both have images.
        calibration: If the model was calibrated.
    """

    name: str
    index: np.ndarray
    probabilities: np.ndarray
    score: Score
    figures: dict[str, Figure]
    reliability: list[ReliabilityBin]
    confidence: str
    pairs: str
    suspects: list[Suspect]
    slices: list[Slicing]
    binary: Binary | None = None
    calibration: Calibration | None = None

    def to_json(self, images: ImageSet) -> dict[str, Any]:
        """Beside the score, for ``evaluation.json``."""
        names = images.class_names
        return {
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "reliability": [asdict(b) for b in self.reliability],
            "pairs": self.pairs,
            "suspects": [
                {
                    "file": images.names[self.index[s.row]],
                    "label": names[s.label],
                    "likelier": names[s.likelier],
                    "margin": s.margin,
                }
                for s in self.suspects
            ],
            "slices": [asdict(s) for s in self.slices],
            "two_classes": None if self.binary is None else asdict(self.binary),
            "calibration": None if self.calibration is None else asdict(self.calibration),
        }


@dataclass(frozen=True)
class Evaluation:
    """Scores by part; ``test`` is None while the test set is sealed.

    ``openings`` is how often the test set has been opened, this time included. ``shown`` has more about the test
    set, or about validation if that is sealed. ``folds`` is what cross-validation says of the recipe, if it was asked
    for.
    """

    train: Score
    validation: Score
    test: Score | None
    verdict: Verdict
    openings: int
    shown: Part
    content: dict[str, Any] = field(repr=False)
    folds: RecipeEstimate | None = None

    @property
    def scored(self) -> dict[str, Score]:
        """By the name of the part, those that have been scored."""
        tested = {} if self.test is None else {"test": self.test}
        return {"training": self.train, "validation": self.validation, **tested}

    def figures(self) -> dict[str, float]:
        """The essential ones by name, such as ``test_accuracy``."""
        by_name: dict[str, float] = {}
        for name, part in self.scored.items():
            key, (low, high) = "train" if name == "training" else name, part.accuracy_ci95
            by_name |= {f"{key}_loss": part.loss, f"{key}_accuracy": part.accuracy}
            by_name |= {f"{key}_accuracy_ci95_low": low, f"{key}_accuracy_ci95_high": high}
        if self.folds is not None and self.folds.accuracy.ci95:
            low, high = self.folds.accuracy.ci95
            by_name |= {"folds_loss": self.folds.loss, "folds_accuracy": self.folds.accuracy.value}
            by_name |= {"folds_accuracy_ci95_low": low, "folds_accuracy_ci95_high": high}
        return by_name

    def to_json(self) -> dict[str, Any]:
        """The content of ``evaluation.json``."""
        return self.content


def predict_parts(
    model: keras.Sequential,
    images: ImageSet,
    split: Split,
    open_test: Callable[[], int] | None,
    views: int = 1,
) -> tuple[dict[str, np.ndarray], int]:
    """Probabilities (n, classes) by part, and how often the test set has been opened.

    Args:
        model: Loaded from ``model.keras``.
        images: The data.
        split: Which image is in which part.
        open_test: Records the opening and returns how many there have been; None leaves the set sealed.
        views: ``evaluation.views``.

    Raises:
        EvaluationError: An output is not a number.
    """
    probabilities, openings = {}, 0
    for part in ("train", "validation", "test"):
        if part == "test":
            if open_test is None:
                break
            openings = open_test()
        probabilities[part] = checked(predict_images(model, images, split.of(part), views))
    return probabilities, openings


def checked(probabilities: np.ndarray) -> np.ndarray:
    """The same, if all are numbers.

    Raises:
        EvaluationError: One is not.
    """
    broken = int((~np.isfinite(probabilities).all(axis=1)).sum())
    if broken:
        raise EvaluationError(
            f"The network's output is not a number for {broken:,} of {len(probabilities):,} images, so none of its "
            "figures means anything. Its weights have probably overflowed in training; try a lower "
            "training.learning_rate."
        )
    return probabilities


def assess(
    probabilities: Mapping[str, np.ndarray],
    images: ImageSet,
    split: Split,
    history: list[EpochRow],
    *,
    recipe: Recipe,
    openings: int,
    temperature: float = 1.0,
    metadata: Mapping[str, Sequence[str]] | None = None,
    folds: RecipeEstimate | None = None,
) -> Evaluation:
    """Scores the predictions of a run.

    Args:
        probabilities: (n, classes) by part; without "test" the test set is sealed.
        images: The data.
        split: Which image is in which part.
        history: At least one epoch.
        recipe: What the network was trained with.
        openings: How often the test set has been opened.
        temperature: That the probabilities were scaled with.
        metadata: A value per image of the whole set, by column.
        folds: What cross-validation says of the recipe, if it was asked for.
    """
    scores = {
        part: score(p, images.labels[split.of(part)], images.class_names) for part, p in probabilities.items()
    }
    name = "test" if "test" in scores else "validation"
    shown = describe_part(
        name,
        images,
        split.of(name),
        probabilities[name],
        (probabilities["validation"], images.labels[split.validation]),
        temperature=temperature,
        metadata=metadata,
    )
    test = scores.get("test")
    accuracies = {part: (scored.accuracy, scored.n) for part, scored in scores.items()}
    verdict = judge_run(history, accuracies, classes=len(images.class_names), recipe=recipe)
    content: dict[str, Any] = {
        "test": None if test is None else {**test.to_json(), "openings": openings},
        "validation": scores["validation"].to_json(),
        "train": scores["train"].to_json(),
        "overfitting": verdict.to_json(),
        "folds": None if folds is None else folds.to_json(),
    }
    content[name] |= shown.to_json(images)
    return Evaluation(scores["train"], scores["validation"], test, verdict, openings, shown, content, folds)


def describe_part(
    name: str,
    images: ImageSet,
    index: np.ndarray,
    probabilities: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    *,
    temperature: float = 1.0,
    metadata: Mapping[str, Sequence[str]] | None = None,
) -> Part:
    """Everything that is known of one set of images.

    Args:
        name: Of the part.
        images: The data.
        index: (n,) of the images, n at least 1.
        probabilities: (n, classes).
        validation: Probabilities and labels of the validation images, on which the threshold is chosen.
        temperature: That the probabilities were scaled with.
        metadata: A value per image of the whole set, by column.
    """
    labels = images.labels[index]
    scored = score(probabilities, labels, images.class_names)
    known = figures(probabilities, labels)
    binary = None
    if len(images.class_names) == 2:
        chosen_on = (validation[0][:, 1], validation[1])
        binary = two_classes(probabilities[:, 1], labels, chosen_on, images.class_names[1])
    calibration = None
    if temperature != 1.0:
        before = figures(at_temperature(probabilities, 1 / temperature), labels)
        calibration = Calibration(temperature, *({k: f[k] for k in _PROBABILISTIC} for f in (before, known)))
    return Part(
        name=name,
        index=index,
        probabilities=probabilities,
        score=scored,
        figures=known,
        reliability=reliability(probabilities, labels),
        confidence=confidence_sentence(probabilities, labels),
        pairs=confused_pairs(scored.confusion, images.class_names),
        suspects=suspect_labels(probabilities, labels),
        slices=slices(
            properties(images, index, metadata or {}), labels, probabilities.argmax(axis=1) == labels
        ),
        binary=binary,
        calibration=calibration,
    )


_PROBABILISTIC = ("log_loss", "brier", "ece")
