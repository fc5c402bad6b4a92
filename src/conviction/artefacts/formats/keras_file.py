"""A ``.keras`` file: for Keras itself, on any backend."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
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
    # Of backbones alone.
    *("Add", "DepthwiseConv2D", "LayerNormalization", "LayerScale", "Multiply", "ReLU", "Reshape"),
    *("VarianceScaling", "ZeroPadding2D"),
}
# The largest of our networks has 200 layers of its own after the 270 of a backbone; ConvNeXt is a network of networks,
# so a run with it is three deep.
MOST_LAYERS, MOST_NETWORKS_DEEP = 600, 3
# Its description has 0.5 MB.
MOST_CONFIG_BYTES = 4_000_000


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
            whole = archive.getinfo("config.json").file_size <= MOST_CONFIG_BYTES
            config = json.loads(archive.read("config.json")) if whole else None
            text = archive.read(CARD)
    # RecursionError, a RuntimeError, is what JSON that is nested too deep leads to.
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError):
        raise ArtefactError(
            f"{path}: damaged, or has no model card; expected a file that 'conviction export' wrote."
        ) from None
    if damaged is not None:
        raise ArtefactError(f"{path}: damaged; {damaged} in it cannot be read.")
    if not whole:
        raise _too_large(path)
    _look_through(config, path)
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


def _look_through(config: Any, path: Path) -> None:
    """Refuses what a network does not need, before Keras sees it."""
    odd, layers = set(), 0
    waiting = [(config, 0)]  # not a recursion, which a deep configuration would end
    while waiting:
        part, deep = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("class_name"), str):
                odd |= {part["class_name"]} - KNOWN
            if isinstance(part.get("layers"), list):
                layers, deep = layers + len(part["layers"]), deep + 1
            if deep > MOST_NETWORKS_DEEP or layers > MOST_LAYERS:
                raise _too_large(path)
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(value, deep) for value in inner]
    if odd:
        raise ArtefactError(
            f"{path}: has parts that none of our networks has ({', '.join(sorted(odd))}), so it is not opened."
        )


def _too_large(path: Path) -> ArtefactError:
    return ArtefactError(f"{path}: describes a larger network than any of ours, so it is not opened.")
