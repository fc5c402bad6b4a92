"""What a check says to the learner: sentences made of a judgement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from conviction.exercises.checking import Judgement, Wrong
from conviction.exercises.exercise import Exercise
from conviction.exercises.grading import Grade
from conviction.exercises.running import Trouble
from conviction.exercises.sandbox import HARMLESS

# Numbers of an array that are shown; more do not help.
MOST_SHOWN = 64

# The letters of a text.
MOST_LETTERS = 200


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
            # A fence that is longer than any in the text.
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", self.text)), default=0))
            return f"{fence}text\n{self.text}\n{fence}"
        text = literal(self.text)
        return f"**{self.heading}** {text}" if self.heading else text

    @property
    def plain(self) -> str:
        """For a notebook, which shows letters alone."""
        return f"{self.heading} {self.text}" if self.heading else self.text


def literal(text: str) -> str:
    """A text as Markdown that shows it letter by letter."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)


def paragraphs(exercise: Exercise, judgement: Judgement) -> list[Paragraph]:
    """What a judgement says.

    Args:
        exercise: The exercise.
        judgement: What came of the check.
    """
    if judgement.passed:
        all_of_them = f"All {judgement.cases} cases are answered as they should be."
        lines = [Paragraph(all_of_them if judgement.cases > 1 else "It is what was asked for.", "Right.")]
        return lines + _printed(judgement)
    wrong, trouble = judgement.wrong, judgement.trouble
    # A mistake that was recognised says more than how the rest ended.
    if judgement.misconception is not None:
        lines = [Paragraph(judgement.misconception.sentence, "Not yet.")]
    elif wrong is not None and not isinstance(wrong.answer, Trouble):
        lines = [Paragraph(_differs(wrong), "Not yet.")]
    else:
        lines = []
    if wrong is not None and lines:
        lines += _example(exercise, wrong)
    if trouble is not None and judgement.misconception is None:
        lines.append(Paragraph(trouble_sentence(exercise, trouble), "" if lines else "Not yet."))
        if wrong is not None and isinstance(wrong.answer, Trouble):
            lines += _example(exercise, wrong)
    if wrong is not None and judgement.cases > 1:
        lines.append(
            Paragraph(
                f"{judgement.right} of {judgement.cases} cases {'is' if judgement.right == 1 else 'are'} right."
            )
        )
    return lines + _printed(judgement)


def grade_text(grade: Grade) -> str:
    """What came of a learner's exercise, for a cell of a table."""
    if grade.judgement is None:
        return grade.failure
    if grade.judgement.passed:
        return "solved"
    if not grade.judgement.begun:
        return "not begun"
    first = paragraphs(grade.exercise, grade.judgement)[0]
    return first.text


def _printed(judgement: Judgement) -> list[Paragraph]:
    lines = []
    if judgement.printed:
        # What could move the cursor or ring a bell is left out.
        text = "".join(
            letter for letter in judgement.printed.rstrip() if letter.isprintable() or letter == "\n"
        )
        lines += [Paragraph("Your code printed:"), Paragraph(text, verbatim=True)]
    if judgement.warned:
        lines.append(Paragraph(f"Python warned: {judgement.warned}"))
    return lines


def _differs(wrong: Wrong) -> str:
    if wrong.difference is None:
        return "This is not what was asked for."
    expected, answer = wrong.difference.expected, wrong.difference.answer
    whole = answer is wrong.answer
    subject = "Your function returns" if whole else "One of your results is"
    if wrong.answer is None:
        return "Your function returns nothing. It has to end with return and the result."
    match wrong.difference.kind:
        case "kind":
            return f"{subject} {_kind(answer)}, and {_kind(expected)} is asked for."
        case "length":
            return (
                f"{subject} {_kind(answer)} of length {len(answer)}, and length {len(expected)} is asked for."
            )
        case "shape":
            part = "your result" if whole else "one of your results"
            return f"The shape of {part} is {np.shape(answer)}, and {np.shape(expected)} is asked for."
        case "nan":
            return "Some of your values are not numbers (nan)."
    return "Your values differ. This is none of the usual mistakes, so compare the numbers below by hand."


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    names = {
        "NoneType": "nothing",
        "int": "a whole number",
        "float": "a number",
        "str": "a string",
        "bool": "True or False",
        "tuple": f"a tuple of {len(value)}" if isinstance(value, tuple) else "",
        "dict": "a dictionary",
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
    if isinstance(answer, Trouble):
        return (
            "none" if answer.kind in ("kind", "changed") else f"{answer.kind}: {answer.message}".rstrip(": ")
        )
    return shown(answer)


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
        if value.ndim < 3 or value.shape[-1] != 1:
            return _nested(value.tolist())
        # Brackets around single numbers hide the picture.
        axes = max([2, *(axis + 1 for axis, length in enumerate(value.shape) if length > 1)])
        return f"{_nested(value.reshape(value.shape[:axes]).tolist())}, of shape {value.shape}"
    if isinstance(value, tuple | list):
        first = [shown(one) for one in value[:MOST_SHOWN]]
        more = [f"and {len(value) - MOST_SHOWN:,} more"] if len(value) > MOST_SHOWN else []
        inside = ", ".join(first + more)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        pairs = [f"{key!r}: {shown(one)}" for key, one in list(value.items())[:MOST_SHOWN]]
        return f"{{{', '.join(pairs)}}}"
    return _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(one) for one in value)}]"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e6:
            return f"{value:.4f}".rstrip("0").rstrip(".")
        return f"{value:.4g}"
    text = repr(value)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def trouble_sentence(exercise: Exercise, trouble: Trouble) -> str:
    """Why the learner's code did not answer, and what to do about it."""
    where = "" if trouble.line is None else f" (line {trouble.line})"
    match trouble.kind:
        case "NotImplementedError":
            return f"{exercise.name} is not written yet. Replace the line raise NotImplementedError with your code."
        case "absent":
            return f"The file has no function {exercise.name}. Keep the name and the arguments of the task."
        case "missing":
            return f"This exercise needs {trouble.message}: pip install 'conviction[tensorflow]'"
        case "kind":
            return f"What your function returns cannot be compared ({trouble.message}). Return what the task says."
        case "changed":
            name = exercise.parameters[int(trouble.message)]
            return (
                f"Your function changes its argument {name}, and whoever called it still needs that. Make a new array: "
                f"{name} = {name} * 2 instead of {name} *= 2, and {name}.copy() before you set single values."
            )
        case "UFuncTypeError":
            return (
                f"You calculate with whole numbers in place{where}, and they cannot hold fractions. Make a new array: "
                "a = a / b instead of a /= b."
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
            return f"Your code was stopped{where}: {trouble.message}. It may import: {', '.join(HARMLESS)}."
        case "SyntaxError" | "IndentationError" | "TabError":
            return f"Python cannot read the file{where}: {trouble.message}."
    return f"Your code raised {trouble.kind}{where}: {trouble.message}"
