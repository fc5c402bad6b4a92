"""Why a file of a run cannot be read: only damage is called damage, whichever file it is and whoever reads it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import conviction
from conviction.backend import import_keras
from conviction.errors import RunFileError
from conviction.runs import RunFolder, folder, open_run
from conviction.runs.checkpoints import read_checkpoint, write_checkpoint
from conviction.runs.folder import CHECKPOINTS, PREDICTIONS
from conviction.runs.predictions import read_predictions
from conviction.web.jobs.progress import RunWatcher
from tests.conftest import Cli
from tests.runs.test_checkpoints import ABOUT, state
from tests.runs.test_content import RECORDED

CHECKPOINT = f"{CHECKPOINTS}/000001-000000000.ckpt"
READERS: dict[str, Callable[[Path], Any]] = {
    folder.CONFIG: lambda run: RunFolder(run).config,
    folder.DATA: lambda run: RunFolder(run).data,
    folder.HISTORY: lambda run: RunFolder(run).epoch_rows,
    folder.EVALUATION: lambda run: RunFolder(run).evaluation,
    folder.ENVIRONMENT: lambda run: RunFolder(run).environment,
    folder.MODEL: lambda run: RunFolder(run).model,
    PREDICTIONS: read_predictions,
    CHECKPOINT: read_checkpoint,
}
every_file = pytest.mark.parametrize("name", READERS)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with every file; of the model and the predictions, only what tells them apart."""
    path = tmp_path / "run"
    shutil.copytree(RECORDED, path)
    write_checkpoint(path, state(1), ABOUT)
    (path / folder.ENVIRONMENT).write_text(json.dumps({"versions": {"conviction": conviction.__version__}}))
    np.savez(path / PREDICTIONS)
    with zipfile.ZipFile(path / folder.MODEL, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr(folder.MODEL_CARD, '{"version": 1, "class_names": [], "decoding": {}}')
    return path


def reason(run: Path, name: str) -> tuple[str, str]:
    with pytest.raises(RunFileError) as found:
        READERS[name](run)
    assert (run / name).name in str(found.value)
    return found.value.reason, str(found.value)


@every_file
def test_a_folder_in_its_place_is_no_damage(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    assert reason(run, name) == ("folder", f"{run / name}: expected a file; this is a folder.")


@every_file
def test_another_users_file_is_no_damage(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = io.open  # root may read everything, so the system's answer is planted

    def refuse(file: Any, *arguments: Any, **how: Any) -> Any:
        if str(file) == str(run / name):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *arguments, **how)

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    kind, said = reason(run, name)
    assert kind == "permission"
    assert "this user has no permission" in said


@every_file
def test_a_disk_that_fails_is_no_damage(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(5, "Input/output error")

    import_keras()  # whose own files can be read
    monkeypatch.setattr("io.open", fail)
    kind, said = reason(run, name)
    assert (kind, "Input/output error" in said) == ("unreadable", True)


@every_file
def test_what_is_damaged_says_so(run: Path, name: str) -> None:
    (run / name).write_bytes(b"\x00{[")
    if name == CHECKPOINT:  # the one before is used
        assert read_checkpoint(run) is None
        return
    kind, said = reason(run, name)
    assert (kind, ": the file is damaged (" in said) == ("damaged", True)


@pytest.mark.parametrize("name", [n for n in READERS if n != CHECKPOINT])
def test_what_a_newer_version_wrote_is_no_damage(run: Path, name: str) -> None:
    (run / folder.ENVIRONMENT).write_text('{"versions": {"conviction": "99.1.0"}}')
    (run / name).write_bytes(b'["a layout of the future"]')
    kind, said = reason(run, name)
    if name == folder.ENVIRONMENT:  # the one that would have said it
        assert kind == "damaged"
    else:
        assert (kind, "it was written by conviction 99.1.0, and this is" in said) == ("newer", True)


def test_a_key_of_a_newer_version_is_named(run: Path) -> None:
    written = yaml.safe_load((run / folder.CONFIG).read_text())
    written["training"]["telepathy"] = True
    (run / folder.CONFIG).write_text(yaml.safe_dump(written))
    kind, said = reason(run, folder.CONFIG)
    assert (kind, "has the key 'training.telepathy', which conviction" in said) == ("newer", True)


def test_a_value_that_is_not_taken_is_named(run: Path) -> None:
    text = (run / folder.CONFIG).read_text()
    (run / folder.CONFIG).write_text(text.replace("epochs: 12", "epochs: many"))
    kind, said = reason(run, folder.CONFIG)
    assert kind == "value"
    assert "training.epochs: expected an integer" in said


def test_newer_cards_checkpoints_and_keras_are_no_damage(run: Path) -> None:
    with zipfile.ZipFile(run / folder.MODEL, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "99.0.0"}')
        archive.writestr(folder.MODEL_CARD, '{"version": 2}')
    kind, said = reason(run, folder.MODEL)
    assert (kind, "it was written by Keras 99.0.0" in said) == ("newer", True)
    with pytest.raises(RunFileError, match="model card") as found:
        _ = RunFolder(run).class_names
    assert found.value.reason == "newer"
    (run / CHECKPOINT).write_bytes(b"conviction checkpoint 2\n")
    assert reason(run, CHECKPOINT)[0] == "newer"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ModuleNotFoundError("No module named 'keras'", name="keras"), "needs the package 'keras'"),
        (ImportError("libcudart.so: cannot open shared object file"), "could not be imported (libcudart"),
    ],
)
def test_a_missing_package_is_no_damage(
    run: Path, monkeypatch: pytest.MonkeyPatch, failure: ImportError, said: str
) -> None:
    def lack(*_: object, **__: object) -> None:
        raise failure

    # Keras imports what it needs for a layer while it reads the file.
    monkeypatch.setattr("conviction.runs.run.checked_network", lambda content, card, own: {})
    monkeypatch.setattr("keras.models.load_model", lack)
    kind, sentence = reason(run, folder.MODEL)
    assert (kind, said in sentence) == ("package", True)


def test_memory_that_runs_out_says_nothing_about_the_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swell(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("conviction.runs.run.checked_network", lambda content, card, own: {})
    monkeypatch.setattr("keras.models.load_model", swell)
    with pytest.raises(MemoryError):
        _ = RunFolder(run).model


def test_lists_and_pages_call_damaged_only_what_is(run: Path, cli: Cli) -> None:
    shutil.rmtree(run / CHECKPOINTS)
    (run / folder.DATA).unlink()
    (run / folder.DATA).mkdir()
    standing = RunWatcher().run(run)
    assert (standing.status, standing.trouble) == ("unreadable", reason(run, folder.DATA)[1])
    row = cli("runs", ".", "--json").json["runs"][0]
    assert row["status"] == "unreadable"
    assert "this is a folder" in row["reason"]


def test_a_folder_without_access_is_no_missing_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: Any) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(RunFileError) as found:
        open_run(run)
    assert found.value.reason == "permission"
