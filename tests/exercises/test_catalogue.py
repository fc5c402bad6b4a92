"""What holds for every exercise: it can be solved, its mistakes are told apart, and what it says is complete."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.errors import RequestError
from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.checking import Judgement, judge
from conviction.exercises.exercise import Exercise, Misconception
from conviction.exercises.files import stub_file
from conviction.exercises.running import CaseAnswers, run_here
from conviction.exercises.sandbox import decode, encode
from conviction.exercises.wording import paragraphs
from conviction.lesson.shelf import chapters

EACH = pytest.mark.parametrize("exercise", EXERCISES, ids=[e.name for e in EXERCISES])
COMPARED = [e for e in EXERCISES if e.judge is None]

# What a person can follow with a pencil.
MOST_NUMBERS = 24


def numbers(value: Any) -> int:
    """How many numbers there are in arguments."""
    if isinstance(value, tuple | list):
        return sum(numbers(one) for one in value)
    if isinstance(value, dict):
        return sum(numbers(one) for one in value.values())
    return value.size if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes) else 1


def verdict_on(exercise: Exercise, function: Any) -> Judgement:
    cases = exercise.cases()
    return judge(exercise, cases, run_here(function, cases))


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if not e.modules], ids=lambda e: e.name)
def test_the_solution_is_right(exercise: Exercise) -> None:
    judgement = verdict_on(exercise, exercise.solution)
    assert judgement.passed
    assert judgement.cases == len(exercise.cases())


@EACH
def test_cases_are_the_same_each_time_and_survive_the_way_into_another_process(exercise: Exercise) -> None:
    cases = [encode(case) for case in exercise.cases()]
    assert cases == [encode(case) for case in exercise.cases()] == [encode(decode(case)) for case in cases]


@pytest.mark.parametrize(
    ("exercise", "misconception", "form"),
    [(e, m, form) for e in COMPARED for m in e.misconceptions for form in m.forms],
    ids=[f"{e.name}-{m.name}-{i}" for e in COMPARED for m in e.misconceptions for i in range(len(m.forms))],
)
def test_each_mistake_is_told_from_all_others_by_a_small_input(
    exercise: Exercise, misconception: Misconception, form: Any
) -> None:
    with np.errstate(all="ignore"):
        judgement = verdict_on(exercise, form)
    assert judgement.misconception is misconception
    assert not judgement.passed
    assert judgement.wrong is not None
    assert numbers(judgement.wrong.arguments) <= MOST_NUMBERS


@EACH
def test_what_it_says_is_complete(exercise: Exercise) -> None:
    assert exercise.chapter in [chapter.name for chapter in chapters()]
    assert len(exercise.hints) >= 3
    assert len(exercise.misconceptions) >= 5
    assert len({m.name for m in exercise.misconceptions}) == len(exercise.misconceptions)
    for text in (exercise.task, *exercise.hints[:-1], *(m.sentence for m in exercise.misconceptions)):
        assert text.rstrip(")")[-1] in ".?:!", text


@EACH
def test_a_stub_has_the_task_and_not_the_solution(exercise: Exercise) -> None:
    content = stub_file(exercise)
    function = ast.parse(content).body[-1]
    assert isinstance(function, ast.FunctionDef)
    assert function.name == exercise.name
    assert [a.arg for a in function.args.args] == list(exercise.parameters)
    docstring, rest = ast.get_docstring(function), function.body[1:]
    assert docstring == ast.get_docstring(ast.parse(exercise.source).body[-1])  # type: ignore[arg-type]
    assert ast.unparse(rest[0]) == "raise NotImplementedError"
    assert len(rest) == 1


@EACH
def test_a_stub_and_a_solution_are_files_that_run_alone(exercise: Exercise) -> None:
    for source in (exercise.stub, exercise.source):
        names: dict[str, Any] = {}
        exec(compile(source, "<file>", "exec"), names)
        assert callable(names[exercise.name])


def test_chapters_come_in_their_order() -> None:
    order = [chapter.name for chapter in chapters()]
    places = [order.index(exercise.chapter) for exercise in EXERCISES]
    assert places == sorted(places)
    assert len(EXERCISES) >= 15
    assert len({e.name for e in EXERCISES}) == len(EXERCISES)


@pytest.mark.parametrize("name", ["0", "24", "conv", "", "٣"])
def test_an_unknown_exercise_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="conviction exercise"):
        exercise_named(name)


ANSWERS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70_000)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.builds(np.zeros, st.tuples(st.integers(0, 3), st.integers(0, 3)))
    | st.builds(np.ones, st.integers(0, 4), st.sampled_from([bool, "U1", np.complex64, np.uint8])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(exercise=st.sampled_from(EXERCISES), answer=ANSWERS)
def test_whatever_comes_is_judged_in_words(exercise: Exercise, answer: Any) -> None:
    """Nothing that a learner may return ends in a traceback, and none of these is right."""
    cases = exercise.cases()
    judgement = judge(exercise, cases, CaseAnswers((answer,) * len(cases), None))
    assert not judgement.passed
    assert all(paragraph.text for paragraph in paragraphs(exercise, judgement))
