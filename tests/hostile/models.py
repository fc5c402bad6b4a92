"""Model files as an attacker would make them: an export of ours, and changes to each part of it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts.card import Card
from conviction.artefacts.converting import one_output_a_class
from conviction.artefacts.formats import FORMATS
from conviction.config.model import ModelSpec
from conviction.errors import ArtefactError, ConvictionError
from conviction.model import build
from tests.conftest import artefact

SHAPE = (16, 16, 1)
KERAS_CARD, LITERT_CARD, SAVED_CARD = (
    "conviction-card.json",
    "conviction.json",
    "assets.extra/conviction.json",
)


def card_for(
    form: str, shape: tuple[int, ...] = SHAPE, classes: int = 2, quantized: str | None = None
) -> Card:
    """A card of a network that nobody has tested."""
    return Card.model_validate_json(
        json.dumps(
            {
                "name": "hostile",
                "kind": form,
                "quantized": quantized,
                "class_names": [f"class {i}" for i in range(classes)],
                "decoding": {
                    "color_mode": "rgb" if shape[2] == 3 else "grayscale",
                    "height": shape[0],
                    "width": shape[1],
                },
                "data": {"name": "none", "licence": None, "images_by_class": {}},
                "specification": {},
                "test": None,
                "limits": [],
                "provenance": {},
            }
        )
    )


def export(
    form: str,
    folder: Path,
    spec: ModelSpec,
    *,
    shape: tuple[int, int, int] = SHAPE,
    classes: int = 2,
    quantized: str | None = None,
    views: int = 1,
    change: Callable[[Any], object] = lambda model: None,
) -> Path:
    """Writes a network in a format, as ``conviction export`` does; ``change`` may spoil it before."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build(spec, shape, classes, 0)
    change(model)
    path = artefact(folder, form)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    FORMATS[form].write(
        one_output_a_class(model, views), path, card_for(form, shape, classes, quantized), pixels
    )
    return path


def refusal(path: Path, form: str) -> str:
    """The sentence with which a file is refused: by us, in one line, as a wrong request."""
    with pytest.raises(ConvictionError) as refused:
        FORMATS[form].read(path, 1)
    failure, message = refused.value, str(refused.value)
    assert isinstance(failure, ArtefactError | FileNotFoundError), repr(failure)
    assert failure.exit_code == 2
    assert message.isprintable(), "what a file calls its parts reaches the terminal"
    assert len(message) < 1_000 + len(str(path))
    return message


def keras_file(
    content: bytes, path: Path, change: Callable[[dict[str, bytes]], object], method: int = 0
) -> Path:
    """A ``.keras`` file with other members; those of ``content`` by their names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return path


def with_config(content: bytes, path: Path, change: Callable[[Any], object]) -> Path:
    """A ``.keras`` file with another description of its network."""

    def write(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()

    return keras_file(content, path, write)


def layer_of(config: Any, kind: str) -> dict[str, Any]:
    """The first layer of a kind in a description."""
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == kind)


def with_arrays(content: bytes, path: Path, change: Callable[[Any, Any], object]) -> Path:
    """A ``.keras`` file with other weights; ``change`` has the HDF5 file and the group of a dense layer's."""
    import h5py

    def write(members: dict[str, bytes]) -> None:
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as opened:
            groups: list[Any] = []
            opened.visititems(lambda name, item: groups.append(item) if name.endswith("dense/vars") else None)
            change(opened, (groups or [opened["layers"]])[0])
        members["model.weights.h5"] = file.getvalue()

    return keras_file(content, path, write)


def litert_file(model: bytes, path: Path, card: Any, method: int = 0) -> Path:
    """A LiteRT file whose card has the right hash; any JSON may be the card."""
    about = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr(LITERT_CARD, json.dumps({"model": about, "card": card}))
    return path


def litert_with(whole: Path, path: Path, change: Callable[[Any], object]) -> Path:
    """A LiteRT file with another model; ``change`` has it as an object."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(whole.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return litert_file(bytes(builder.Output()), path, card_for("litert").model_dump(mode="json"))


def saved_with(whole: Path, path: Path, change: Callable[[Any], object]) -> Path:
    """A SavedModel with another graph, whose hashes are right."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(whole, path)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    change(saved)
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return hashed(path)


def hashed(path: Path) -> Path:
    """A SavedModel after its hashes have been made right."""
    file = path / SAVED_CARD
    about = json.loads(file.read_text())
    about["files"] = {n: hashlib.sha256((path / n).read_bytes()).hexdigest() for n in about["files"]}
    file.write_text(json.dumps(about))
    return path


def serving_function(saved: Any) -> Any:
    """The function of a SavedModel that calculates answers."""
    functions = saved.meta_graphs[0].graph_def.library.function
    return max(functions, key=lambda f: sum(node.op == "Conv2D" for node in f.node_def))


def onnx_with(whole: Path, path: Path, change: Callable[[Any], object]) -> Path:
    """An ONNX file after a change."""
    import onnx

    model = onnx.load(whole)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def with_card(form: str, whole: Path, path: Path, card: str) -> Path:
    """An export with this text in place of its card."""
    if form == "onnx":

        def change(model: Any) -> None:
            next(prop for prop in model.metadata_props if prop.key == "conviction").value = card

        return onnx_with(whole, path, change)
    if form == "keras":
        return keras_file(
            whole.read_bytes(), path, lambda members: members.update({KERAS_CARD: card.encode()})
        )
    if form == "litert":
        with zipfile.ZipFile(whole) as archive:
            about = json.loads(archive.read(LITERT_CARD))["model"]
        path.write_bytes(whole.read_bytes()[: about["bytes"]])
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(LITERT_CARD, f'{{"model": {json.dumps(about)}, "card": {card}}}')
        return path
    shutil.copytree(whole, path)
    files = json.loads((path / SAVED_CARD).read_text())["files"]
    (path / SAVED_CARD).write_text(f'{{"files": {json.dumps(files)}, "card": {card}}}')
    return path
