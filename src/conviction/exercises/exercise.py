"""What an exercise is made of."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Misconception:
    """A mistake that people make, and a solution that makes it.

    Attributes:
        name: A short name, unique in its exercise.
        sentence: What the learner did, and what is right, said to the learner.
        wrong: What a function with this mistake answers, for the arguments of the solution; None where the ``judge``
            of the exercise recognises it.
        also: The same mistake in other forms, whose answers differ.
    """

    name: str
    sentence: str
    wrong: Callable[..., Any] | None = None
    also: tuple[Callable[..., Any], ...] = ()

    @property
    def forms(self) -> tuple[Callable[..., Any], ...]:
        """All solutions that make it."""
        return self.also if self.wrong is None else (self.wrong, *self.also)


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        title: In a few words.
        chapter: The chapter of the lesson that it belongs to.
        task: What to write, in sentences; the docstring of the solution has the details.
        solution: A function of plain Python and NumPy. Its name is that of the exercise.
        cases: Makes the arguments of each case, the smallest first; cases are not shown before they fail.
        misconceptions: The mistakes that are recognised; the first that explains all answers is named.
        hints: From a nudge to almost the solution.
        modules: What it may import besides NumPy and harmless modules of Python.
        judge: For tasks with more than one right answer: takes the arguments of the cases and the answers so far, and
            returns for each the name of the misconception that it shows, or "" if it is right.
    """

    title: str
    chapter: str
    task: str
    solution: Callable[..., Any]
    cases: Callable[[], Sequence[Arguments]]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    modules: tuple[str, ...] = ()
    judge: Callable[[Sequence[Arguments], Sequence[Any]], list[str]] | None = None

    @property
    def name(self) -> str:
        """What users type, and the function that they write."""
        return self.solution.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments."""
        return tuple(inspect.signature(self.solution).parameters)

    @property
    def source(self) -> str:
        """The solution with what it imports, as a file of its own."""
        return _imports(self) + textwrap.dedent(inspect.getsource(self.solution))

    @property
    def stub(self) -> str:
        """The same without its body."""
        lines = textwrap.dedent(inspect.getsource(self.solution)).splitlines()
        function = ast.parse("\n".join(lines)).body[0]
        assert isinstance(function, ast.FunctionDef)
        documented = function.body[0].end_lineno
        return _imports(self) + "\n".join([*lines[:documented], "    raise NotImplementedError", ""])


def _imports(exercise: Exercise) -> str:
    """What the solution uses of other modules, as lines of its file."""
    used = {
        node.id
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(exercise.solution))))
        if isinstance(node, ast.Name)
    }
    known = {
        "math": "import math",
        "np": "import numpy as np",
        "keras": "import keras",
        "Any": "from typing import Any",
    }
    lines = [line for name, line in known.items() if name in used]
    return "\n".join([*lines, "", "", ""]) if lines else ""
