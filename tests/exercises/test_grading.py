"""What a class has handed in: every learner's files, the mistakes in them, and a table for the teacher."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.files import file_of, start
from conviction.exercises.grading import grade, learners_in
from conviction.exercises.wording import grade_text
from tests.conftest import Cli

NORMALISE = exercise_named("normalise")[1]
WRONG = "def normalise(pixels):\n    return pixels / 256\n"


def hand_in(folder: Path, source: str) -> None:
    folder.mkdir(parents=True)
    file_of(NORMALISE, folder).write_text(source)


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    folder = tmp_path / "submissions"
    hand_in(folder / "Ada" / "exercises", NORMALISE.source)  # the folder that the files are in
    hand_in(folder / "=Bo|b", WRONG)  # files alone; a name that is neither a formula nor a table
    hand_in(folder / "Chi", WRONG)
    start(exercise_named("conv2d")[1], folder / "Chi")
    hand_in(folder / "Dee", "def normalise(pixels:\n")
    (folder / "Eve").mkdir()
    (folder / "Eve" / file_of(NORMALISE, Path()).name).write_bytes(b"\xff\xfe\x00no text")
    (folder / "Fay").mkdir()
    (folder / ".cache").mkdir()
    (folder / "readme.txt").write_text("as downloaded")
    return folder


def test_every_learner_has_a_grade_for_what_was_handed_in(submissions: Path) -> None:
    at = EXERCISES.index(NORMALISE)
    grades = {path.name: grade(path) for path in learners_in(submissions)}
    assert list(grades) == ["=Bo|b", "Ada", "Chi", "Dee", "Eve", "Fay"]
    texts = {name: grade_text(one.grades[at]) for name, one in grades.items()}
    assert texts["Ada"] == "solved"
    assert texts["Chi"].startswith("You divide by 256")
    assert "" not in (texts["Dee"], texts["Eve"])  # neither is Python; the teacher reads why
    assert texts["Fay"] == ""
    assert [one.solved for one in grades.values()] == [0, 1, 0, 0, 0, 0]
    conv2d = EXERCISES.index(exercise_named("conv2d")[1])
    assert grade_text(grades["Chi"].grades[conv2d]) == "not begun"


def test_a_table_and_a_csv_for_the_teacher(cli: Cli, submissions: Path, tmp_path: Path) -> None:
    done = cli("exercise", "grade", "--folder", "submissions", "--csv", "results.csv")
    assert done.code == 0, done.err
    assert "6 learners, 23 exercises" in done.out
    assert "You divide by 256." in done.out
    assert "1 of 6" in done.err
    with (tmp_path / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["learner"] for row in rows] == ["'=Bo|b", "Ada", "Chi", "Dee", "Eve", "Fay"]
    assert [row["solved"] for row in rows] == ["0", "1", "0", "0", "0", "0"]
    assert rows[1]["normalise"] == "solved"
    answer = cli("exercise", "grade", "--folder", "submissions", "--json").json
    chi = next(one for one in answer["learners"] if one["learner"] == "Chi")
    assert chi["exercises"][0]["misconception"]["name"]
    # The teacher's own progress is not that of the class.
    listed = cli("exercise", "--json").json["exercises"]
    assert all(one["tries"] == 0 for one in listed)


def test_what_is_not_a_class_is_refused(cli: Cli, tmp_path: Path) -> None:
    for folder, message in (("nowhere", "is not a folder"), (".", "expected a folder for each learner")):
        done = cli("exercise", "grade", "--folder", folder)
        assert done.code == 2
        assert message in done.err
    done = cli("exercise", "grade", "submissions")
    assert done.code == 2
    assert "--folder submissions" in done.err
    done = cli("exercise", "check", "1", "--csv", "x.csv")
    assert done.code == 2
    assert not (tmp_path / "x.csv").exists()
