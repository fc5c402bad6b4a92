"""Predictions for paths, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conviction.artefacts.predict import classify, picture_files
from conviction.config.text import shown
from conviction.data.image_set import Unreadable
from conviction.data.prediction_images import ArrayPredictions
from conviction.errors import RequestError
from conviction.runs import RunFolder


def predict_files(run: RunFolder, paths: Sequence[Any]) -> ArrayPredictions:
    """Classifies picture files, and those of folders and archives, in their order.

    Raises:
        RequestError: A picture cannot be read, or something is not a path.
        SourceNotFoundError: A path does not exist.
    """
    try:
        files = [Path(path).expanduser() for path in paths]
    except TypeError:
        raise RequestError(f"predict: expected paths; got {shown(paths)}.") from None
    with picture_files(files) as (pictures, _):
        outcomes = list(classify(run, pictures, 0.0))
    for outcome in outcomes:
        if isinstance(outcome, Unreadable):
            raise RequestError(f"predict: {outcome.name} cannot be read: {outcome.reason}. Leave it out.")
    read = [outcome for outcome in outcomes if not isinstance(outcome, Unreadable)]
    probabilities = np.array([list(one.probabilities.values()) for one in read], np.float32)
    return ArrayPredictions.of(probabilities, run.class_names, [one.file for one in read], run.decision)
