"""What ``model.keras`` says beside the network, checked when it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from conviction.data import DecodingRule
from conviction.data.decision import Decision
from conviction.runs.content import Content


class ModelCard(Content):
    """What ``model.keras`` says about itself beside the network.

    Attributes:
        version: Of the card.
        class_names: In the order of the probabilities.
        decoding: How any picture becomes the pixels that the network takes.
        temperature: What the logits were divided by.
        decision: The threshold between two classes; None for the most likely one.
    """

    version: int = 1
    class_names: Annotated[list[str], Field(min_length=2)]
    decoding: DecodingRule
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    decision: Decision | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> ModelCard:
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names has a name twice")
        if self.decision is not None and not self.decision.fits(self.class_names):
            raise ValueError("decision is not between its two classes")
        return self
