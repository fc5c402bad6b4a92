"""What the learners of a class have written, from a folder with a folder for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conviction.errors import ConvictionError, RequestError
from conviction.exercises import DIRECTORY
from conviction.exercises.catalogue import EXERCISES
from conviction.exercises.checking import Judgement, check_file
from conviction.exercises.exercise import Exercise
from conviction.exercises.files import file_of, load


@dataclass(frozen=True)
class Grade:
    """What came of one learner's exercise.

    Attributes:
        exercise: Which one.
        judgement: Of the check; None if the file was not checked.
        failure: Why it was not; empty if there is no file.
    """

    exercise: Exercise
    judgement: Judgement | None
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case is right."""
        return self.judgement is not None and self.judgement.passed


@dataclass(frozen=True)
class LearnerGrades:
    """The grades of one learner, in the order of the exercises."""

    learner: str
    grades: tuple[Grade, ...]

    @property
    def solved(self) -> int:
        """How many exercises are right."""
        return sum(grade.passed for grade in self.grades)


def learners_in(directory: Path) -> list[Path]:
    """The folders of the learners, by name.

    Raises:
        RequestError: It is no folder, or there are no folders with exercises in it.
    """
    if not directory.is_dir():
        raise RequestError(f"exercise grade: {directory} is not a folder.")
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not any(file_of(each, _files_of(path)).exists() for path in folders for each in EXERCISES):
        raise RequestError(
            f"exercise grade: expected a folder for each learner in {directory}, with files such as "
            f"{file_of(EXERCISES[0], Path()).name} in it; found none."
        )
    return folders


def grade(learner: Path) -> LearnerGrades:
    """Checks what one learner has written; nothing is remembered as the progress of whoever grades.

    The code runs with bounds on time and memory that guard against accidents, not against an attacker.
    """
    return LearnerGrades(learner.name, tuple(_grades(_files_of(learner))))


def _files_of(learner: Path) -> Path:
    """Learners hand in their files, or the folder that they are in."""
    inner = learner / DIRECTORY
    return inner if inner.is_dir() else learner


def _grades(directory: Path) -> Iterator[Grade]:
    for exercise in EXERCISES:
        try:
            known = load(exercise, directory)
            path = file_of(exercise, directory)
            yield Grade(exercise, check_file(exercise, path, known.text) if known.version else None)
        except ConvictionError as failure:
            yield Grade(exercise, None, str(failure))
