"""SavedModel, a folder: for TensorFlow Serving and whatever else TensorFlow reaches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.bounds import (
    MOST_CARD_BYTES,
    MOST_FILE_BYTES,
    ONLY_OURS,
    check_finite,
    read_bytes,
)
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats.reading import in_chunks
from conviction.artefacts.formats.saved_graph import MOST_GRAPH_BYTES, only_what_answers
from conviction.audience import option
from conviction.backend import import_keras, quiet_stderr
from conviction.errors import ArtefactError, listed_names, printable
from conviction.extras import needed

if TYPE_CHECKING:
    import keras

NAME = "saved_model"
# TensorFlow keeps this folder for what is not its own.
CARD = Path("assets.extra", "conviction.json")
GRAPH, WEIGHTS = "saved_model.pb", "variables/variables"
INDEX, SHARD = f"{WEIGHTS}.index", f"{WEIGHTS}.data-00000-of-00001"
# All that the folder of an export has.
FILES = (GRAPH, "fingerprint.pb", INDEX, SHARD)
FOLDERS = ("assets", CARD.parent.name, "variables")
# TensorFlow takes these for a pattern in the path of the weights, and finds no file.
PATTERN = "*?["
WEIGHT_TYPES = {"float32", "int64"}
# The key under which the weights' own file keeps which object has which.
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"


def write(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    """Writes the folder; see ``Format.write``."""
    needed("tensorflow", f"{option('format', 'formats')} {NAME}")
    with quiet_stderr():
        model.export(path, format="tf_saved_model", verbose=False)
    card_file = path / CARD
    card_file.parent.mkdir()
    hashes = {name: _hash((path / name).read_bytes()) for name in FILES if (path / name).exists()}
    card_file.write_text(
        json.dumps({"files": hashes, "card": card.model_dump(mode="json")}), encoding="utf-8"
    )


def read(path: Path, threads: int | None = None) -> Artefact:
    """Opens the folder after its files have been compared with their hashes, and its graph and weights checked.

    TensorFlow sees neither the folder nor its graph: it opens a copy in memory, of the functions that give answers.

    Raises:
        ArtefactError: It is damaged, not one of ours, or holds operations that none of our networks has.
    """
    if not path.is_dir():
        raise ArtefactError(f"{path}: expected a SavedModel folder.")
    card, files = _checked_files(path)
    needed("tensorflow", str(path))
    import_keras()  # sets how TensorFlow starts
    import tensorflow as tf

    graph = only_what_answers(files[GRAPH], path)
    try:
        with quiet_stderr(), _in_memory({**files, GRAPH: graph}) as copy:
            _check_weights(f"{copy}/{WEIGHTS}", len(files[SHARD]), path)
            loaded = tf.saved_model.load(copy)
        serve = loaded.serve
    except ArtefactError:
        raise
    except Exception as failure:  # whatever a damaged graph leads to
        raise ArtefactError(f"{path}: TensorFlow cannot open it ({printable(str(failure), 200)}).") from None

    def answer(pixels: np.ndarray) -> np.ndarray:
        return serve(tf.constant(pixels)).numpy()

    return Artefact(path, card, in_chunks(answer)).checked()


def is_pattern(path: Path) -> bool:
    """Whether TensorFlow itself cannot open a SavedModel there, such as in ``run [lr=0.01]``."""
    return any(letter in str(path.resolve()) for letter in PATTERN)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checked_files(path: Path) -> tuple[Card, dict[str, bytes]]:
    """The card, and the content of each file by its name."""
    odd = sorted(_others(path))
    if odd:
        raise ArtefactError(f"{path}: has files that an export has not ({listed_names(odd)}). {ONLY_OURS}")
    try:
        about: Any = json.loads(read_bytes(path / CARD, MOST_CARD_BYTES))
        hashes, card = dict(about["files"]), json.dumps(about["card"])
    except (FileNotFoundError, KeyError, TypeError, ValueError, RecursionError) as failure:
        if isinstance(failure, ArtefactError):
            raise
        raise ArtefactError(
            f"{path}: has no readable model card; expected a folder that 'conviction export' wrote."
        ) from None
    files = {
        name: read_bytes(path / name, MOST_FILE_BYTES if name == SHARD else MOST_GRAPH_BYTES)
        for name in FILES
        if (path / name).exists() or name != "fingerprint.pb"
    }
    if {name: _hash(content) for name, content in files.items()} != hashes:
        raise ArtefactError(f"{path}: damaged; its files do not have the hashes that were written with them.")
    return parse_card(card, path), files


def _others(path: Path) -> Iterator[str]:
    """What the folder has that none of ours has; of a folder with many files a few."""
    known = {*FILES, *FOLDERS, CARD.as_posix()}
    for folder in ("", *FOLDERS):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(path / folder) as entries:
            for entry in islice(entries, len(known) + 1):
                name = f"{folder}/{entry.name}" if folder else entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if name not in known or is_folder != (name in FOLDERS):
                    yield name


@contextlib.contextmanager
def _in_memory(files: dict[str, bytes]) -> Iterator[str]:
    """A folder of TensorFlow's own, in memory, whose path has no letter of a pattern."""
    import tensorflow as tf

    folder = f"ram://conviction-{os.getpid()}-{id(files)}"
    try:
        for name, content in files.items():
            tf.io.gfile.makedirs(os.path.dirname(f"{folder}/{name}"))
            with tf.io.gfile.GFile(f"{folder}/{name}", "wb") as file:
                file.write(content)
        yield folder
    finally:
        tf.io.gfile.rmtree(folder)


def _check_weights(prefix: str, size: int, path: Path) -> None:
    """Refuses weights that declare more than their file has, and those that are not numbers."""
    import tensorflow as tf

    reader = tf.compat.v1.train.NewCheckpointReader(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    shapes.pop(OBJECTS, None)
    odd = {types[name].name for name in shapes} - WEIGHT_TYPES
    if odd:
        raise ArtefactError(
            f"{path}: has weights of a type that ours have not ({listed_names(odd)}). {ONLY_OURS}"
        )
    declared = sum(types[name].size * math.prod(shape) for name, shape in shapes.items())
    if declared > size:
        raise ArtefactError(
            f"{path}: damaged; it declares {declared:,} bytes of weights, and their file has {size:,}."
        )
    for name in shapes:
        check_finite(reader.get_tensor(name), path)
