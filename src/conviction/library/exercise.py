"""The exercises from Python, as a notebook checks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conviction.errors import RequestError, WrongAnswerError
from conviction.exercises.catalogue import exercise_named
from conviction.exercises.checking import judge
from conviction.exercises.running import run_here
from conviction.exercises.wording import paragraphs


def check_exercise(name: str, function: Callable[..., Any]) -> None:
    """Checks a solution of an exercise; prints a line if it is right.

    Args:
        name: Of the exercise, such as ``conv2d``, or its number; ``conviction exercise`` lists them.
        function: What was written. It runs in this process, without bounds on time and memory.

    Raises:
        RequestError: There is no such exercise, or the second argument is no function.
        WrongAnswerError: An answer is wrong: it names the mistake, and the smallest input that shows it.

    >>> import conviction
    >>> conviction.check_exercise("relu_gradient", lambda inputs, above: above * (inputs > 0))
    Right. All 5 cases are answered as they should be.
    """
    _, exercise = exercise_named(name)
    if not callable(function):
        raise RequestError(f"check_exercise: expected a function; got {type(function).__name__}.")
    cases = exercise.cases()
    judgement = judge(exercise, cases, run_here(function, cases, network="keras" in exercise.modules))
    text = "\n\n".join(each.plain for each in paragraphs(exercise, judgement))
    if not judgement.passed:
        raise WrongAnswerError(text)
    print(text)
