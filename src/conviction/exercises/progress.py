"""Reads and updates a learner's progress in the exercises."""

from __future__ import annotations

from pathlib import Path

from conviction.errors import RequestError
from conviction.exercises.checking import Judgement
from conviction.exercises.exercise import Exercise
from conviction.lesson.progress import ExerciseProgress, LearningProgress, load_progress, now, update_progress


def exercise_progress(exercise: Exercise, progress: Path | None = None) -> ExerciseProgress:
    """How far a learner is with an exercise.

    Args:
        exercise: The exercise.
        progress: The learner's file, as for ``load_progress``.

    Raises:
        OutputError: The file cannot be understood.
    """
    return load_progress(progress).exercises.get(exercise.name, ExerciseProgress())


def remember_check(exercise: Exercise, judgement: Judgement, progress: Path | None = None) -> None:
    """Counts a try, unless there was nothing to check, and notes when it was first right.

    Raises:
        OutputError, StorageError: The learner's file cannot be read or written.
    """
    if not judgement.begun:
        return

    def change(known: LearningProgress) -> None:
        state = known.exercises.setdefault(exercise.name, ExerciseProgress())
        state.tries += 1
        if judgement.passed and state.passed is None:
            state.passed = now().isoformat(timespec="seconds")

    update_progress(change, progress)


def next_hint(exercise: Exercise, progress: Path | None = None) -> int:
    """Counts another hint, and returns how many are to be shown; never more than there are.

    Raises:
        OutputError, StorageError: The learner's file cannot be read or written.
    """
    shown = 0

    def change(known: LearningProgress) -> None:
        nonlocal shown
        state = known.exercises.setdefault(exercise.name, ExerciseProgress())
        state.hints = shown = min(state.hints + 1, len(exercise.hints))

    update_progress(change, progress)
    return shown


def show_solution(exercise: Exercise, how_to_check: str, progress: Path | None = None) -> str:
    """The solution of an exercise that has been tried; notes that it was shown.

    Args:
        exercise: The exercise.
        how_to_check: What to do first, in a clause for where the learner is.
        progress: The learner's file.

    Raises:
        RequestError: It has not been tried.
        OutputError, StorageError: The learner's file cannot be read or written.
    """
    if not exercise_progress(exercise, progress).tries:
        raise RequestError(f"Try it yourself first: {how_to_check} Your code need not be right.")

    def change(known: LearningProgress) -> None:
        state = known.exercises[exercise.name]
        state.shown = state.shown or state.passed is None

    update_progress(change, progress)
    return exercise.source


def state_text(state: ExerciseProgress) -> str:
    """How far it is, in a word or two."""
    if state.passed is not None:
        return "solved" if not state.shown else "solution seen"
    return f"{state.tries} attempt{'' if state.tries == 1 else 's'}" if state.tries else ""
