"""The exercises as notebooks that nbgrader takes: a folder ``source`` with an assignment for each chapter."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

from conviction.audience import option
from conviction.errors import RequestError
from conviction.exercises.catalogue import EXERCISES
from conviction.exercises.exercise import Exercise
from conviction.runs import folder


def write_notebooks(directory: Path) -> list[Path]:
    """Writes ``source/CHAPTER/CHAPTER.ipynb`` for each chapter that has exercises.

    They hold the solutions, between the marks that ``nbgrader generate_assignment`` replaces by a stub. The cells with
    tests call ``conviction.check_exercise``, so the cases are not in the notebook.

    Args:
        directory: Where ``source`` is to be, as in an nbgrader course.

    Returns:
        The notebooks.

    Raises:
        RequestError: nbformat is missing, or a notebook is there already.
        StorageError: They cannot be written.
        OutputError: The folder cannot be made.
    """
    try:
        import nbformat
    except ImportError:
        raise RequestError("exercise notebooks: needs nbformat: pip install 'conviction[notebook]'") from None
    chapters = list(dict.fromkeys(exercise.chapter for exercise in EXERCISES))
    paths = [directory / "source" / chapter / f"{chapter}.ipynb" for chapter in chapters]
    for path in paths:
        if path.exists():
            raise RequestError(
                f"exercise notebooks: {path} is there already. Move it away, or name another "
                f"{option('folder', 'directory')}."
            )
    for chapter, path in zip(chapters, paths, strict=True):
        cells = [cell for exercise in EXERCISES if exercise.chapter == chapter for cell in _cells(exercise)]
        first = _markdown(
            f"# Exercises: {chapter}\n\nPut your code where it says so, and run the cell below it."
        )
        book = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_markdown_cell(**first),
                *(_made(nbformat, kind, cell) for kind, cell in cells),
            ],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        for number, cell in enumerate(book.cells):
            cell["id"] = f"{chapter}-{number}"  # otherwise drawn at random
        with folder.storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text(path, nbformat.writes(book) + "\n")
    return paths


def _made(nbformat: Any, kind: str, cell: dict[str, Any]) -> Any:
    return nbformat.v4.new_markdown_cell(**cell) if kind == "markdown" else nbformat.v4.new_code_cell(**cell)


def _markdown(text: str) -> dict[str, Any]:
    return {"source": text}


def _cells(exercise: Exercise) -> list[tuple[str, dict[str, Any]]]:
    """The task, the answer and its test, with what nbgrader keeps of each."""
    number = EXERCISES.index(exercise) + 1
    test = f'import conviction\n\nconviction.check_exercise("{exercise.name}", {exercise.name})'
    return [
        ("markdown", _markdown(f"## {number}. {exercise.title}\n\n{exercise.task}")),
        ("code", {"source": _marked(exercise), "metadata": _metadata(exercise.name, solution=True)}),
        ("code", {"source": test, "metadata": _metadata(f"test_{exercise.name}", points=1)}),
    ]


def _metadata(name: str, *, solution: bool = False, points: int | None = None) -> dict[str, Any]:
    """What nbgrader calls an autograded answer, or a cell of its tests (schema 3)."""
    kept: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": name,
        "solution": solution,
        "grade": points is not None,
        "locked": not solution,
        "task": False,
    }
    if points is not None:
        kept["points"] = points
    return {"nbgrader": kept}


def _marked(exercise: Exercise) -> str:
    """The solution, its body between the marks."""
    source = exercise.source
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    end = function.body[0].end_lineno
    lines = source.rstrip().splitlines()
    body = textwrap.dedent("\n".join(lines[end:]))
    return "\n".join(
        [*lines[:end], "    ### BEGIN SOLUTION", textwrap.indent(body, "    "), "    ### END SOLUTION"]
    )
