"""A ``.keras`` file: for Keras itself, on any backend."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats.reading import in_chunks, read_bytes
from conviction.backend import import_keras, quiet_stderr
from conviction.errors import ArtefactError

if TYPE_CHECKING:
    import keras

CARD = "conviction-card.json"
# Every class that our networks are made of, inside their layers too.
KNOWN = {
    *("Sequential", "Functional", "InputLayer", "Rescaling", "Conv2D", "BatchNormalization", "Activation"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Dropout"),
    *("SpatialDropout2D", "Flatten", "Dense", "Concatenate", "__keras_tensor__", "DTypePolicy"),
    *("GlorotUniform", "Zeros", "Ones"),
}


def write(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    """Writes the file; see ``Format.write``."""
    with quiet_stderr():
        model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD, card.model_dump_json())


def read(path: Path, threads: int | None = None) -> Artefact:
    """Opens the file, in Keras's safe mode, after its parts have been checked.

    Raises:
        ArtefactError: It is damaged, not one of ours, or holds anything but the layers of a network.
    """
    content = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
            config, text = json.loads(archive.read("config.json")), archive.read(CARD)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError):
        raise ArtefactError(
            f"{path}: damaged, or has no model card; expected a file that 'conviction export' wrote."
        ) from None
    if damaged is not None:
        raise ArtefactError(f"{path}: damaged; {damaged} in it cannot be read.")
    odd = sorted(set(_classes(config)) - KNOWN)
    if odd:
        raise ArtefactError(
            f"{path}: has parts that none of our networks has ({', '.join(odd)}), so it is not opened."
        )
    card = parse_card(text, path)
    keras = import_keras()
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.models.load_model(path, safe_mode=True, compile=False)
    except Exception as failure:  # Keras and h5py raise whatever a damaged file leads to
        raise ArtefactError(
            f"{path}: Keras cannot open it ({' '.join(str(failure).split())[:200]})."
        ) from None

    def answer(pixels: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(model(pixels, training=False))

    return Artefact(path, card, in_chunks(answer)).checked()


def _classes(config: Any) -> Iterator[str]:
    """The class names in a configuration, at any depth."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"]
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)
