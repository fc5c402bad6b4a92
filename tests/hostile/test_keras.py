"""``.keras`` files that were made to do harm: each is refused before Keras or HDF5 makes anything of it."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.artefacts.formats import keras_file
from conviction.errors import ArtefactError
from conviction.model import network_file
from tests.hostile import models as made
from tests.hostile.conftest import Ours

pytestmark = pytest.mark.full

OTHERS = (
    *(
        "Lambda",
        "TFSMLayer",
        "FlaxLayer",
        "JaxLayer",
        "TorchModuleWrapper",
        "Embedding",
        "LSTM",
        "RNN",
        "Bidirectional",
    ),
    *(
        "TimeDistributed",
        "StringLookup",
        "IntegerLookup",
        "TextVectorization",
        "Hashing",
        "Discretization",
        "Pipeline",
    ),
    *(
        "RandomFlip",
        "UpSampling2D",
        "Resizing",
        "CenterCrop",
        "RepeatVector",
        "Masking",
        "EinsumDense",
        "Wrapper",
    ),
    *(
        "MultiHeadAttention",
        "Orthogonal",
        "function",
        "__lambda__",
        "__tensor__",
        "__numpy__",
        "__typespec__",
    ),
    *("__slice__", "__bytes__", "GetItem", "Operation", "\x1b[2JDense"),
)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_layer_that_no_network_has_is_refused_by_name(ours: Ours, tmp_path: Path, kind: str) -> None:
    assert kind not in network_file.CLASSES

    def change(config: Any) -> None:
        made.layer_of(config, "Dense")["class_name"] = kind

    path = made.with_config(ours("keras").read_bytes(), tmp_path / "model.keras", change)
    assert kind.strip("\x1b") in made.refusal(path, "keras")


def dense(**settings: Any) -> Callable[[Any], object]:
    return lambda config: made.layer_of(config, "Dense")["config"].update(settings)


def outer(**settings: Any) -> Callable[[Any], object]:
    return lambda config: made.layer_of(config, "Dense").update(settings)


def built_for(*shape: Any) -> Callable[[Any], object]:
    return outer(build_config={"input_shape": list(shape)})


def deep(config: Any) -> None:
    layers = config["config"]["layers"]
    for _ in range(5):
        layers.append({"class_name": "Functional", "config": {"layers": []}})
        layers = layers[-1]["config"]["layers"]


DESCRIPTIONS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a class of another module": (outer(module="os"), "os"),
    "a class of Python's own": (outer(module="builtins"), "builtins"),
    "a class of Keras's inside": (outer(module="keras.src.saving.saving_lib"), "keras.src.saving"),
    "a class of ours": (outer(module="conviction.process"), "conviction.process"),
    "a module that is no text": (outer(module=["os"]), "os"),
    "a class that a user has registered": (outer(registered_name="evil>Dense"), "evil>Dense"),
    "a class beside the layer": (outer(evil=1), "evil"),
    "a kernel initialised by another class": (
        dense(kernel_initializer={"class_name": "Orthogonal", "config": {}, "module": "keras.initializers"}),
        "Orthogonal",
    ),
    "a policy of another class": (
        dense(dtype={"class_name": "QuantizedDTypePolicy", "config": {}, "module": "keras"}),
        "QuantizedDTypePolicy",
    ),
    "a thousand million units": (dense(units=10**9), "a large units"),
    "units without end": (dense(units=10**400), "a large units"),
    "units that are no number": (dense(units=float("nan")), "a large units"),
    "as many units as may be, for as many features": (
        lambda config: (dense(units=65_536)(config), built_for(None, 65_536)(config)),
        "weights",
    ),
    "more units than weights": (dense(units=60_000), "weights"),
    "more features than weights": (built_for(None, 65_536), "weights"),
    "features without end": (built_for(None, 2**62), "a large number"),
    "no features": (built_for(), "has no shape"),
    "a shape that is text": (built_for(None, "many"), "has no shape"),
    "a layer without its shape": (
        lambda config: made.layer_of(config, "Dense").pop("build_config"),
        "has no shape",
    ),
    "a kernel of a thousand million pixels": (
        lambda config: made.layer_of(config, "Conv2D")["config"].update(kernel_size=[10**5, 10**5]),
        "a large number",
    ),
    "as large a kernel as may be": (
        lambda config: made.layer_of(config, "Conv2D")["config"].update(kernel_size=[65_536, 65_536]),
        "weights",
    ),
    "no groups": (lambda config: made.layer_of(config, "Conv2D")["config"].update(groups=0), "no shape"),
    "a name of a megabyte": (dense(name="a" * 10**6), "a large name"),
    "20,000 layers": (
        lambda config: config["config"]["layers"].extend([made.layer_of(config, "Dense")] * 20_000),
        "larger network",
    ),
    "networks in networks": (deep, "larger network"),
    "no layers": (lambda config: config["config"].update(layers=[]), "cannot open it"),
    "a picture of a thousand million rows": (
        lambda config: made.layer_of(config, "InputLayer")["config"].update(batch_shape=[None, 10**9, 16, 1]),
        "a large number",
    ),
    "a description that is a list": (lambda config: config.clear(), "cannot open it"),
}


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_a_description_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = DESCRIPTIONS[what]
    path = made.with_config(ours("keras").read_bytes(), beside_others / "model.keras", change)
    assert words in made.refusal(path, "keras")


def link(make: Callable[[Any], Any]) -> Callable[[Any, Any], object]:
    def change(file: Any, group: Any) -> None:
        del group["0"]
        group["0"] = make(file)

    return change


def replaced(*arguments: Any, **how: Any) -> Callable[[Any, Any], object]:
    def change(file: Any, group: Any) -> None:
        del group["0"]
        group.create_dataset("0", *arguments, **how)

    return change


def to_another_file(file: Any) -> Any:
    import h5py

    return h5py.ExternalLink("/etc/passwd", "/")


def to_itself(file: Any) -> Any:
    import h5py

    return h5py.SoftLink("/layers")


def virtual(file: Any, group: Any) -> None:
    import h5py

    del group["0"]
    layout = h5py.VirtualLayout((4, 4), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4, 4))
    group.create_virtual_dataset("0", layout)


def with_number(number: float) -> Callable[[Any, Any], object]:
    def change(file: Any, group: Any) -> None:
        group["0"][0, 0] = number

    return change


ARRAYS: dict[str, tuple[Callable[[Any, Any], object], str]] = {
    "weights in another file": (link(to_another_file), "elsewhere"),
    "weights behind a name": (link(to_itself), "elsewhere"),
    "groups in a circle": (link(lambda file: file["layers"]), "more groups"),
    "weights outside": (
        replaced((4, 4), "float32", external=[("/etc/passwd", 0, 64)]),
        "elsewhere",
    ),
    "weights of several files": (virtual, "elsewhere"),
    "compressed weights": (
        replaced(data=np.zeros((4, 4), "f4"), compression="gzip", chunks=(4, 4)),
        "in pieces",
    ),
    "weights in pieces that are not there": (
        replaced((10**6, 10**6), "float32", chunks=(1_000, 1_000)),
        "in pieces",
    ),
    "weights that are not there": (replaced((10**6, 10**6), "float32"), "declares 4,000,000,000,000 bytes"),
    "a few that are not there": (replaced((4, 4), "float32"), "has fewer"),
    "no weights": (replaced(data=__import__("h5py").Empty("f4")), "type"),
    "weights that are text": (replaced(data=[b"text"]), "type"),
    "weights of no length": (
        replaced(data=np.array(["a"], object), dtype=__import__("h5py").string_dtype()),
        "type",
    ),
    "weights of several kinds": (replaced(data=np.zeros(2, [("a", "f4"), ("b", "i4")])), "type"),
    "weights in double precision": (replaced(data=np.zeros((4, 4))), "type"),
    "weights of NaN": (with_number(float("nan")), "not finite"),
    "weights of infinity": (with_number(float("inf")), "not finite"),
    "fewer weights": (lambda file, group: group.__delitem__("0"), "weights"),
    "weights of another shape": (
        replaced(data=np.zeros((8, 4), "f4")),
        "cannot open it",
    ),
    "20,000 groups": (
        lambda file, group: [file.create_group(f"more{number}") for number in range(20_000)],
        "more groups",
    ),
    "groups without end": (lambda file, group: file.create_group("/".join("a" * 50)), "more groups"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_weights_that_none_of_ours_are_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, words = ARRAYS[what]
    path = made.with_arrays(ours("keras").read_bytes(), beside_others / "model.keras", change)
    assert words in made.refusal(path, "keras")


def without(name: str) -> Callable[[dict[str, bytes]], object]:
    return lambda members: members.pop(name)


def member(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda members: members.update({name: content})


MEMBERS: dict[str, tuple[Callable[[dict[str, bytes]], object], int, str]] = {
    "a member more": (member("assets/words.txt", b""), 0, "other members"),
    "a member that leads out": (member("../../outside/kept", b"changed"), 0, "other members"),
    "weights of another kind": (member("model.weights.npz", b""), 0, "other members"),
    "no weights": (without("model.weights.h5"), 0, "other members"),
    "no description": (without("config.json"), 0, "other members"),
    "no card": (without(made.KERAS_CARD), 0, "other members"),
    "compressed members": (lambda members: None, zipfile.ZIP_DEFLATED, "compressed"),
    "a description that becomes 400 MB": (
        member("config.json", b" " * 400_000_000),
        zipfile.ZIP_DEFLATED,
        "compressed",
    ),
    "a description of 5 MB": (member("config.json", b" " * 5_000_000), 0, "larger network"),
    "a description that is nested without end": (member("config.json", b"[" * 200_000), 0, "damaged"),
    "a description that is no JSON": (member("config.json", b"\xff\xfe"), 0, "damaged"),
    "a description that is a number": (member("config.json", b"7"), 0, "no description"),
    "weights that are no HDF5": (
        member("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(5_000)),
        0,
        "damaged",
    ),
    "weights of nothing": (member("model.weights.h5", b""), 0, "damaged"),
}


@pytest.mark.parametrize("what", MEMBERS)
def test_an_archive_that_none_of_ours_is_like(ours: Ours, beside_others: Path, what: str) -> None:
    change, method, words = MEMBERS[what]
    path = made.keras_file(ours("keras").read_bytes(), beside_others / "model.keras", change, method)
    assert words in made.refusal(path, "keras")


def test_two_members_with_one_name(ours: Ours, tmp_path: Path) -> None:
    path = made.keras_file(ours("keras").read_bytes(), tmp_path / "model.keras", lambda members: None)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
    assert "other members" in made.refusal(path, "keras")


@pytest.mark.parametrize("seed", range(40))
def test_weights_with_changed_bytes_are_looked_through_or_refused(
    ours: Ours, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def change(members: dict[str, bytes]) -> None:
        content = bytearray(members["model.weights.h5"])
        for _ in range(int(rng.integers(1, 30))):
            content[int(rng.integers(8, 3_000))] = int(rng.integers(0, 256))
        members["model.weights.h5"] = bytes(content)

    path = made.keras_file(ours("keras").read_bytes(), tmp_path / "model.keras", change)
    with contextlib.suppress(ArtefactError):
        keras_file.checked_parts(path.read_bytes(), path)
