"""The card inside every artefact: what the model answers, what it was tested on, and where it comes from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from conviction.artefacts.bounds import MOST_CARD_BYTES
from conviction.config.model import MOST_UNITS, Strict, WeightsRecord
from conviction.data.decision import Decision
from conviction.data.rule import DecodingRule
from conviction.errors import ArtefactError, printable

# A picture of 4096 x 4096 pixels, 50 MB in colour; and as many classes as a layer may have units.
MOST_PIXELS, MOST_CLASSES = 2**24, MOST_UNITS
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Quantized = Literal["float16", "int8"]


class TestFigure(Strict):
    """Accuracy on the sealed test set, with its Wilson interval and how often that set has been opened."""

    __test__ = False  # pytest takes every class whose name starts like this for tests

    n: Annotated[int, Field(ge=1)]
    accuracy: Fraction
    accuracy_ci95: tuple[Fraction, Fraction]
    openings: Annotated[int, Field(ge=1)]
    test_set: str


class FoldsFigure(Strict):
    """Accuracy of the recipe by cross-validation: of other networks, on ``n`` images that they had not seen."""

    folds: Annotated[int, Field(ge=2)]
    repetitions: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1)]
    accuracy: Fraction
    accuracy_ci95: tuple[Fraction, Fraction]


class LearnedFrom(Strict):
    """The data that the network learned from; ``images_by_class`` by part, ``licence`` None if it is not known."""

    name: str
    licence: str | None
    images_by_class: dict[str, list[int]]


class LearnedBefore(Strict):
    """The pretrained network that a network begins with, and what that one had learned from.

    Attributes:
        name: As its authors write it.
        paper: Where it was published.
        weights: Their source, licence and the SHA-256 of their file; None if the run has not recorded them.
        data: The pictures that it had learned from.
        images: How many.
        classes: Of how many classes.
        learned_on: How much of it has learned further in the run, in words.
    """

    name: str
    paper: str
    weights: WeightsRecord | None
    data: str
    images: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=1)]
    learned_on: str


class Card(Strict):
    """What an artefact says about itself.

    Attributes:
        name: Of the run.
        kind: The format, for instance "onnx".
        quantized: In which type weights are stored, or weights and activations calculated; None for float32.
        class_names: In the order of the probabilities.
        decoding: How any picture becomes the pixels that the model takes.
        decision: The threshold between two classes; None for the most likely class.
        data: What the network has learned from.
        backbone: What it begins with, if that had learned before.
        specification: As in ``config.yaml``.
        test: None if the test set is sealed.
        folds: None without cross-validation.
        limits: What the figures do not promise, in sentences.
        provenance: Hashes and versions: ``model_sha256`` is that of the run's ``model.keras``.
    """

    version: Literal[1] = 1
    name: str
    kind: str
    quantized: Quantized | None = None
    class_names: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_CLASSES)]
    decoding: DecodingRule
    decision: Decision | None = None
    data: LearnedFrom
    backbone: LearnedBefore | None = None
    specification: dict[str, Any]
    test: TestFigure | None
    folds: FoldsFigure | None = None
    limits: tuple[str, ...]
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _is_a_picture(self) -> Card:
        height, width = self.decoding.height, self.decoding.width
        if height * width > MOST_PIXELS:
            raise ValueError(f"expected pictures of at most {MOST_PIXELS:,} pixels; got {height} x {width}")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Card:
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("expected each class name once")
        if self.decision is not None and not self.decision.fits(self.class_names):
            raise ValueError("expected a decision between two classes")
        return self


def parse_card(text: str | bytes, where: object) -> Card:
    """Reads a card.

    Raises:
        ArtefactError: It is not one of ours; the message says what is wrong with it.
    """
    if len(text) > MOST_CARD_BYTES:
        raise ArtefactError(f"{where}: its model card is larger than any of ours.")
    try:
        return Card.model_validate_json(text)
    except ValidationError as failure:
        first = failure.errors()[0]
        location = printable(".".join(map(str, first["loc"]))) or "the whole"
        reason = printable(first["msg"], 200)
        raise ArtefactError(f"{where}: its model card cannot be used ({location}: {reason}).") from None
