"""SavedModel, a folder: for TensorFlow Serving and whatever else TensorFlow reaches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from operator import attrgetter
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

NAME = "saved_model"
# TensorFlow keeps this folder for what is not its own.
CARD = Path("assets.extra", "conviction.json")
# What reads or writes files, runs code that is not in the graph, or talks to other machines.
REFUSED = (
    "File",
    "PyFunc",
    "Library",
    "Print",
    "Log",
    "Socket",
    "Rpc",
    "Save",
    "Remote",
    "Dataset",
    "Iterator",
)
# TensorFlow takes these for a pattern in the path of the weights, and finds no file.
PATTERN = "*?["
# How Keras's exporter keeps and finds its own weights.
ITS_OWN = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}


def write(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    """Writes the folder; see ``Format.write``."""
    with quiet_stderr():
        model.export(path, format="tf_saved_model", verbose=False)
    card_file = path / CARD
    card_file.parent.mkdir()
    card_file.write_text(
        json.dumps({"files": _hashes(path), "card": card.model_dump(mode="json")}), encoding="utf-8"
    )


def read(path: Path, threads: int | None = None) -> Artefact:
    """Opens the folder after its files have been compared with their hashes and its operations checked.

    Raises:
        ArtefactError: It is damaged, not one of ours, or holds operations that reach outside.
    """
    if not path.is_dir():
        raise ArtefactError(f"{path}: expected a SavedModel folder.")
    card = _checked_card(path)
    import_keras()  # sets how TensorFlow starts; and the graph may hold what Keras registers
    import tensorflow as tf

    _look_through(path)
    try:
        with quiet_stderr(), _openable(path) as plain:
            loaded = tf.saved_model.load(plain)
        serve = loaded.serve
    except Exception as failure:  # whatever a damaged graph leads to
        raise ArtefactError(
            f"{path}: TensorFlow cannot open it ({' '.join(str(failure).split())[:200]})."
        ) from None

    def answer(pixels: np.ndarray) -> np.ndarray:
        return serve(tf.constant(pixels)).numpy()

    return Artefact(path, card, in_chunks(answer)).checked()


def is_pattern(path: Path) -> bool:
    """Whether TensorFlow itself cannot open a SavedModel there, such as in ``run [lr=0.01]``."""
    return any(letter in str(path.resolve()) for letter in PATTERN)


@contextlib.contextmanager
def _openable(path: Path) -> Iterator[Path]:
    """The same folder under a name that TensorFlow does not take for a pattern."""
    if not is_pattern(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "model")
        try:
            plain.symlink_to(path.resolve(), target_is_directory=True)
        except OSError:  # Windows asks for a privilege
            shutil.copytree(path, plain)
        yield plain


def _hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each file of TensorFlow's, by its path in the folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.relative_to(path) != CARD)
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _checked_card(path: Path) -> Card:
    try:
        about: Any = json.loads(read_bytes(path / CARD))
        files, card = dict(about["files"]), json.dumps(about["card"])
    except (FileNotFoundError, KeyError, TypeError, ValueError, RecursionError):
        raise ArtefactError(
            f"{path}: has no readable model card; expected a folder that 'conviction export' wrote."
        ) from None
    if _hashes(path) != files:
        raise ArtefactError(f"{path}: damaged; its files do not have the hashes that were written with them.")
    return parse_card(card, path)


def _look_through(path: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(read_bytes(path / "saved_model.pb"))
    except DecodeError:
        raise ArtefactError(f"{path}: damaged; saved_model.pb is not what its name says.") from None
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    nodes = [n.op for g in graphs for n in g.node]
    nodes += [
        n.op
        for functions in map(attrgetter("library.function"), graphs)
        for f in functions
        for n in f.node_def
    ]
    odd = sorted({n for n in nodes if n not in ITS_OWN and any(word in n for word in REFUSED)})
    if odd:
        raise ArtefactError(f"{path}: holds operations that reach outside the network ({', '.join(odd)}).")
