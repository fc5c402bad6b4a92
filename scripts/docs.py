"""Writes the pages of the documentation that are made from something else.

They are the commands of the program, the list of decisions, and tutorials that are notebooks, with what these show.

    python scripts/docs.py [--check]

With ``--check`` it writes nothing, and ends with exit code 1 if a page is not what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import typer.main
from typer.testing import CliRunner

from conviction.cli.main import app

DOCS = Path(__file__).parents[1] / "docs"
SHELL = {"COLUMNS": "80", "NO_COLOR": "1"}


def commands() -> str:
    """What each command says of itself."""
    lines = ["# Commands", "", "What `conviction COMMAND --help` prints.", ""]
    pages = []
    command = typer.main.get_command(app)
    for name, one in command.commands.items():  # type: ignore[attr-defined]
        lines.append(f"- [`conviction {name}`](#conviction-{name}): {one.help.strip().splitlines()[0]}")
        shown = CliRunner().invoke(app, [name, "--help"], prog_name="conviction", env=SHELL).output
        pages += ["", f"## `conviction {name}`", "", "```text", shown.strip(), "```"]
    return "\n".join([*lines, *pages]) + "\n"


def decisions() -> str:
    """A link to each decision, by its title."""
    lines = ["# Decisions", "", "What was decided, why, and what follows from it.", ""]
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = path.read_text().splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def tutorial(path: Path) -> str:
    """A notebook as a page: its texts, its code, and what each cell shows."""
    note = f"[This page is a notebook]({path.name}) that you can download and run.\n{{ .notebook }}"
    parts = []
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [_shown(output) for output in cell.outputs]
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n{note}\n{rest}\n"


def _shown(output: Any) -> str:
    if output.output_type == "stream":
        return _quoted(output.text)
    if "image/png" in output.data:
        picture = "".join(output.data["image/png"].split())
        content = f'<img alt="What the cell shows" src="data:image/png;base64,{picture}">'
    elif "text/html" in output.data:
        # An empty line would end it.
        content = " ".join(output.data["text/html"].split())
    else:
        return _quoted(output.data["text/plain"])
    return f'<div class="shown">{content}</div>'


def _quoted(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands,
    "decisions/index.md": decisions,
    **{f"tutorials/{path.stem}.md": partial(tutorial, path) for path in NOTEBOOKS},
}


def main() -> None:
    """Writes or checks all pages."""
    other = []
    for name, content in PAGES.items():
        page, text = DOCS / name, content()
        if not page.is_file() or page.read_text() != text:
            other.append(name)
            if "--check" not in sys.argv[1:]:
                page.write_text(text)
    if other and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(other)}: not as the program is now; run make docs")


if __name__ == "__main__":
    main()
