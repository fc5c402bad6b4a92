"""What a check says to the learner: sentences made of a judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.exercises.checking import Judgement, Wrong
from conviction.exercises.exercise import Exercise
from conviction.exercises.running import Trouble

# Numbers of an array that are shown; more do not help.
MOST_SHOWN = 64


@dataclass(frozen=True)
class Paragraph:
    """A part of what a check says.

    Attributes:
        text: The words, or lines of values.
        heading: What stands before them: the result in a word or two.
        verbatim: Whether these are lines of values or of output.
    """

    text: str
    heading: str = ""
    verbatim: bool = False

    @property
    def markdown(self) -> str:
        """For the terminal and the page."""
        if self.verbatim:
            return f"```text\n{self.text}\n```"
        return f"**{self.heading}** {self.text}" if self.heading else self.text

    @property
    def plain(self) -> str:
        """For a notebook, which shows letters alone."""
        return f"{self.heading} {self.text}" if self.heading else self.text


def paragraphs(exercise: Exercise, judgement: Judgement) -> list[Paragraph]:
    """What a judgement says.

    Args:
        exercise: The exercise.
        judgement: What came of the check.
    """
    if judgement.passed:
        return [Paragraph(f"All {judgement.cases} cases are answered as they should be.", "Right.")]
    lines = []
    if judgement.wrong is not None:
        # A mistake that was recognised says more than how the rest ended.
        mistake = judgement.misconception
        lines.append(Paragraph(mistake.sentence if mistake else _differs(judgement.wrong), "Not yet."))
        lines += _example(exercise, judgement.wrong)
    if judgement.trouble is not None and (judgement.wrong is None or judgement.misconception is None):
        lines.append(Paragraph(trouble_sentence(exercise, judgement.trouble)))
    if judgement.wrong is not None:
        lines.append(
            Paragraph(
                f"{judgement.right} of {judgement.cases} cases {'is' if judgement.right == 1 else 'are'} right."
            )
        )
    if judgement.printed:
        lines += [Paragraph("Your code printed:"), Paragraph(judgement.printed.rstrip(), verbatim=True)]
    return lines


def _differs(wrong: Wrong) -> str:
    expected, answer = wrong.expected, wrong.answer
    if answer is None:
        return "Your function returns nothing. It has to end with return and the result."
    if wrong.difference == "kind":
        return f"Your function returns {_kind(answer)}, and {_kind(expected)} is asked for."
    if wrong.difference == "length":
        return f"Your function returns {len(answer)} results, and {len(expected)} are asked for."
    if wrong.difference == "shape":
        ours, theirs = _first_shapes(expected, answer)
        return f"The shape of your result is {theirs}, and {ours} is asked for."
    if wrong.difference == "nan":
        return "Your result has values that are no numbers (nan)."
    return "Your result has other values. This is none of the usual mistakes, so compare the numbers below by hand."


def _first_shapes(expected: Any, answer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the first two parts that differ in them."""
    if isinstance(expected, tuple | list):
        for one, other in zip(expected, answer, strict=True):
            shapes = _first_shapes(one, other)
            if shapes[0] != shapes[1]:
                return shapes
    return np.shape(expected), np.shape(answer)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    names = {
        "NoneType": "nothing",
        "int": "a whole number",
        "float": "a number",
        "str": "a text",
        "bool": "a truth value",
    }
    name = type(value).__name__
    return names.get(name) or f"a {name}"


def _example(exercise: Exercise, wrong: Wrong) -> list[Paragraph]:
    lines = [
        *(
            f"{name} = {shown(value)}"
            for name, value in zip(exercise.parameters, wrong.arguments, strict=True)
        ),
        *([] if wrong.expected is None else [f"expected: {shown(wrong.expected)}"]),
        f"your answer: {_answer(wrong.answer)}",
    ]
    heading = "The smallest input that shows it:" if exercise.parameters else "What it answers:"
    return [Paragraph(heading), Paragraph("\n".join(lines), verbatim=True)]


def _answer(answer: Any) -> str:
    return f"{answer.kind}: {answer.message}" if isinstance(answer, Trouble) else shown(answer)


def shown(value: Any) -> str:
    """A value as a learner would write it, its numbers with at most four digits after the point.

    >>> shown(np.array([[1.0, 0.33333]]))
    '[[1, 0.3333]]'
    >>> shown(np.array([[[8], [3]]]))
    '[[8, 3]], of shape (1, 2, 1)'
    """
    if isinstance(value, np.ndarray):
        if value.size > MOST_SHOWN:
            return f"an array of shape {value.shape}, which begins with {shown(value.ravel()[:8])}"
        if value.ndim < 2 or value.shape[-1] != 1:
            return _nested(value.tolist())
        # Brackets around single numbers hide the picture.
        axes = max(1, max((axis + 1 for axis, length in enumerate(value.shape) if length > 1), default=1))
        return f"{_nested(value.reshape(value.shape[:axes]).tolist())}, of shape {value.shape}"
    if isinstance(value, tuple):
        return f"({', '.join(shown(one) for one in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(shown(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {shown(one)}' for key, one in value.items())}}}"
    return _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(one) for one in value)}]"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) >= 1e-3 or value == 0 else f"{value:.3g}"
    return repr(value)


def trouble_sentence(exercise: Exercise, trouble: Trouble) -> str:
    """Why the learner's code did not answer, and what to do about it."""
    where = "" if trouble.line is None else f" (line {trouble.line})"
    match trouble.kind:
        case "NotImplementedError":
            return f"{exercise.name} is not written yet. Replace `raise NotImplementedError` by your code."
        case "absent":
            return f"The file has no function {exercise.name}. Keep the name and the arguments of the task."
        case "missing":
            return f"This exercise needs {trouble.message}: pip install 'conviction[tensorflow]'"
        case "kind":
            return f"Your function returns a {trouble.message}, which cannot be compared. Return what the task says."
        case "changed":
            return (
                "Your function changes one of its arguments, and whoever called it still needs them. Make new arrays: "
                "`a = a * b` instead of `a *= b`, and `.copy()` before you set single values."
            )
        case "MemoryError":
            return f"Your code needs more than 1 GB of memory{where}. Inputs are small, so something grows without end."
        case "seconds":
            return (
                f"Your code was stopped after {trouble.message} seconds. All cases together take a moment: does a loop "
                "never end?"
            )
        case "ended":
            return "Your code ended the process that ran it."
        case "NotAllowed":
            return f"Your code was stopped{where}: {trouble.message}. NumPy and the modules of plain Python are enough."
        case "SyntaxError" | "IndentationError" | "TabError":
            return f"Python cannot read the file{where}: {trouble.message}."
    return f"Your code raised {trouble.kind}{where}: {trouble.message}"
