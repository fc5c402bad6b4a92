"""A ``.keras`` file: for Keras itself, on any backend."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.bounds import ONLY_OURS, read_bytes
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats.reading import in_chunks
from conviction.backend import import_keras, quiet_stderr
from conviction.errors import ArtefactError, printable

if TYPE_CHECKING:
    import keras

CARD = "conviction-card.json"


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
    config, card = checked_parts(read_bytes(path), path)
    keras = import_keras()
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Keras's load_model would unpack an archive with a card to the disk, all of it.
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
            model.load_weights(path)
    except Exception as failure:  # Keras and h5py raise whatever a damaged file leads to
        raise ArtefactError(f"{path}: Keras cannot open it ({printable(str(failure), 200)}).") from None

    def answer(pixels: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(model(pixels, training=False))

    return Artefact(path, card, in_chunks(answer)).checked()


def checked_parts(content: bytes, path: Path) -> tuple[dict[str, Any], Card]:
    """The description of the network and the card, after all of the file has been looked through.

    Raises:
        ArtefactError: It is damaged, not one of ours, or holds anything but the layers of a network.
    """
    from conviction.model.network_file import NetworkFileError, checked_network

    try:
        config = checked_network(content, CARD)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(CARD)
    except NetworkFileError as failure:
        raise ArtefactError(f"{path}: {failure}, so it is not opened. {ONLY_OURS}") from None
    except MemoryError:
        raise
    except (
        Exception
    ):  # h5py raises whatever a damaged file leads to, and JSON that is nested too deep RecursionError
        raise ArtefactError(
            f"{path}: damaged, or has no model card; expected a file that 'conviction export' wrote."
        ) from None
    return config, parse_card(text, path)
