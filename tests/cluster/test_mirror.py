"""A study that is kept at an address of fsspec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from conviction.errors import RequestError, StorageError
from conviction.experiments.mirror import fetched
from conviction.experiments.study import study_at
from tests.conftest import Cli

ASKED = ["digits", "training.epochs=1", "model.filters=[4,4]", "model.dense=[16]", "training.batch_size=128"]


class Full(LocalFileSystem):
    """Takes so many files, and no more."""

    protocol = "full"
    cachable = False
    room = 2

    def put_file(self, *arguments: Any, **how: Any) -> None:
        if Full.room == 0:
            raise OSError("no space left in the bucket")
        Full.room -= 1
        super().put_file(*arguments, **how)


class Nobody:
    """A watch that shows nothing."""

    def begin(self, trials: int, done: int) -> None: ...
    def epoch(self, key: str, label: str, row: Any) -> None: ...
    def ended(self, key: str, label: str, outcome: Any) -> None: ...
    def close(self) -> None: ...


@pytest.mark.full
def test_a_study_goes_on_from_its_address(cli: Cli, tmp_path: Path) -> None:
    address = f"file://{tmp_path / 'there' / 'study'}"
    asked = ["explore", *ASKED, "--vary", "model.kernel_size=5", "--seeds", "1", "--out", address]
    first = cli(*asked)
    assert first.code == 0, first.err
    there = tmp_path / "there" / "study"
    assert sorted(p.name for p in there.iterdir()) == [
        "design.json",
        "report.html",
        "result.json",
        "trials.jsonl",
    ]
    # As from another machine, after a kill that came before the last trial.
    shutil.rmtree(tmp_path / "explorations")
    lines = (there / "trials.jsonl").read_text().splitlines(keepends=True)
    (there / "trials.jsonl").write_text(lines[0])
    again = cli(*asked)
    assert again.code == 0, again.err
    assert "1 of 2 runs are already finished" in again.out
    keys = [json.loads(line)["key"] for line in (there / "trials.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 2
    refused = cli(*asked[:-3], "2", "--out", address)
    assert refused.code == 2
    assert "another design" in refused.err
    assert not (tmp_path / "explorations" / "digits-2").exists()


def test_storage_that_refuses_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fsspec.register_implementation("full", Full, clobber=True)
    Full.room = 2

    def study() -> None:
        with study_at(f"full://{tmp_path}/there", "digits", Nobody()) as (path, watch):
            for number in range(3):
                with (path / "trials.jsonl").open("a") as file:
                    file.write(f"{number}\n")
                watch.ended(f"a/{number}", "a", {})

    with pytest.raises(StorageError) as refused:
        study()
    assert "trials.jsonl could not be written (no space left in the bucket)" in str(refused.value)
    assert "to continue, run the same command with out explorations/digits-1." in str(refused.value)
    assert (tmp_path / "explorations/digits-1/trials.jsonl").read_text() == "0\n1\n2\n"
    assert (tmp_path / "there/trials.jsonl").read_text() == "0\n1\n"


def test_an_address_that_cannot_be_used_is_refused_before_anything_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for address in ("nothing://bucket/study", f"file://{tmp_path}/file/study"):
        with (
            pytest.raises(RequestError, match=f"out {address}: cannot be used"),
            study_at(address, "d", Nobody()),
        ):
            pass
    assert not list((tmp_path / "explorations").iterdir())


def test_only_what_has_changed_is_sent(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "design.json").write_text("{}")
    here = tmp_path / "here"
    here.mkdir()
    mirror = fetched(f"file://{tmp_path / 'there'}", here)
    assert (here / "design.json").read_text() == "{}"
    (tmp_path / "there" / "design.json").unlink()
    (here / ".images-1").mkdir()
    (here / ".images-1" / "pixels.npy").touch()
    (here / "run").mkdir()
    (here / "run" / "model.keras").write_text("new")
    mirror.send()
    assert [p.name for p in sorted((tmp_path / "there").rglob("*"))] == ["run", "model.keras"]
