"""What a learner's answers say: right, or which mistake explains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from conviction.exercises.exercise import Arguments, Exercise, Misconception
from conviction.exercises.running import CaseAnswers, Trouble, run_file
from conviction.exercises.sandbox import decode, encode

# Answers may be rounded in another order, or to float32.
RELATIVE, ABSOLUTE = 1e-4, 1e-5

# What a stub raises.
STUB = "NotImplementedError"

MismatchKind = Literal["kind", "length", "shape", "nan", "values"]


@dataclass(frozen=True)
class Mismatch:
    """In what an answer differs from the right one.

    Attributes:
        kind: In its type, the length of a list, the shape of an array, values that are not numbers, or values.
        expected: The right answer, or the part of it that differs.
        answer: The same part of what came.
    """

    kind: MismatchKind
    expected: Any
    answer: Any


@dataclass(frozen=True)
class Wrong:
    """The first case that was answered wrongly.

    Attributes:
        arguments: Of the call.
        expected: The right answer; None where more than one is right.
        answer: What came: a value, or the ``Trouble`` in which the call ended.
        difference: Between the two; None where more than one answer is right, and where none came.
    """

    arguments: Arguments
    expected: Any
    answer: Any
    difference: Mismatch | None


@dataclass(frozen=True)
class Judgement:
    """What came of a check.

    Attributes:
        right: How many cases were answered rightly.
        cases: Of how many.
        misconception: The mistake that explains all answers, if one does.
        wrong: The first wrong answer; None if there is none.
        trouble: Why some cases were not answered; None if all were.
        printed: What the code printed.
        warned: The first warning, such as NumPy's of an overflow.
    """

    right: int
    cases: int
    misconception: Misconception | None
    wrong: Wrong | None
    trouble: Trouble | None
    printed: str = ""
    warned: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was right."""
        return self.right == self.cases

    @property
    def begun(self) -> bool:
        """Whether there is anything to judge: the function is there and no stub, and could be called."""
        return self.trouble is None or self.trouble.kind not in ("absent", "missing", STUB)


def check_file(exercise: Exercise, path: Path, source: str) -> Judgement:
    """Runs a learner's file and judges its answers."""
    cases = exercise.cases()
    return judge(exercise, cases, run_file(exercise, path, source, cases))


def judge(exercise: Exercise, cases: Sequence[Arguments], answered: CaseAnswers) -> Judgement:
    """Compares answers with the right ones, and with those of each misconception."""
    answers = answered.answers
    names = [] if exercise.judge is None else exercise.judge([_fresh(case) for case in cases], answers)
    right, first = 0, None
    for index, (case, answer) in enumerate(zip(cases, answers, strict=False)):
        if exercise.judge is not None:
            right += not names[index]
            if names[index] and first is None:
                first = Wrong(case, None, answer, None)
            continue
        expected = exercise.solution(*_fresh(case))
        different = difference(expected, answer)
        right += different is None
        if different is not None and first is None:
            first = Wrong(case, expected, answer, different)
    trouble = answered.trouble
    if exercise.judge is not None:
        mistake = next((m for name in names for m in exercise.misconceptions if m.name == name), None)
    else:
        mistake = None if right == len(cases) else _explained(exercise, cases, answers, trouble)
    ended = trouble is not None and trouble.called and trouble.kind != STUB
    if first is None and ended and len(answers) < len(cases):
        case = cases[len(answers)]
        first = Wrong(case, None if exercise.judge else exercise.solution(*_fresh(case)), trouble, None)
    return Judgement(right, len(cases), mistake, first, trouble, answered.printed, answered.warned)


def _explained(
    exercise: Exercise, cases: Sequence[Arguments], answers: Sequence[Any], trouble: Trouble | None
) -> Misconception | None:
    """The first mistake that answers every case as the learner did, and fails where the learner's code failed."""
    raised = None if trouble is None else (trouble.kind, trouble.message)
    for misconception, form in ((m, form) for m in exercise.misconceptions for form in m.forms):
        wrong = [_outcome(form, case) for case in cases[: len(answers) + (raised is not None)]]
        same = all(
            failure is None and difference(value, answer) is None
            for (failure, value), answer in zip(wrong, answers, strict=False)
        )
        if same and (raised is None or wrong[-1][0] == raised):
            return misconception
    return None


def _outcome(function: Callable[..., Any], case: Arguments) -> tuple[tuple[str, str] | None, Any]:
    """What a wrong solution answers; or the name and message of the exception that it ends in."""
    try:
        with np.errstate(all="ignore"):
            return None, function(*_fresh(case))
    except Exception as failure:  # a mistake may fail in any way
        return (type(failure).__name__, str(failure)), None


def _fresh(case: Arguments) -> Arguments:
    """The same arguments, which the function may change."""
    copied: Arguments = decode(encode(case))
    return copied


def difference(expected: Any, answer: Any) -> Mismatch | None:
    """In what an answer differs from the right one; None if it is as good.

    >>> difference((2, np.zeros(3)), [2.0, np.zeros(3, np.float32)])
    >>> difference(np.zeros((2, 3)), np.zeros((3, 2))).kind
    'shape'
    """

    def differs(kind: MismatchKind) -> Mismatch:
        return Mismatch(kind, expected, answer)

    if isinstance(expected, str) or expected is None or answer is None:
        if type(expected) is not type(answer):
            return differs("kind")
        return None if expected == answer else differs("values")
    if isinstance(expected, tuple | list):
        numbers = isinstance(answer, np.ndarray) and all(isinstance(one, int | float) for one in expected)
        if not (isinstance(answer, tuple | list) or (numbers and answer.ndim)):
            return differs("kind")
        if len(expected) != len(answer):
            return differs("length")
        parts = (difference(one, other) for one, other in zip(expected, answer, strict=True))
        return next((each for each in parts if each), None)
    if isinstance(answer, str | bytes | dict) or (
        isinstance(answer, tuple | list) and not _rectangular(answer)
    ):
        return differs("kind")
    right, numeric = np.asarray(expected), np.asarray(answer)
    if numeric.dtype.kind not in "biuf":
        return differs("kind")
    if right.shape != numeric.shape:
        return differs("shape")
    right, numeric = right.astype(float), numeric.astype(float)
    if np.isclose(numeric, right, RELATIVE, ABSOLUTE, equal_nan=True).all():
        return None
    return differs("nan" if np.isnan(numeric).any() and not np.isnan(right).any() else "values")


def _rectangular(answer: Sequence[Any]) -> bool:
    try:
        return np.asarray(answer).dtype.kind in "biuf"
    except ValueError:
        return False
