"""The number of the schema: in every file and every answer; a newer one is refused, older ones are read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import conviction
from conviction.errors import RequestError, RunFileError
from conviction.runs import folder
from conviction.version import SCHEMA
from tests.conftest import Cli
from tests.runs.formats.make import pictures

FORMATS = Path(__file__).parent / "formats"
KEPT = sorted(p.name for p in FORMATS.iterdir() if p.name.isdigit())
FILES = (folder.CONFIG, folder.DATA, folder.EVALUATION, folder.ENVIRONMENT)


def test_a_run_of_every_schema_is_kept() -> None:
    assert [str(n) for n in range(1, SCHEMA + 1)] == KEPT


@pytest.mark.parametrize("schema", KEPT)
def test_a_run_of_an_earlier_schema_is_read_and_goes_on(schema: str, tmp_path: Path) -> None:
    shutil.copytree(FORMATS / schema, tmp_path / "run")
    run = conviction.load_run(tmp_path / "run")
    assert run.status == "done"
    pixels, labels, names = pictures()
    run.set_source((pixels, labels, names))
    kept = run.predictions.set_index("file")
    answers = run.predict(pixels).probabilities
    rows = [int(name.rpartition("/")[2]) for name in kept.index]
    np.testing.assert_allclose(answers[rows, 1], kept["p(light)"], atol=1e-5)
    assert run.evaluation.accuracy == kept[kept["part"] == "test"]["right"].mean()
    assert run.report(show=None).exists()
    assert run.export("onnx")[0].path.exists()
    assert len(run.resume({"training.epochs": 2}, show=None).history) == 2


def numbers_of(run: Path) -> dict[str, object]:
    texts = {name: (run / name).read_text() for name in FILES}
    return {
        name: (yaml.safe_load if name == folder.CONFIG else json.loads)(text).get("schema")
        for name, text in texts.items()
    }


def test_every_file_has_the_number(trained: Path) -> None:
    assert numbers_of(trained) == dict.fromkeys(FILES, SCHEMA)


@pytest.mark.parametrize("name", FILES)
def test_a_newer_file_is_refused_by_its_number(name: str, tmp_path: Path) -> None:
    shutil.copytree(FORMATS / KEPT[-1], tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_text(re.sub(r'("?schema"?): \d+', r"\1: 99", file.read_text(), count=1))
    run = conviction.load_run(tmp_path / "run")
    with pytest.raises(RunFileError) as failure:
        _ = run.config, run.data, run.evaluation, run.environment
    assert failure.value.reason == "newer"
    assert f"{name}: it has schema 99, and conviction" in str(failure.value)


def test_a_newer_specification_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("schema: 99\ntraining:\n  epochs: 1\n")
    with pytest.raises(RequestError, match="it has schema 99"):
        conviction.fit("digits", config=tmp_path / "config.yaml", show=None)


def test_every_answer_has_the_number(cli: Cli, trained: Path) -> None:
    for command in (
        ["doctor"],
        ["runs"],
        ["summary", "digits"],
        ["inspect", "digits"],
        ["mistakes", trained],
    ):
        assert cli(*command, "--json").json["schema"] == SCHEMA
    assert cli("fit", "nothing", "--json").json["schema"] == SCHEMA
