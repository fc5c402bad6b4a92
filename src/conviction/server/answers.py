"""What the routes answer, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Prediction(BaseModel):
    """One picture that was classified."""

    file: str = Field(description="As it was sent; for JSON, images[i].")
    label: str = Field(description="The most likely class, or by the threshold that was set for the model.")
    probability: float = Field(ge=0, le=1.001)
    probabilities: dict[str, float]


class PictureProblem(BaseModel):
    """Why one picture of several could not be read."""

    type: str
    title: str
    detail: str


class Failed(BaseModel):
    """One picture that could not be read, while others could."""

    file: str
    error: PictureProblem


class Predictions(BaseModel):
    """In the order of the pictures."""

    model: str
    predictions: list[Prediction | Failed]


class Occlusion(Prediction):
    """Where the answer's probability comes from."""

    model: str
    cell: list[int] = Field(
        min_length=2,
        max_length=2,
        description="Height and width of a cell, in pixels of the decoded picture.",
    )
    drops: list[list[float]] = Field(
        description="Row by row: how much less probable the label is with a grey patch there."
    )


class Status(BaseModel):
    """Whether the server is alive, or accepts requests."""

    status: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None


PICTURES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "byte"},
                        }
                    },
                }
            },
        },
    }
}
