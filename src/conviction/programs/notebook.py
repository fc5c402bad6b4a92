"""The program of a run as an executed notebook, with the lesson between the cells."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conviction.audience import option
from conviction.backend import quiet_stderr
from conviction.errors import ParityError, RequestError
from conviction.lesson import read_topic
from conviction.lesson.facts import facts_of
from conviction.programs.section import Section
from conviction.programs.testing_code import TEST_ACCURACY
from conviction.runs import RunFolder

# A cell may train for hours.
NO_TIMEOUT = None


def write_notebook(path: Path, run: RunFolder, sections: Sequence[Section]) -> None:
    """Writes the notebook, executes it in a kernel of its own, and keeps it if it reaches the run's accuracy.

    Args:
        path: Its file; the program's ``split.json`` is beside it.
        run: For the lesson's numbers.
        sections: The program.

    Raises:
        RequestError: nbformat, nbclient or ipykernel is missing.
        ParityError: A cell failed, or the accuracy is outside the run's own interval.
    """
    try:
        import ipykernel  # noqa: F401  what executes it
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as failure:
        raise RequestError(
            f"export {option('format', 'formats')} notebook: needs {failure.name}: pip install 'conviction[notebook]'"
        ) from None
    # The last cell gives the accuracy as a value, and is not kept.
    book = nbformat.v4.new_notebook(cells=[*_cells(run, sections), nbformat.v4.new_code_cell(TEST_ACCURACY)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"  # otherwise drawn at random
    client = NotebookClient(
        book,
        timeout=NO_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    try:
        with quiet_stderr():  # the kernel says how it listens
            client.execute()
    except CellExecutionError as failure:
        last = [line for line in str(failure).splitlines() if line.strip()][-1]
        raise ParityError(f"{path.name}: a cell failed ({last[:300]}). Nothing was kept.") from None
    _check_accuracy(float(book.cells.pop().outputs[0]["data"]["text/plain"]), run, path.name)
    for cell in book.cells:
        # TensorFlow names the hardware that it has not found.
        cell["outputs"] = [o for o in cell.get("outputs", []) if o.get("name") != "stderr"]
        if cell.cell_type != "code":
            del cell["outputs"]
    nbformat.validate(book)
    path.write_text(nbformat.writes(book), encoding="utf-8")


def _cells(run: RunFolder, sections: Sequence[Section]) -> list[Any]:
    import nbformat

    facts = facts_of(run)
    cells = [
        nbformat.v4.new_markdown_cell(f"# The network of the run {run.path.resolve().name}, in plain Keras")
    ]
    shown: set[str] = set()
    for section in sections:
        markdown = f"## {section.title}\n\n{section.reason}"
        if section.chapter and section.chapter not in shown:
            shown.add(section.chapter)
            chapter = read_topic(section.chapter, facts, "quick")
            markdown += "\n\n" + re.sub(r"^#", "###", without_links(chapter), flags=re.MULTILINE)
        cells += [nbformat.v4.new_markdown_cell(markdown), nbformat.v4.new_code_cell(section.code)]
        cells += [nbformat.v4.new_code_cell(section.look)] if section.look else []
    return cells


def without_links(text: str) -> str:
    """The same without links to the glossary, which a notebook does not have."""
    return re.sub(r"\[([^\]]+)\]\(glossary:[^)]+\)", r"\1", text)


def _check_accuracy(accuracy: float, run: RunFolder, name: str) -> None:
    test = run.evaluation.test
    assert test is not None  # ``write_program`` refuses a sealed one
    low, high = test.accuracy_ci95
    if not low <= accuracy <= high:
        raise ParityError(
            f"{name}: reached a test accuracy of {accuracy:.4f}; the run's 95% interval is {low:.4f} to {high:.4f}. "
            "Nothing was kept."
        )
