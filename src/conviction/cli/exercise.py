"""``conviction exercise``: a learner writes a function, and a check says what is right and names mistakes."""

from __future__ import annotations

import shlex
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

ACTIONS = ("start", "check", "hint", "solution", "notebooks")


def exercise(
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACTION]",
            help="start, check, hint or solution, of one exercise; notebooks, of all. Without one: the list, and how "
            "far you have got.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[EXERCISE]", help="Its number, or its name, such as conv2d.")
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where your files are.")] = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Write parts of a network yourself, and have them checked; a mistake is named, with the smallest input that
    shows it."""
    if action is None:
        _list(as_json=as_json)
        return
    if action not in ACTIONS:
        raise RequestError(f"exercise: expected {', '.join(ACTIONS)} or nothing; got '{action}'.")
    if action == "notebooks":
        if name is not None:
            raise RequestError(f"exercise notebooks: expected nothing after it; got '{name}'.")
        _notebooks(folder, as_json=as_json)
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
            f"exercise {action}: --json is for the list, check and notebooks; leave it out here."
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
