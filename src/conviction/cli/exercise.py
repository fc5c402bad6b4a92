"""``conviction exercise``: a learner writes a function, and a check says what is right and names mistakes."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conviction.cli.options import Json, print_json
from conviction.errors import RequestError
from conviction.exercises import DIRECTORY

if TYPE_CHECKING:
    from conviction.exercises.checking import Judgement
    from conviction.exercises.exercise import Exercise
    from conviction.exercises.grading import LearnerGrades

ACTIONS = ("start", "check", "hint", "solution", "notebooks", "grade")
# These are about all exercises.
OF_ALL = ("notebooks", "grade")


def exercise(
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACTION]",
            help="start, check, hint or solution, of one exercise; notebooks, of all; grade, of what a class has "
            "handed in. Without one: the list, and how far you have got.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[EXERCISE]", help="Its number, or its name, such as conv2d.")
    ] = None,
    folder: Annotated[
        Path,
        typer.Option("--folder", help="Where your files are; for grade, a folder with one for each learner."),
    ] = DIRECTORY,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="grade: write the results into this file, for a spreadsheet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write parts of a network yourself, and have them checked; a mistake is named, with the smallest input that
    shows it."""
    if csv is not None and action != "grade":
        raise RequestError("exercise: --csv goes with grade.")
    if action is None:
        _list(as_json=as_json)
        return
    if action not in ACTIONS:
        raise RequestError(f"exercise: expected {', '.join(ACTIONS)} or nothing; got '{action}'.")
    if action in OF_ALL:
        if name is not None:
            hint = f" The folder goes with --folder {shlex.quote(name)}." if action == "grade" else ""
            raise RequestError(f"exercise {action}: expected nothing after it; got '{name}'.{hint}")
        if action == "notebooks":
            _notebooks(folder, as_json=as_json)
        else:
            _grade(folder, csv, as_json=as_json)
        return
    from conviction.exercises.catalogue import exercise_named

    if name is None:
        raise RequestError(
            f"exercise {action}: which one? Name it by its number: conviction exercise {action} 1"
        )
    number, chosen = exercise_named(name)
    if action == "check":
        _check(number, chosen, folder, as_json=as_json)
    elif as_json:
        raise RequestError(
            f"exercise {action}: --json is for the list, check, notebooks and grade; leave it out here."
        )
    else:
        {"start": _start, "hint": _hint, "solution": _solution}[action](number, chosen, folder)


def _list(*, as_json: bool) -> None:
    from conviction.exercises.catalogue import EXERCISES
    from conviction.lesson.progress import ExerciseProgress, load_progress

    known = load_progress().exercises
    rows = [
        (number, each, known.get(each.name, ExerciseProgress())) for number, each in enumerate(EXERCISES, 1)
    ]
    if as_json:
        print_json(
            {
                "exercises": [
                    {
                        "number": number,
                        "name": each.name,
                        "title": each.title,
                        "chapter": each.chapter,
                        "tries": state.tries,
                        "hints": state.hints,
                        "passed": state.passed,
                        "solution_shown": state.shown,
                    }
                    for number, each, state in rows
                ]
            }
        )
        return
    from conviction.cli.markdown import print_markdown
    from conviction.exercises.progress import state_text

    lines = [
        f"| {number} | {each.name} | {each.title} | {each.chapter} | {state_text(state)} |"
        for number, each, state in rows
    ]
    first = next((number for number, _, state in rows if state.passed is None), 1)
    print_markdown(
        "# Exercises\n\n| | name | what you write | chapter | so far |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nBegin with `conviction exercise start {first}`: it writes a file with the task. Put your code into it, "
        f"then `conviction exercise check {first}`."
    )


def _where(directory: Path) -> str:
    """The option that the next command needs, too."""
    return "" if directory == DIRECTORY else f" --folder {shlex.quote(str(directory))}"


def _start(number: int, chosen: Exercise, directory: Path) -> None:
    from conviction.cli.markdown import print_markdown
    from conviction.exercises.files import start

    path, new = start(chosen, directory)
    there = "" if new else " It was there already, and stays as it is."
    print_markdown(
        f"# {number}. {chosen.title}\n\n{chosen.task}\n\nThe task is in `{path}`.{there} Replace the line `raise "
        f"NotImplementedError` with your code, then:\n\n    conviction exercise check {number}{_where(directory)}\n\n"
        f"The chapter to read: `conviction learn {chosen.chapter}`."
    )


def _check(number: int, chosen: Exercise, directory: Path, *, as_json: bool) -> None:
    from conviction.exercises.checking import check_file
    from conviction.exercises.files import file_of, read
    from conviction.exercises.progress import remember_check
    from conviction.exercises.wording import paragraphs

    judgement = check_file(chosen, file_of(chosen, directory), read(chosen, directory))
    remember_check(chosen, judgement)
    if as_json:
        print_json(_as_json(chosen, judgement))
    else:
        from conviction.cli.markdown import print_markdown

        lines = [
            f"# {number}. {chosen.title}",
            *(p.markdown for p in paragraphs(chosen, judgement)),
            *_next(number, chosen, judgement, directory),
        ]
        print_markdown("\n\n".join(lines))
    if not judgement.passed:
        raise typer.Exit(1)


def _next(number: int, chosen: Exercise, judgement: Judgement, directory: Path) -> list[str]:
    from conviction.exercises.catalogue import EXERCISES

    if not judgement.passed:
        return [f"For a nudge: `conviction exercise hint {number}`"] if judgement.begun else []
    if number == len(EXERCISES):
        return ["That was the last one."]
    return [f"Next: `conviction exercise start {number + 1}{_where(directory)}` ({EXERCISES[number].title})"]


def _as_json(chosen: Exercise, judgement: Judgement) -> dict[str, Any]:
    mistake, trouble = judgement.misconception, judgement.trouble
    return {
        "exercise": chosen.name,
        "passed": judgement.passed,
        "right": judgement.right,
        "cases": judgement.cases,
        "misconception": None if mistake is None else {"name": mistake.name, "message": mistake.sentence},
        "error": None
        if trouble is None
        else {"kind": trouble.kind, "message": trouble.message, "line": trouble.line},
    }


def _hint(number: int, chosen: Exercise, directory: Path) -> None:
    from conviction.cli.markdown import WIDEST, print_markdown
    from conviction.exercises.progress import next_hint

    shown = next_hint(chosen)
    print_markdown(f"# Hint {shown} of {len(chosen.hints)}")
    for index, hint in enumerate(chosen.hints[:shown], 1):
        # Not as Markdown, which would take the stars out of formulas.
        print(fill(hint, WIDEST, initial_indent=f" {index} ", subsequent_indent="   "))


def _solution(number: int, chosen: Exercise, directory: Path) -> None:
    from conviction.cli.markdown import print_markdown
    from conviction.exercises.progress import show_solution

    check = f"conviction exercise check {number}{_where(directory)}"
    how = f"write some code in the file, run {check}, then conviction exercise solution {number}."
    source = show_solution(chosen, how)
    print_markdown(f"# {number}. {chosen.title}\n\n```python\n{source.rstrip()}\n```")


def _notebooks(directory: Path, *, as_json: bool) -> None:
    from conviction.exercises.notebooks import write_notebooks

    paths = write_notebooks(directory)
    if as_json:
        print_json({"notebooks": [str(path) for path in paths]})
        return
    print("\n".join(str(path) for path in paths))


def _grade(directory: Path, csv: Path | None, *, as_json: bool) -> None:
    from conviction.exercises.catalogue import EXERCISES
    from conviction.exercises.grading import grade, learners_in
    from conviction.exercises.wording import grade_text

    folders = learners_in(directory)
    every = []
    for number, learner in enumerate(folders, 1):
        print(f"{number} of {len(folders)}: {learner.name}", file=sys.stderr)
        every.append(grade(learner))
    if csv is not None:
        from conviction.reporting import csv_text
        from conviction.runs.folder import write_text

        head = ["learner", "solved", *(each.name for each in EXERCISES)]
        rows = ([one.learner, one.solved, *map(grade_text, one.grades)] for one in every)
        # With the mark by which spreadsheets know UTF-8.
        write_text(csv, "\ufeff" + csv_text(head, rows))
    if as_json:
        print_json({"learners": [_grades_json(one) for one in every]})
        return
    _print_grades(every)
    if csv is not None:
        print(f"Written to {csv}.")


def _grades_json(one: LearnerGrades) -> dict[str, Any]:
    return {
        "learner": one.learner,
        "solved": one.solved,
        "exercises": [
            {"exercise": grade.exercise.name, "message": grade.failure}
            if grade.judgement is None
            else _as_json(grade.exercise, grade.judgement)
            for grade in one.grades
            if grade.judgement is not None or grade.failure
        ],
    }


def _print_grades(every: Sequence[LearnerGrades]) -> None:
    """How far each learner has got, and which mistakes there are, the most frequent first."""
    from conviction.cli.markdown import print_markdown
    from conviction.exercises.catalogue import EXERCISES
    from conviction.exercises.wording import grade_text, literal

    lines = [
        f"# {len(every)} learner{'' if len(every) == 1 else 's'}, {len(EXERCISES)} exercises",
        "",
        "| learner | solved | wrong |",
        "|---|---|---|",
    ]
    mistakes: Counter[tuple[int, str]] = Counter()
    for one in every:
        wrong = []
        for number, grade in enumerate(one.grades, 1):
            begun = grade.failure or (grade.judgement is not None and grade.judgement.begun)
            if begun and not grade.passed:
                wrong.append(str(number))
                mistakes[number, grade_text(grade)] += 1
        lines.append(f"| {literal(one.learner)} | {one.solved} | {', '.join(wrong)} |")
    if mistakes:
        lines += ["", "## What goes wrong", "", "| | exercise | learners | mistake |", "|---|---|---|---|"]
        for (number, text), count in mistakes.most_common():
            lines.append(f"| {number} | {EXERCISES[number - 1].name} | {count} | {literal(text)} |")
    print_markdown("\n".join(lines))
