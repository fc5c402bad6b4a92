"""LiteRT (formerly TensorFlow Lite): converted by TensorFlow, read by ai-edge-litert without it.

The card lies in a ZIP archive at the end of the file, where TensorFlow Lite keeps its own associated files; a reader
that knows nothing of it reads the model alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.bounds import MOST_CARD_BYTES, read_bytes, read_member
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats.litert_graph import check_model
from conviction.artefacts.formats.reading import in_chunks, missing
from conviction.audience import option
from conviction.backend import quiet_stderr, usable_cores
from conviction.errors import ArtefactError, printable
from conviction.extras import needed

if TYPE_CHECKING:
    import keras

CARD = "conviction.json"


def write(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    """Writes the file; see ``Format.write``."""
    needed("tensorflow", f"{option('format', 'formats')} litert")
    import tensorflow as tf

    def batches() -> Iterator[list[np.ndarray]]:
        for image in calibration:
            yield [image[np.newaxis]]

    with tempfile.TemporaryDirectory(prefix=".litert-", dir=path.parent) as folder, quiet_stderr():
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if card.quantized is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if card.quantized == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif card.quantized == "int8":
            converter.representative_dataset = batches
        content = converter.convert()
    path.write_bytes(content)
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD, json.dumps({"model": about, "card": card.model_dump(mode="json")}))


def read(path: Path, threads: int | None = None) -> Artefact:
    """Opens the file after its model has been compared with the hash beside it.

    Raises:
        ArtefactError: It is damaged or not one of ours.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as failure:
        raise missing(f"{path}", failure, "export") from None
    content, card = _parts(read_bytes(path), path)
    check_model(content, path)
    try:
        with quiet_stderr():  # it prints which delegate it chose
            interpreter = Interpreter(model_content=content, num_threads=threads or usable_cores())
            interpreter.allocate_tensors()
        pixels_in, sides = (interpreter.get_input_details()[0][key] for key in ("index", "shape"))
        probabilities_out = interpreter.get_output_details()[0]["index"]
    except Exception as failure:  # the runtime raises ValueError and RuntimeError for whatever goes wrong
        raise ArtefactError(f"{path}: LiteRT cannot open it ({printable(str(failure), 200)}).") from None
    if tuple(sides[1:]) != card.decoding.shape:  # it would take others, and answer something
        raise ArtefactError(f"{path}: does not take the pixels that its card states, {card.decoding.shape}.")
    one_at_a_time = threading.Lock()
    shape: list[Any] = [None]

    def answer(pixels: np.ndarray) -> np.ndarray:
        with one_at_a_time:
            if pixels.shape != shape[0]:
                interpreter.resize_tensor_input(pixels_in, pixels.shape)
                interpreter.allocate_tensors()
                shape[0] = pixels.shape
            interpreter.set_tensor(pixels_in, pixels)
            interpreter.invoke()
            return interpreter.get_tensor(probabilities_out)  # a copy

    return Artefact(path, card, in_chunks(answer)).checked()


def _parts(content: bytes, path: Path) -> tuple[bytes, Card]:
    """The model alone, whole, and the card."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            about = json.loads(read_member(archive, CARD, MOST_CARD_BYTES))
        model = content[: about["model"]["bytes"]]
        whole = hashlib.sha256(model).hexdigest() == about["model"]["sha256"]
        card = json.dumps(about["card"])
    except (
        *(zipfile.BadZipFile, struct.error, EOFError, OSError, KeyError, TypeError, ValueError),
        *(NotImplementedError, RuntimeError),
    ):
        raise ArtefactError(
            f"{path}: damaged, or has no model card; expected a file that 'conviction export' wrote."
        ) from None
    if not whole:
        raise ArtefactError(f"{path}: damaged; the model does not have the hash that was written with it.")
    return model, parse_card(card, path)
