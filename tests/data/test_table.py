"""A CSV or Parquet file that lists pictures wherever they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from conviction.config import DataSpec
from conviction.data import audit_images, load_source, split_images
from conviction.errors import SourceError
from tests.conftest import Cli
from tests.data import builders


def write(path: Path, rows: list[tuple[str, ...]], header: str = "file,label,split,group") -> Path:
    path.write_text(header + "\n" + "".join(",".join(row) + "\n" for row in rows))
    return path


def test_parts_and_groups_are_those_of_the_table(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    rows = [
        (
            f"{root}/{path}",
            path.split("/")[0],
            "test" if path.endswith("7.png") else "train",
            f"patient{i // 2}",
        )
        for i, path in enumerate(builders.files())
    ]
    images = load_source(write(tmp_path / "list.csv", rows))
    assert set(images.parts[[n.endswith("7.png") for n in images.names]]) == {"test"}
    assert images.groups is not None
    assert images.groups[images.names.index("animals/ant/0.png")] == "patient0"
    untested = [(file, label, "", group) for file, label, _, group in rows]
    images = load_source(write(tmp_path / "groups.csv", untested))
    assert images.groups is not None
    audit = audit_images(images, DataSpec())
    split = split_images(images, DataSpec(), 0, audit.groups)
    part = {int(i): name for name in ("train", "validation", "test") for i in split.of(name)}
    for patient in range(12):
        members = [i for i, group in enumerate(images.groups.tolist()) if group == f"patient{patient}"]
        assert len({part[i] for i in members}) == 1


def test_a_key_wins_over_the_groups_of_a_table(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    rows = [(f"{root}/{path}", path.split("/")[0], "", "all") for path in builders.files()]
    images = load_source(write(tmp_path / "list.csv", rows))
    spec = DataSpec(group=r"/([0-9])\.png")
    groups = audit_images(images, spec).groups
    assert len(set(groups.tolist())) == builders.PER_CLASS


def test_a_picture_is_called_by_its_path_below_what_all_share(tmp_path: Path) -> None:
    """So that a run folder says nothing of the machine that made it."""
    listed = builders.table(tmp_path, absolute=True)
    assert sorted(load_source(listed).names) == sorted(builders.files())


def test_what_is_listed_and_not_there_is_named(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    os.mkfifo(root / "ant" / "pipe.png")
    rows = [(f"{root}/{path}", path.split("/")[0]) for path in builders.files()]
    more = [(f"{root}/ant/none.png", "ant"), (f"{root}/ant/pipe.png", "ant"), (f"{root}/ant", "ant")]
    images = load_source(write(tmp_path / "list.csv", rows + more, "file,label"))
    assert len(images) == 24
    reasons = {one.name.rsplit("/", 1)[-1]: one.reason for one in images.unreadable}
    assert reasons["none.png"] == "it is listed, but there is no such file"
    assert reasons["pipe.png"] == reasons["ant"] == "it is no file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "needs a header"),
        (b"file,label\n", "expected a row for each picture"),
        (b"PAR1 and no more", "needs a header"),
        (b"file,label\n\x00,ant\n", "no readable picture left"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        load_source(tmp_path / "list.csv")


def test_a_parquet_file_that_cannot_be_used_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        load_source(tmp_path / "list.parquet")
    pq.write_table(pa.table({"file": ["a.png"], "label": [0.5]}), tmp_path / "list.parquet")
    with pytest.raises(SourceError, match=r"row 1: the label 0\.5 is a measurement"):
        load_source(tmp_path / "list.parquet")


def test_a_run_on_a_table_goes_through_every_command(cli: Cli, tmp_path: Path) -> None:
    listed = builders.table(tmp_path, absolute=True)
    keys = ["recipe=lab", "training.epochs=1", "model.filters=[4]"]
    done = cli("fit", listed, *keys, "--out", "run")
    assert done.code == 0, done.err
    assert cli("inspect", listed).code == 0
    again = cli("resume", "run", "training.epochs=2")
    assert again.code == 0, again.err
    scored = cli("evaluate", "run", listed)
    assert scored.code == 0, scored.err
    made = cli("export", "run", "--format", "script")
    assert made.code == 0, made.err
    assert str(tmp_path / "animals") in (tmp_path / "run" / "exports" / "script" / "train.py").read_text()
