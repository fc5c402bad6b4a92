"""What a predictor says of picture files, without the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conviction.artefacts import FilePrediction, Predictor
from conviction.artefacts.predict import classify, picture_files
from conviction.data.image_set import Unreadable


def predict_files(
    predictor: Predictor, paths: Sequence[Path]
) -> tuple[list[FilePrediction], list[Unreadable]]:
    """(predictions in the order of the paths, files that could not be read)."""
    with picture_files(paths) as (files, _):
        answers = list(classify(predictor, files))
    return (
        [a for a in answers if isinstance(a, FilePrediction)],
        [a for a in answers if isinstance(a, Unreadable)],
    )
