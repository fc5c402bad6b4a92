"""The formats of an exported model: each module writes one and reads it with that format's own runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.card import Card
from conviction.artefacts.formats import keras_file, litert, onnx_file, saved_model

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Format:
    """One way to keep a network.

    Attributes:
        name: What users type.
        title: What people call it.
        suffix: Of the file; empty for a folder.
        quantizes: Whether it is available with smaller numbers.
        answers_apart: Whether its answers come from the process in which it was opened; see ``apart``.
        write: (model with (n, classes) outputs, a path that does not exist, card, calibration pixels); in a
            process with the TensorFlow backend. Calibration is (n, height, width, channels) uint8.
        read: (path, threads or None for all cores) -> an open artefact, in any process.
    """

    name: str
    title: str
    suffix: str
    quantizes: bool
    answers_apart: bool
    write: Callable[[keras.Model, Path, Card, np.ndarray], None]
    read: Callable[[Path, int | None], Artefact]


FORMATS = {
    f.name: f
    for f in (
        Format("onnx", "ONNX", ".onnx", True, False, onnx_file.write, onnx_file.read),
        Format("litert", "LiteRT", ".tflite", True, False, litert.write, litert.read),
        Format(saved_model.NAME, "SavedModel", "", False, True, saved_model.write, saved_model.read),
        Format("keras", "Keras", ".keras", False, True, keras_file.write, keras_file.read),
    )
}
