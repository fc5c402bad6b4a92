"""The explanation of a run's answer to a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conviction.data.decode import UnreadableImageError, decode
from conviction.data.prediction_images import pixels_to_predict
from conviction.data.rule import DecodingRule
from conviction.errors import RequestError, SourceNotFoundError
from conviction.explanation import Explanation, explain_picture
from conviction.model.probabilities import predict_probabilities
from conviction.process import restores_process
from conviction.runs import RunLike, open_run


@restores_process
def explain(
    run: RunLike,
    image: Any,
    *,
    class_name: str | None = None,
    layer: str | None = None,
    position: Sequence[int] | None = None,
) -> Explanation:
    """Decodes a picture by the run's rule, classifies it, and explains the answer.

    Args:
        run: A run with a trained model, or the path of its folder.
        image: The path of a picture file, a Pillow picture, or an array, (h, w) or (h, w, channels).
        class_name: The class to explain; by default the likeliest.
        layer: With ``position``: the value whose numbers to show.
        position: (row, column, channel) or (unit,), from 0.

    Raises:
        RunError: There is no such run, or it has no model.
        SourceNotFoundError: There is no such file.
        RequestError: It cannot be read as one picture; or as ``explain_picture``.
    """
    opened = open_run(run)
    pixels = _pixels(image, opened.rule)
    explanation = explain_picture(
        opened.model, pixels, opened.class_names, class_name=class_name, layer=layer, position=position
    )
    views = opened.config.evaluation.views
    if views == 1:
        return explanation
    averaged = predict_probabilities(opened.model, pixels[np.newaxis], views=views)[0]
    return replace(explanation, averaged=averaged)


def _pixels(image: Any, rule: DecodingRule) -> np.ndarray:
    """(height, width, channels) uint8."""
    if not isinstance(image, str | os.PathLike):
        # Three axes are one picture, or pictures without an axis for channels, as predict takes them.
        one = isinstance(image, Image.Image) or np.ndim(image) == 2
        pixels = pixels_to_predict([image] if one else image, rule)
        if len(pixels) != 1:
            raise RequestError(f"explain: expected one picture; got {len(pixels)}.")
        return pixels[0]
    file = Path(image).expanduser()
    if not file.exists():
        raise SourceNotFoundError(f"{file}: there is no such file.")
    try:
        return decode(file.read_bytes(), rule)
    except UnreadableImageError as failure:
        raise RequestError(f"{file}: cannot be read as a picture: {failure}.") from None
    except OSError as failure:
        raise RequestError(f"{file}: cannot be read ({failure.strerror or failure}).") from None
