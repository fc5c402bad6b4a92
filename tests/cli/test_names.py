"""Names that users' disks hold: files and folders that are not UTF-8, classes called like a column."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.cli.predictions import COLUMNS, class_columns
from tests.conftest import Cli
from tests.data import builders

FILE = b"\xfcber\xff.png"


@given(st.lists(st.sampled_from([*COLUMNS, *(f"probability_of_{c}" for c in COLUMNS), "cat"]), unique=True))
def test_no_two_columns_have_one_name(class_names: list[str]) -> None:
    own = class_columns(class_names)
    assert len({*COLUMNS, *own}) == len(COLUMNS) + len(own)
    assert all(c == n for c, n in zip(own, class_names, strict=True) if n not in COLUMNS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A class called ``label`` and one that is Latin-1 on disk, as their files are."""
    root = os.fsencode(tmp_path) + b"/b\xe4ume"
    for label, name in enumerate((b"label", b"K\xe4fer")):
        os.makedirs(root + b"/" + name)
        for i in range(10):
            with open(root + b"/" + name + b"/%d" % i + FILE, "wb") as file:
                file.write(builders.png(builders.image(label, i)))
    Path(os.fsdecode(root), "notes.txt").write_text("x")
    return Path(os.fsdecode(root))


@pytest.mark.full
def test_every_command_takes_names_that_are_not_unicode(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    done = cli("inspect", pictures, "--json", "--html", "page.html", "--out", "manifest.csv").json
    assert done["classes"] == {"K\\xe4fer": 10, "label": 10}
    assert [(u["kind"], u["count"], u["examples"]) for u in done["unused"]] == [
        ("other_file", 1, ["notes.txt"])
    ]
    assert "Not used: 1 file without" in (tmp_path / "page.html").read_text()
    fitted = cli("fit", pictures, "training.epochs=1", "--out", "run")
    assert fitted.code == 0, fitted.err
    assert "Not used: 1 file without the ending of a picture file (notes.txt)." in fitted.out
    assert "Not used: 1 file without" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "data.json").read_text())["unused"] == done["unused"]

    for name in ("out.csv", "out.jsonl", "out.parquet"):
        done = cli("predict", "run", pictures, "--out", name)
        assert done.code == 0, done.err
        assert "Not used: 1 file without" in done.err
    content = (tmp_path / "out.csv").read_bytes()
    assert FILE in content  # the file's own name, so that a program finds it
    header, *rows = csv.reader(content.decode("utf-8", "surrogateescape").splitlines())
    assert header == ["file", "label", "probability", "K\\xe4fer", "probability_of_label"]
    assert {row[1] for row in rows} <= {"label", "K\\xe4fer"}
    assert all(os.path.exists(row[0]) for row in rows)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == len(rows) == 20
    answered = cli("predict", "run", pictures, "--json").json
    assert answered["unused"][0]["examples"] == ["notes.txt"]

    done = cli("export", "run", "--format", "script,onnx")
    assert done.code == 0, done.err
    named = json.loads((tmp_path / "run" / "exports" / "script" / "split.json").read_text())
    assert all((pictures / name).exists() for part in ("train", "test") for name in named[part])
