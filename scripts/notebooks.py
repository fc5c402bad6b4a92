"""Runs the notebooks of the tutorials and keeps what they show; ``scripts/docs.py`` makes pages of them.

python scripts/notebooks.py [NOTEBOOK ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
# Of a cell; the longest trains for some ten seconds.
SECONDS = 1_200


def executed(path: Path, folder: Path, kernel: str = "python3") -> nbformat.NotebookNode:
    """The notebook with what each cell shows, run in a folder of its own.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "CONVICTION_HOME": str(folder / "home")})
    for cell in notebook.cells:
        # When it ran, on what machine, and what the runtimes log about that machine.
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def main() -> None:
    """Runs the notebooks that are named, or all."""
    for path in [Path(name) for name in sys.argv[1:]] or sorted(TUTORIALS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)


if __name__ == "__main__":
    main()
