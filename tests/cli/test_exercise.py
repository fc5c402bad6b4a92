"""``conviction exercise`` as a learner uses it: the real command, files in a folder, progress that is kept."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

import conviction
from conviction.errors import RequestError, WrongAnswerError
from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.lesson.progress import load_progress
from tests.conftest import Cli

FLIPPED = "kernel[::-1, ::-1]"


def put(desk: Path, name: str, source: str) -> None:
    number, exercise = exercise_named(name)
    file = desk / "exercises" / f"{number:02}_{exercise.name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)


def plain(text: str) -> str:
    return " ".join(text.split())


def test_from_the_list_to_a_right_answer(cli: Cli, tmp_path: Path) -> None:
    listed = cli("exercise")
    assert listed.code == 0, listed.err
    assert "conviction exercise start 1:" in plain(listed.out)
    begun = cli("exercise", "start", "7")
    assert begun.code == 0, begun.err
    assert "exercises/07_conv2d.py" in begun.out
    file = tmp_path / "exercises" / "07_conv2d.py"
    assert file.read_text().startswith(f"# Exercise 7 of {len(EXERCISES)}: Convolution, by hand\n")
    stub = cli("exercise", "check", "7")
    assert stub.code == 1
    assert "conv2d is not written yet" in plain(stub.out)
    assert "cases" not in stub.out
    assert "smallest input" not in stub.out
    refused = cli("exercise", "solution", "7")
    assert refused.code == 2
    assert "Try it yourself first: write some code" in refused.err
    solution = exercise_named("conv2d")[1].source
    put(tmp_path, "conv2d", solution.replace("np.tensordot(patch, kernel", f"np.tensordot(patch, {FLIPPED}"))
    wrong = cli("exercise", "check", "conv2d")
    assert wrong.code == 1
    assert "Not yet. You flipped the kernel." in plain(wrong.out)
    assert "kernel = [[-1, 2], [0, -3]], of shape (2, 2, 1, 1)" in wrong.out
    assert "expected: [[-11]], of shape (1, 1, 1)" in wrong.out
    assert "For a nudge: conviction exercise hint 7" in plain(wrong.out)
    put(tmp_path, "conv2d", solution)
    right = cli("exercise", "check", "7")
    assert right.code == 0, right.out
    assert "Right. All 14 cases" in plain(right.out)
    assert "Next: conviction exercise start 8" in plain(right.out)
    rows = {row["name"]: row for row in cli("exercise", "--json").json["exercises"]}
    assert (rows["conv2d"]["tries"], rows["conv2d"]["solution_shown"]) == (2, False)
    assert rows["conv2d"]["passed"]
    assert rows["max_pool"]["tries"] == 0


def test_hints_come_one_by_one_and_the_solution_after_a_try(cli: Cli, tmp_path: Path) -> None:
    hints = exercise_named("normalise")[1].hints
    for given in (1, 2, 3, 3):
        shown = plain(cli("exercise", "hint", "normalise").out)
        assert f"Hint {given} of 3" in shown
        assert [plain(hint) in shown for hint in hints] == [i < given for i in range(3)]
    put(tmp_path, "normalise", "def normalise(pixels):\n    return pixels\n")
    assert cli("exercise", "check", "3").code == 1
    solution = cli("exercise", "solution", "3")
    assert solution.code == 0
    assert "return pixels / 255.0" in solution.out
    put(tmp_path, "normalise", "def normalise(pixels):\n    return pixels / 255\n")
    assert cli("exercise", "check", "3").code == 0
    assert "solution seen" in " ".join(cli("exercise").out.split())


def test_a_file_is_never_overwritten(cli: Cli, tmp_path: Path) -> None:
    cli("exercise", "start", "1")
    file = tmp_path / "exercises" / "01_load_idx.py"
    file.write_text("# mine\n")
    again = cli("exercise", "start", "1")
    assert again.code == 0
    assert "It was there already, and stays as it is." in plain(again.out)
    assert file.read_text() == "# mine\n"
    assert cli("exercise", "start", "1", "--folder", "other").code == 0
    assert (tmp_path / "other" / "01_load_idx.py").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["begin", "1"], "expected start, check, hint, solution, notebooks, grade or nothing; got 'begin'"),
        (["check"], "which one?"),
        (["check", "99"], f"expected a number from 1 to {len(EXERCISES)}"),
        (["check", "conv"], "List them with: conviction exercise"),
        (["check", "7"], "exercises/07_conv2d.py was not found. Write it with: conviction exercise start 7"),
        (["hint", "7", "--json"], "--json is for the list, check, notebooks and grade"),
        (["notebooks", "7"], "expected nothing after it"),
    ],
)
def test_wrong_requests(cli: Cli, tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = cli("exercise", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "exercises").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00d", "byte 1 is not valid UTF-8"),
        (b"x" * 300_000, "expected at most 200,000 bytes; got 300,000"),
    ],
)
def test_files_that_are_no_solution(cli: Cli, tmp_path: Path, content: bytes, reason: str) -> None:
    put(tmp_path, "conv2d", "")
    (tmp_path / "exercises" / "07_conv2d.py").write_bytes(content)
    done = cli("exercise", "check", "7")
    assert done.code == 2
    assert reason in done.err


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_where_nothing_can_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "exercises").write_text("a file")
    done = cli("exercise", "start", "1")
    assert done.code == 2
    assert "exercises" in done.err
    assert "Traceback" not in done.err


def test_the_answer_for_programs(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path, "normalise", "def normalise(pixels):\n    return pixels / 256\n")
    done = cli("exercise", "check", "3", "--json")
    assert done.code == 1
    assert done.json["passed"] is False
    assert done.json["misconception"]["name"] == "by_256"
    assert done.json["error"] is None
    put(tmp_path, "normalise", "def normalise(pixels):\n    return pixel\n")
    assert cli("exercise", "check", "3", "--json").json["error"] == {
        "kind": "NameError",
        "message": "name 'pixel' is not defined",
        "line": 2,
    }


def test_progress_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "learning.json"
    file.write_text(json.dumps({"read": {"data": "2026-01-01T00:00:00"}, "quiz": {}, "cards": {}}))
    progress = load_progress(file)
    assert progress.read
    assert progress.exercises == {}


def test_from_python_as_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    conviction.check_exercise("normalise", lambda pixels: pixels / 255)
    assert capsys.readouterr().out == "Right. All 6 cases are answered as they should be.\n"
    with pytest.raises(WrongAnswerError, match=r"Not yet\. You divide by 256") as failure:
        conviction.check_exercise("normalise", lambda pixels: pixels / 256)
    assert isinstance(failure.value, AssertionError)
    assert "pixels = [0, 100, 200]" in str(failure.value)
    assert "`" not in str(failure.value)
    with pytest.raises(RequestError, match="expected a number"):
        conviction.check_exercise("norm", lambda pixels: pixels)
    with pytest.raises(WrongAnswerError, match="raised ZeroDivisionError"):
        conviction.check_exercise("normalise", lambda pixels: 1 / 0)


def cells(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["cells"])


def test_notebooks_hold_every_exercise_for_nbgrader(cli: Cli, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    done = cli("exercise", "notebooks", "--folder", "course", "--json")
    assert done.code == 0, done.err
    ids, points = [], 0
    for path in done.json["notebooks"]:
        nbformat.validate(nbformat.read(tmp_path / path, as_version=4))
        for cell in cells(tmp_path / path):
            kept = cell["metadata"].get("nbgrader")
            if kept is None:
                continue
            ids.append(kept["grade_id"])
            points += kept.get("points", 0)
            assert kept["schema_version"] == 3
            assert kept["locked"] != kept["solution"]
            assert kept["grade"] == ("points" in kept)
    assert ids == [each for e in EXERCISES for each in (e.name, f"test_{e.name}")]
    assert points == len(EXERCISES)
    assert cli("exercise", "notebooks", "--folder", "course").code == 2


def test_a_notebook_is_right_with_its_solutions_and_wrong_without(cli: Cli, tmp_path: Path) -> None:
    """As nbgrader runs it: once as it is, once with what stands between the marks taken out."""
    pytest.importorskip("nbformat")
    assert cli("exercise", "notebooks", "--folder", "course").code == 0
    sources = [
        "".join(c["source"])
        for c in cells(tmp_path / "course" / "source" / "data" / "data.ipynb")
        if c["cell_type"] == "code"
    ]
    names: dict[str, Any] = {}
    for source in sources:
        exec(source, names)
    for answer, test in zip(sources[::2], sources[1::2], strict=True):
        before, _, rest = answer.partition("    ### BEGIN SOLUTION")
        stub = before + "    raise NotImplementedError()" + rest.partition("### END SOLUTION")[2]
        ast.parse(stub)
        exec(stub, names)
        with pytest.raises(WrongAnswerError, match="is not written yet"):
            exec(test, names)
