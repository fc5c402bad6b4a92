"""The run folder: made once, nothing half-written, errors that say what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conviction.backend import import_keras
from conviction.config import load_recipe
from conviction.data import DecodingRule
from conviction.errors import OutputError, StorageError
from conviction.model import build
from conviction.runs import folder
from tests.patience import PATIENCE

RULE = DecodingRule(color_mode="grayscale", height=12, width=12)


def test_default_names_count_up(tmp_path: Path) -> None:
    assert folder.create(None, tmp_path / "runs", "digits-lab").name == "digits-lab-1"
    assert folder.create(None, tmp_path / "runs", "digits-lab").name == "digits-lab-2"


@pytest.mark.parametrize("stem", ["../up", "a/b", "..", "", "na\nme", "-x"])
def test_a_source_name_cannot_lead_out_of_the_runs_folder(tmp_path: Path, stem: str) -> None:
    made = folder.create(None, tmp_path / "runs", stem)
    assert made.parent == tmp_path / "runs"
    assert made.is_dir()


def test_processes_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom conviction.runs import folder\n"
        "for i in range(20): print(folder.create(None, Path(sys.argv[1]), 'x').name)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "runs")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    names = [name for w in workers for name in w.communicate(timeout=PATIENCE)[0].split()]
    assert sorted(names) == sorted(f"x-{i}" for i in range(1, 61))


def test_an_out_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    for name, part in (("full", "not empty"), ("full/thesis.txt", "this is a file")):
        with pytest.raises(OutputError, match=part):
            folder.create(tmp_path / name, tmp_path, "x")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "dear"


def test_an_empty_out_folder_is_used(tmp_path: Path) -> None:
    assert folder.create(tmp_path, tmp_path, "x") == tmp_path


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OutputError, match="no permission to write"):
        folder.check_out(tmp_path / "new")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text(tmp_path / "a.txt", "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        folder.write_text(tmp_path / "a.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_read_only_place_is_the_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"), folder.storing(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_files_get_the_permissions_that_the_user_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder.write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_the_model_file_is_keras_and_says_what_it_means(tmp_path: Path) -> None:
    model = build(load_recipe(["model.filters=[4]"]).model, (12, 12, 1), 3, seed=0)
    path = tmp_path / "model.keras"
    folder.write_model(path, model, ["a", "b", "ü"], RULE)
    card = folder.read_model_card(path)
    assert card["class_names"] == ["a", "b", "ü"]
    assert DecodingRule.model_validate(card["decoding"]) == RULE
    again = import_keras().models.load_model(path, safe_mode=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)
    assert np.array_equal(again.predict_on_batch(pixels), model.predict_on_batch(pixels))
    assert zipfile.ZipFile(path).testzip() is None


def test_rows_read_back_to_the_same_bits(tmp_path: Path) -> None:
    from conviction.runs.run import RunFolder
    from conviction.training import EpochRow

    rows = [EpochRow(1, 0.1 + 0.2, 1 / 3, 1e-17, 0.5, 0.001)]
    folder.write_rows(tmp_path / "history.csv", rows, list(EpochRow.__dataclass_fields__))
    (tmp_path / "config.yaml").write_text(load_recipe().to_yaml())
    assert RunFolder(tmp_path).epoch_rows == rows


def test_what_could_not_be_written_is_told_by_its_cause(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(StorageError, match=f"{run} does not exist") as gone:
        folder.write_text(run / "checkpoints" / "a.json", "{}")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"{tmp_path / 'file'} is a file, not a folder") as blocked:
        folder.write_text(tmp_path / "file" / "a.json", "{}")
    with pytest.raises(OutputError, match=f"{tmp_path / 'file'} is a file, not a folder"):
        folder.create(None, tmp_path / "file" / "runs", "digits")
    with pytest.raises(StorageError, match="free some space") as full, folder.storing(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match="try again") as broken, folder.storing(tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    assert not any("space and" in str(found.value) for found in (gone, blocked, broken))
    assert [found.value.exit_code for found in (gone, blocked, full, broken)] == [1, 2, 1, 1]
