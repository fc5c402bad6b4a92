"""A run with a damaged file says which one, wherever it is opened, and is listed as damaged."""

from __future__ import annotations

import ast
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import conviction.lesson
from conviction.errors import RunError, RunFileError
from conviction.runs import RunFolder, folder
from conviction.runs.data_content import RunSplit, read_source
from conviction.training import RateSearch, Sweep
from conviction.web.jobs.progress import RunWatcher
from tests.conftest import Cli

RECORDED = Path(conviction.lesson.__file__).parent / "recorded"


def changed(name: str, *keys: str) -> Callable[[Path], None]:
    """Takes a value out of a JSON file."""

    def damage(run: Path) -> None:
        values = inner = json.loads((run / name).read_text())
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        (run / name).write_text(json.dumps(values))

    return damage


def written(name: str, text: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_text(text) and None


DAMAGES = {
    "evaluation that is empty": written(folder.EVALUATION, "{}"),
    "evaluation that is null": written(folder.EVALUATION, "null"),
    "evaluation that is a list": written(folder.EVALUATION, "[]"),
    "evaluation that was cut off": written(folder.EVALUATION, '{"test": {'),
    "evaluation nested without end": written(folder.EVALUATION, "[" * 100_000),
    "evaluation without a test": changed(folder.EVALUATION, "test"),
    "evaluation without a verdict": changed(folder.EVALUATION, "overfitting", "verdict"),
    "evaluation without an accuracy": changed(folder.EVALUATION, "validation", "accuracy"),
    "no history": lambda run: (run / folder.HISTORY).unlink(),
    "history that is empty": written(folder.HISTORY, ""),
    "history with its head alone": written(folder.HISTORY, "epoch,loss,accuracy\n"),
    "no data": lambda run: (run / folder.DATA).unlink(),
    "data without classes": changed(folder.DATA, "class_names"),
    "data whose counts are none": written(
        folder.DATA, '{"source": "digits", "class_names": [], "counts": 3}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run = tmp_path / "run"
    shutil.copytree(RECORDED, run)
    RunFolder(run).check()
    assert RunWatcher().run(run).status == "done"
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    damage(run)
    touched = {n for n, b in before.items() if not (run / n).is_file() or (run / n).read_bytes() != b}
    assert len(touched) == 1
    with pytest.raises(RunError, match=touched.pop()) as found:
        RunFolder(run).check()
    standing = RunWatcher().run(run)
    assert (standing.status, standing.trouble) == ("damaged", str(found.value))


@pytest.mark.parametrize(
    "damage",
    [
        "no history",
        *(
            pytest.param(d, marks=pytest.mark.full)
            for d in ("evaluation that is empty", "data without classes")
        ),
    ],
)
def test_the_command_line_says_it_too(tmp_path: Path, cli: Cli, damage: str) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    DAMAGES[damage](tmp_path / "run")
    for words in (
        ("learn", "training", "--run", "run"),
        ("compare", "run", "run"),
        ("evaluate", "run"),
        ("export", "run", "--format", "script"),
    ):
        said = cli(*words)
        assert said.code == 2, said.err
        assert "Traceback" not in said.err
    assert "damaged" in cli("learn", "training", "--run", "run").err


def test_a_key_that_is_missing_where_it_is_asked_for_is_a_damaged_file(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")  # which does not say which images it had
    with pytest.raises(RunError, match=r"data\.json: the file is damaged \(it has no 'split'\)"):
        _ = RunFolder(tmp_path / "run").split


def test_a_search_is_read_as_it_was_made(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(RECORDED, run)
    assert RunFolder(run).search is None
    search = RateSearch((Sweep(np.array([1e-4, 0.1]), np.array([2.5, 1.25])),), 0.05)
    folder.write_json(run / folder.RATES, search.to_json())
    assert RunFolder(run).search.to_json() == search.to_json()
    (run / folder.RATES).write_text('{"chosen": 0.05, "sweeps": [{"rates": [0.1]}]}')
    with pytest.raises(
        RunError, match=r"learning_rate\.json: the file is damaged \(sweeps\.0\.losses: Field required\)"
    ):
        _ = RunFolder(run).search


def test_what_is_read_is_what_was_written(trained: Path) -> None:
    run = RunFolder(trained)
    for name, value in (
        (folder.DATA, run.data),
        (folder.EVALUATION, run.evaluation),
        (folder.ENVIRONMENT, run.environment),
    ):
        written = json.loads((trained / name).read_text())
        assert value.model_dump(mode="json", exclude_unset=True) | {"schema": written["schema"]} == written


def test_a_rule_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    file = tmp_path / "run" / folder.DATA
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"decoding": content["decoding"] | {"version": 99}}))
    with pytest.raises(RunFileError, match=r"data\.json: cannot be used \(decoding\.version: ") as caught:
        _ = RunFolder(tmp_path / "run").data
    assert caught.value.reason == "value"


def subscripts(source: str) -> list[str]:
    """Where a run's content is read by a string key."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and {n.attr for n in ast.walk(node.value) if isinstance(n, ast.Attribute)} & CONTENT
    ]


CONTENT = {"data", "evaluation", "environment", "overfitting"}


def test_no_string_key_reads_a_run_outside_of_its_room() -> None:
    planted = (
        'a = run.data["split"]["test"], run.evaluation.validation["accuracy"], self.run.evaluation.test["n"]'
    )
    assert len(subscripts(planted)) == 4
    package = Path(conviction.__file__).parent
    keyed = {
        f"{path.relative_to(package)}: {text}"
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "runs"
        for text in subscripts(path.read_text(encoding="utf-8"))
    }
    assert not keyed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("design.json", '{"arms": 5}'),
        ("design.json", "{"),
        ("design.json", '{"arms": [], "seeds": []}'),
        ("result.json", '{"arms": []}'),
        ("result.json", '{"arms": [{}], "untried": [], "about": []}'),
        ("result.json", "[" * 100_000),
    ],
)
def test_a_damaged_study_is_one(tmp_path: Path, name: str, text: str) -> None:
    assert RunWatcher().study(tmp_path).trouble == ""
    (tmp_path / name).write_text(text)
    assert name in RunWatcher().study(tmp_path).trouble


def test_names_that_are_not_unicode_are_read_as_they_were_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xe4ume/\xff.png")
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"source": name}))
    assert read_source(file) == name
    for wrong in ("", 3, None):
        file.write_text(json.dumps({"source": wrong}))
        with pytest.raises(ValueError, match="source"):
            read_source(file)
    names = dict.fromkeys([name, "a.png"], "00")
    split = RunSplit.model_validate({"test_hash": "", "train": names, "validation": {}, "test": {}})
    assert split.train == names
